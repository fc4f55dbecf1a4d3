"""Recipes: the bundled ones, and how one is read, checked, frozen into a run and compared."""
