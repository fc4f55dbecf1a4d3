"""The mill: Beam jobs and what runs them."""
