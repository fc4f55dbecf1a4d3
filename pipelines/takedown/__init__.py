"""Taking documents out of a finished run: text and tokens go, nothing moves."""
