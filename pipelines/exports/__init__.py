"""Runs as other programs take them: a writer for each kind of data set."""
