"""Weights that balance the classes of pixels, out of the records' label maps."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from convoy.data.sample import Sample

IGNORE = 255


def median_frequency(samples: Iterable[Sample], num_classes: int) -> tuple[float, ...]:
    """One weight per class: the median of the classes' frequencies over its own.

    Eigen 2014 https://arxiv.org/abs/1411.4734 section 4.3.2, as SegNet takes it: the frequency of a
    class is its part of the labelled pixels of the pictures that it is in. A class without pixels
    weighs 1, as it is in no loss. Raises ValueError where no picture has a label map.
    """
    own, beside = np.zeros(num_classes), np.zeros(num_classes)
    for sample in samples:
        if not sample.segmentation:
            continue
        values = np.asarray(Image.open(io.BytesIO(sample.segmentation)))
        counts = np.bincount(values.ravel(), minlength=256)
        counts[IGNORE] = 0
        counts = counts[:num_classes]
        own += counts
        beside += np.where(counts > 0, counts.sum(), 0)
    seen = own > 0
    if not seen.any():
        raise ValueError("train.class_weights median: no record of the split has labelled pixels")
    frequency = np.divide(own, beside, out=np.ones(num_classes), where=seen)
    median = np.median(frequency[seen])
    return tuple(np.where(seen, median / frequency, 1.0).tolist())
