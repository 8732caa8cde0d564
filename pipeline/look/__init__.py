"""`convoy look`: records, results, runs and a model, looked at in a browser."""
