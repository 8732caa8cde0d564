"""The verbs of the command line, one file per idea; pipeline/commands/verbs.py lists them all."""
