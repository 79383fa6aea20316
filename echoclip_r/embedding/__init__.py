"""From shards and texts to embeddings, kept on disk."""
