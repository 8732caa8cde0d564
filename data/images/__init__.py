"""Encoded pictures: checked, decoded in bounded memory, turned upright."""
