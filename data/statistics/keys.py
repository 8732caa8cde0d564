"""Which records hold the same picture, or the same source: 24 bytes per record.

A row has 64 bits of the picture's sha256 and of source_id's, and where the record lies, so that
the few that are shared can be named afterwards. Two different pictures among a billion are taken
for one with a probability of 3 %.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from convoy.data import example, tfrecord

ROW = np.dtype([("image", "u8"), ("source", "u8"), ("shard", "u4"), ("index", "u4")])
EXAMPLES = 10  # shared records that are listed
KINDS = ("image", "source")


def hash64(content: bytes) -> int:
    """The first 64 bits of sha256."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def of_record(content: bytes, stated: bytes, source: bytes, place: str) -> tuple[int, int]:
    """The hashes of a record's content and source; each stands in for the other where it lacks.

    stated: sha256 of the content in hexadecimal, where the record has it; place: of the record,
    for one without both.
    """
    try:
        digest = int(stated[:16], 16) if len(stated) == 64 else hash64(content)
    except ValueError:
        digest = hash64(content)
    origin = hash64(source) if source else digest if content else hash64(place.encode())
    return digest if content else origin, origin


def repeated(rows: np.ndarray) -> np.ndarray:
    """Hashes of pictures that several rows hold, sorted."""
    hashes, counts = np.unique(rows["image"], return_counts=True)
    return hashes[counts > 1]


def copies(rows: np.ndarray) -> int:
    """Rows whose picture an earlier row holds."""
    return len(rows) - len(np.unique(rows["image"]))


def shared(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """kind -> hashes that both hold, sorted."""
    return {kind: np.intersect1d(first[kind], second[kind]) for kind in KINDS}


def touched(rows: np.ndarray, hashes: Mapping[str, np.ndarray]) -> int:
    """Rows whose picture or source is among the hashes."""
    return int(np.logical_or.reduce([np.isin(rows[k], hashes[k]) for k in KINDS]).sum())


def names(
    rows: Sequence[np.ndarray], kind: str, hashes: np.ndarray, paths: Mapping[int, str]
) -> list[list[str]]:
    """For each of these hashes the source_ids of its records, sorted. Reads those shards again.

    paths: the file of each shard's number.
    """
    by_shard: dict[int, dict[int, int]] = {}
    for part in rows:
        for row in part[np.isin(part[kind], hashes)]:
            by_shard.setdefault(int(row["shard"]), {})[int(row["index"])] = int(row[kind])
    groups: dict[int, list[str]] = {}
    for shard, places in by_shard.items():
        for index, record in enumerate(itertools.islice(_read(paths, shard), max(places) + 1)):
            if index in places:
                _, values = example.parse(record).get("image/source_id", ("bytes", [b"?"]))
                name = b"".join(values).decode("utf-8", "replace")
                groups.setdefault(places[index], []).append(name)
    return sorted(sorted(group) for group in groups.values())


def _read(paths: Mapping[int, str], shard: int):
    return tfrecord.read(paths[shard])
