"""A trained network as a file of another runtime: which there are, and one file for each."""
