"""Record shards to batches of tensors."""
