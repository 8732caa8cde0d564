"""What the page of results knows of an evaluation: verdicts, kept; tables and choices of them."""

from __future__ import annotations

import dataclasses
import io
import pathlib

import numpy as np

from convoy.pipeline import tasks
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.evaluation import worst
from convoy.pipeline.evaluation.worst import Judged
from convoy.pipeline.look.index import places

FILE = ".look.npz"
VERSION = 2  # of what is kept; one more where a task judges otherwise
BINS = 20  # of scores
FEW = 40  # classes of which the whole table of who was taken for whom is shown


def load(evaluation: pathlib.Path) -> Judged:
    """Of an evaluator's folder, read or made. Raises ValueError, OSError as `worst.judge`."""
    predictions = evaluation / worst.PREDICTIONS
    stat = predictions.stat()
    key = f"{VERSION} {stat.st_size} {stat.st_mtime_ns}"
    for place in places(evaluation):
        found = _read(place, key)
        if found is not None:
            return found
    made = worst.of_evaluation(evaluation)
    buffer = io.BytesIO()
    arrays = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    texts = {name: np.array(arrays[name], str) for name in ("kinds", "labels", "source_ids")}
    np.savez(buffer, key=np.array(key), **arrays | texts)
    for place in places(evaluation):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, buffer.getvalue())
            break
        except OSError:
            continue
    return made


def _read(place: pathlib.Path, key: str) -> Judged | None:
    try:
        with np.load(place) as stored:
            if str(stored["key"]) != key:
                return None
            values = {field.name: stored[field.name] for field in dataclasses.fields(Judged)}
    except Exception:  # zipfile's and NumPy's own, of none or a damaged file
        return None
    texts = {name: tuple(values[name].tolist()) for name in ("kinds", "labels", "source_ids")}
    return Judged(**values | texts)


def at(judged: Judged, threshold: float) -> dict:
    """Everything that moves with the threshold, for JSON."""
    rows, held = judged.verdicts, judged.holds(threshold)
    scored = ~np.isnan(rows["score"]) & ~rows["below"]
    right = rows["kind"] == tasks.RIGHT
    edges = np.round(np.linspace(0, 1, BINS + 1), 2)
    kinds = {name: int(n) for name, n in judged.counts(threshold).items()}
    amounts = judged.amounts(threshold)
    return {
        "threshold": threshold,
        "kinds": kinds,
        "right": int((held & right).sum()),
        "faulty": int((amounts > 0).sum()),
        "pictures": len(judged.source_ids),
        "bins": {
            "edges": edges.tolist(),
            "right": np.histogram(_scores(rows[scored & right]), edges)[0].tolist(),
            "wrong": np.histogram(_scores(rows[scored & ~right]), edges)[0].tolist(),
        }
        if scored.any()
        else None,
        "cells": _cells(judged, held),
    }


def curve(judged: Judged) -> list[list[float]]:
    """[threshold, precision, recall] of all classes together, at BINS thresholds that have any."""
    rows = judged.verdicts
    told, right = ~rows["below"] & ~np.isnan(rows["score"]), rows["kind"] == tasks.RIGHT
    objects = int(rows["below"].sum())
    points = []
    for threshold in np.linspace(0, 0.95, BINS):
        shown = told & (rows["score"] >= np.float32(threshold))
        good = int((shown & right).sum())
        if shown.any() and objects:
            points.append([float(threshold), good / int(shown.sum()), good / objects])
    return [[round(value, 4) for value in point] for point in points]


def _cells(judged: Judged, held: np.ndarray) -> dict:
    """Who was taken for whom: {"size", "cells": [[truth, said, how many]]}, -1 = nothing.

    Where there is no score, parts of pictures are added up, as those of segmented pixels.
    """
    rows = judged.verdicts[held]
    known = (rows["truth"] >= 0) | (rows["said"] >= 0)
    rows, size = rows[known], len(judged.labels) + 1
    weights = np.where(np.isnan(rows["score"]), rows["amount"], 1)
    place = rows["truth"].astype(np.int64) % size * size + rows["said"].astype(np.int64) % size
    sums = np.bincount(place, weights, size * size)
    cells = np.flatnonzero(sums)
    if size > FEW:  # the largest errors alone
        cells = cells[cells // size != cells % size]
        cells = cells[np.argsort(-sums[cells], kind="stable")][:FEW]
    back = [k if k < size - 1 else -1 for k in range(size)]
    listed = [[back[c // size], back[c % size], round(float(sums[c]), 4)] for c in cells.tolist()]
    return {"all": size <= FEW, "cells": listed}


def chosen(
    judged: Judged, threshold: float, asked: dict[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """(pictures, worst first; how bad each is) of a kind, a cell "truth,said" or a bin "0.5-0.55".

    Raises ValueError for a choice that is none.
    """
    rows = judged.verdicts
    if asked.get("cell"):
        truth, said = _pair(asked["cell"], ",")
        fits = judged.holds(threshold) & (rows["truth"] == truth) & (rows["said"] == said)
    elif asked.get("bin"):
        low, high = _pair(asked["bin"], "-")
        scores = _scores(rows)
        fits = ~rows["below"] & (scores >= low) & ((scores < high) | (high >= 1))
        if asked.get("side") in ("right", "wrong"):
            fits &= (rows["kind"] == tasks.RIGHT) == (asked["side"] == "right")
    elif asked.get("kind") == "all":
        return np.arange(len(judged.source_ids)), judged.amounts(threshold)
    else:
        fits = judged.wrong(threshold, asked.get("kind") or None)
    amounts = np.bincount(judged.pictures[fits], rows["amount"][fits], len(judged.source_ids))
    found = np.unique(judged.pictures[fits])
    return found[np.argsort(-amounts[found], kind="stable")], amounts


def changed(one: Judged, other: Judged, thresholds: tuple[float, float]) -> list[tuple]:
    """[(index in one, index in other, how bad in each)] of the pictures that both have, sorted by
    how much that changed."""
    sides = [judged.amounts(t) for judged, t in zip((one, other), thresholds, strict=True)]
    place = {name: n for n, name in enumerate(other.source_ids)}
    pairs = [(n, place[name]) for n, name in enumerate(one.source_ids) if name in place]
    rows = [(a, b, float(sides[0][a]), float(sides[1][b])) for a, b in pairs]
    return sorted(rows, key=lambda row: -abs(row[3] - row[2]))


def _scores(rows: np.ndarray) -> np.ndarray:
    """float64, as the file has them: 0.9 lies in the bin from 0.9 on."""
    return np.round(rows["score"].astype(np.float64), 6)


def _pair(text: str, sign: str) -> tuple[float, float]:
    first, _, second = text.partition(sign) if sign == "," else text.rpartition(sign)
    try:
        return float(first), float(second)
    except ValueError:
        raise ValueError(f"expected two numbers with {sign!r} between them, got {text!r}") from None
