"""What deduplication keeps on disk and sends over shuffles: keys, edges, drops and cuts."""
