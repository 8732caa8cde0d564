"""Commands beside the pipeline: benchmark, compare, convert, preview, prune, ..."""
