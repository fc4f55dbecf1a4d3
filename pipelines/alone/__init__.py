"""Steps on their own, for a person at a prompt: the same code as the jobs, files in and out."""
