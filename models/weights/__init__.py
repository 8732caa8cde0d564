"""Published weights into our networks: one file per format, names.py, convert.py, load.py."""
