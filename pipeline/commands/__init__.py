"""The verbs of the command line, a file an idea; pipeline/commands/verbs.py lists them all."""
