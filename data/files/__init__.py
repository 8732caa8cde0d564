"""Files of a data set wherever they lie: folders, archives, large JSON files."""
