"""Published weights into our networks: one file a format, names.py, convert.py, load.py."""
