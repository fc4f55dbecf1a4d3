"""mix: token parts -> shards, by plan."""
