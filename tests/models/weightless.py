"""Networks without values for their weights, each built once per process.

Counts, tables, shapes and names need no more, and drawing VGG's 140 million normal numbers takes
longer than all of them. keras.backend.clear_session() would cut these graphs from what is built
after it, so no test that runs in the same process calls it.
"""

from __future__ import annotations

import functools

import keras

from convoy import models
from convoy.models.keras_internals import without_values


@functools.cache
def weightless(name: str, **options) -> keras.Model:
    """models.build(name, **options), whose weights have shapes and names alone."""
    with without_values():
        return models.build(name, **options)
