"""Weights of the classes in the loss, and how often records are read, out of the records.

Balanced weights: n / (K n_c) for each of the K classes that occur, n_c its records, n the sum of
all n_c. So the mean weight of a record is 1, and each class has the same part of the loss, while
all are equally hard. scikit-learn calls these weights "balanced".
"""

from __future__ import annotations

import difflib
import io
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from PIL import Image

from convoy.data.input.balance import Repeats
from convoy.data.sample import Sample
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.manifest import manifest_of

IGNORE = 255


def of_records(
    asked: str | Sequence[float] | Mapping[str, float],
    labels: Sequence[str],
    counts: Mapping[str, int],
    maps: Callable[[], Iterable[Sample]] | None,
) -> tuple[float, ...]:
    """One weight per class, as train.class_weights asks; () = 1 each. Raises ValueError.

    counts: class -> records of the training split with it. maps: its samples, where classes are
    those of pixels; None elsewhere.
    """
    if asked == "none":
        return ()
    if isinstance(asked, Mapping):
        return named(asked, labels)
    if not isinstance(asked, str):
        return tuple(asked)
    if maps:
        return median_frequency(maps(), len(labels))
    if asked == "median":
        raise ValueError(
            "train.class_weights median is of pixels, the median of their frequencies; expected "
            "auto, weights, or none"
        )
    return balanced([counts.get(name, 0) for name in labels])


def balanced(counts: Sequence[int]) -> tuple[float, ...]:
    """n / (K n_c) of records [K] by class; 1 for a class without any. Raises ValueError."""
    numbers = np.asarray(counts, np.float64)
    seen = numbers > 0
    if not seen.any():
        raise ValueError("train.class_weights auto: no record of the split has a class")
    fair = numbers.sum() / seen.sum()
    return tuple(np.divide(fair, numbers, out=np.ones(len(numbers)), where=seen).tolist())


def named(weights: Mapping[str, float], labels: Sequence[str]) -> tuple[float, ...]:
    """Those of the names, 1 for the others. Raises ConfigError for a name that is no class."""
    for name in weights:
        if name not in labels:
            close = difflib.get_close_matches(name, labels, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"classes: {', '.join(labels[:10])}"
            raise ConfigError(f"train.class_weights: no class is called {name!r}; {hint}")
    found = tuple(float(weights.get(name, 1.0)) for name in labels)
    if not any(found):
        raise ConfigError("train.class_weights: the weight of every class is 0: nothing is learnt")
    return found


def repeats(counts: Sequence[int], balance: float) -> Repeats:
    """Of each class's records in one pass: (n_max / n_c) ** balance times, 1 or more.

    1 for a class without records. balance 0.5 is LVIS's repeat factor with its threshold at the
    most frequent class (Gupta 2019 https://arxiv.org/abs/1908.03195); 1 reads all
    classes equally often. Raises ValueError where no record has a class.
    """
    numbers = np.asarray(counts, np.float64)
    seen = numbers > 0
    if not seen.any():
        raise ValueError("train.balance: no record of the split has a class")
    ratio = np.divide(numbers.max(), numbers, out=np.ones(len(numbers)), where=seen)
    often = ratio**balance
    return Repeats(tuple(often.tolist()), round(float((numbers * often).sum())))


def repeats_of(
    records: pathlib.Path, split: str, labels: Sequence[str], balance: float
) -> Repeats | None:
    """How often the records of a split are read, as train.balance says. Raises ValueError."""
    if not balance:
        return None
    counts = images_by_class(records, split)
    return repeats([counts.get(name, 0) for name in labels], balance)


def images_by_class(records: pathlib.Path, split: str) -> dict[str, int]:
    """Records of a split by the classes that they have, by the manifest."""
    return manifest_of(pathlib.Path(records))["splits"][split].get("images_by_class", {})


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
