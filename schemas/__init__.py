"""The contracts between curation, pipelines and trainer: recipes, tables, shards, errors."""
