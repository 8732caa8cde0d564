"""Convoy: convolutional networks from raw pictures to TensorFlow Serving."""
