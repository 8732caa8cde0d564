"""Networks: `build`, `list_models`, `describe`. Knows nothing of data, pipeline or Beam."""
