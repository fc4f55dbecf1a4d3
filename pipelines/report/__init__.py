"""The report of a run: one HTML page and the numbers on it as JSON."""
