"""The verbs of the command line, a file an idea; pipeline/verbs.py lists them all."""
