"""Engines: what runs a job, on this machine or another. They know no run."""
