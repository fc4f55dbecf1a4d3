"""Runs: folders with frozen recipes, tasks, receipts and what they committed."""
