"""Which records a page shows, and the histograms of them: masks over an `Index`.

A filter is a dict of texts, as they stand in an address: split, class (a number, of objects or of
pictures), size ("small", "medium", "large": COCO's bounds, or "16-32": pixels of a side), side
("400-800": pixels of a picture's longer side), count ("3", "4-7": objects), copies ("yes", "no"),
duplicates ("yes"), find (part of a source_id). What narrows objects narrows one and the same
object: class 3 and small is a small one of class 3.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from convoy.pipeline.look.index import Index

NAMES = ("split", "class", "size", "side", "count", "copies", "duplicates", "find")
SIZES = {"small": (0.0, 32.0), "medium": (32.0, 96.0), "large": (96.0, math.inf)}
_STEPS = 2 ** np.arange(0, 15, dtype=float)  # bins of sizes, pixels
COUNTS = (0, 1, 2, 3, 4, 8, 16, 32, 64)


def rows(index: Index, asked: Mapping[str, str]) -> np.ndarray:
    """Row numbers of the records that fit, ascending. Raises ValueError for a bad filter."""
    asked = {name: value for name, value in asked.items() if value and name in NAMES}
    keep = np.ones(len(index.records), bool)
    if "split" in asked:
        if asked["split"] not in index.splits:
            raise ValueError(f"no split {asked['split']!r}; there are {', '.join(index.splits)}")
        keep &= index.records["split"] == index.splits.index(asked["split"])
    if "class" in asked or "size" in asked:
        keep &= _with_objects(index, asked)
    if "side" in asked:
        keep &= _within(_sides(index), _bounds(asked["side"]))
    if "count" in asked:
        low, high = _bounds(asked["count"])
        keep &= (index.records["objects"] >= low) & (index.records["objects"] <= high)
    if "copies" in asked:
        keep &= index.records["copy"] == (asked["copies"] == "yes")
    if asked.get("duplicates") == "yes":
        keep &= duplicated(index)
    found = np.flatnonzero(keep)
    if "find" in asked:
        found = found[_finds(index, asked["find"])[found]]
    if asked.get("duplicates") == "yes":  # those of one picture beside each other
        found = found[np.argsort(index.records["image"][found], kind="stable")]
    return found


def duplicated(index: Index) -> np.ndarray:
    """[R] bool: another record holds the same picture."""
    _, inverse, counts = np.unique(index.records["image"], return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def histograms(index: Index, found: np.ndarray, classes: int) -> dict[str, list]:
    """Of these records: {what: [[value of the filter, count], ...]}, bins without any left out.

    "class" and "size" count objects, the others records.
    """
    chosen = np.zeros(len(index.records), bool)
    chosen[found] = True
    mine = chosen[index.owners] if len(index.objects) else np.zeros(0, bool)
    objects = index.objects[mine]
    # Classes of whole pictures count where there are no objects, whose classes they repeat.
    chosen &= index.records["objects"] == 0
    labels = index.labels[chosen[index.label_owners]] if len(index.labels) else index.labels
    counts = np.bincount(objects["class"], minlength=classes)
    counts = counts + np.bincount(labels, minlength=len(counts))[: len(counts)]
    order = np.argsort(-counts, kind="stable")
    splits = np.bincount(index.records["split"][found], minlength=len(index.splits))
    return {
        "class": [[str(k), int(counts[k])] for k in order.tolist() if counts[k]],
        "size": _binned(objects["size"]),
        "side": _binned(_sides(index)[found]),
        "count": _counted(index.records["objects"][found]) if len(index.objects) else [],
        "split": [[name, int(n)] for name, n in zip(index.splits, splits, strict=True) if n],
    }


def _with_objects(index: Index, asked: Mapping[str, str]) -> np.ndarray:
    fits, labels = np.ones(len(index.objects), bool), np.zeros(0, bool)
    if "class" in asked:
        number = _number(asked["class"])
        fits &= index.objects["class"] == number
        labels = index.labels == number
    if "size" in asked:
        fits &= _within(index.objects["size"], _bounds(asked["size"]))
        labels = labels & False  # a class of the whole picture has no size
    keep = np.zeros(len(index.records), bool)
    keep[index.owners[fits]] = True
    if len(labels):
        keep[index.label_owners[labels]] = True
    return keep


def _sides(index: Index) -> np.ndarray:
    return np.maximum(index.records["height"], index.records["width"])


def _within(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (values >= bounds[0]) & (values < bounds[1])


def _bounds(text: str) -> tuple[float, float]:
    if text in SIZES:
        return SIZES[text]
    low, sign, high = text.partition("-")
    return _number(low), _number(high) if high else math.inf if sign else _number(low)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number, or two as in 16-32, got {text!r}")
    return value


def _binned(values: np.ndarray) -> list[list]:
    counts, _ = np.histogram(values, np.append(_STEPS, np.inf))
    steps = [f"{int(low)}-" for low in _STEPS]
    names = [f"{name}{int(high)}" for name, high in zip(steps, _STEPS[1:], strict=False)]
    return [[name, int(n)] for name, n in zip([*names, steps[-1]], counts, strict=True) if n]


def _counted(values: np.ndarray) -> list[list]:
    edges = [*COUNTS, np.inf]
    names = [
        str(low) if high == low + 1 else f"{low}-{high - 1}" if high != np.inf else f"{low}-"
        for low, high in zip(COUNTS, edges[1:], strict=True)
    ]
    counts = [int(((values >= a) & (values < b)).sum()) for a, b in itertools.pairwise(edges)]
    return [[name, n] for name, n in zip(names, counts, strict=True) if n]


def _finds(index: Index, text: str) -> np.ndarray:
    """[R] bool: whose source_id holds the text, in any case."""
    whole, wanted = index.ids.tobytes().lower(), text.lower().encode()
    keep, at = np.zeros(len(index.records), bool), whole.find(wanted)
    while at >= 0:
        row = int(np.searchsorted(index.id_starts, at, side="right")) - 1
        end = int(index.id_starts[row + 1])
        if at + len(wanted) <= end:
            keep[row] = True
            at = whole.find(wanted, end)
        else:  # across two names
            at = whole.find(wanted, at + 1)
    return keep
