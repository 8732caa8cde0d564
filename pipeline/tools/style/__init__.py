"""A picture's content in another picture's style, by the maps of a trained network."""
