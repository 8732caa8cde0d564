"""Boxes, classes and masks of objects."""
