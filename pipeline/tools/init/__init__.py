"""`convoy init DATA`: a recipe for a data set, proposed by what is in it and by this machine."""
