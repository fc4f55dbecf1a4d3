"""Looking at a run: plain functions that give rows, numbers and stories, for whoever shows them."""
