"""Samples in, TFRecords out, batches out. Knows nothing of networks."""
