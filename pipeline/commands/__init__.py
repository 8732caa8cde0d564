"""The verbs of the command line: a light file each; pipeline/commands/verbs.py lists them all."""
