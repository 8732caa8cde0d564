"""Pictures that are there twice: of one id in two splits, or of the same bytes under two ids."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from convoy.data.sample import Reference

EXAMPLES = 20  # duplicates that the manifest names


def overlap(references: Iterable[Reference]) -> dict[str, int]:
    """Samples that two splits share, such as {"trainval+val": 87}: they leak."""
    splits: dict[str, list[str]] = collections.defaultdict(list)
    for reference in references:
        splits[reference.source_id].append(reference.split)
    shared = collections.Counter("+".join(sorted(s)) for s in splits.values() if len(s) > 1)
    if shared:
        logging.warning("ingest: samples are in several splits: %s", dict(shared))
    return dict(shared)


def _repeated(counts) -> set[int]:
    """Beginnings of hashes, 8 bytes, that are there twice: 8 bytes per picture of memory."""
    hashes = (sha256 for count in counts for _, sha256 in count["images_sha256"])
    beginnings = np.fromiter((int(sha256[:16], 16) for sha256 in hashes), np.uint64)
    values, times = np.unique(beginnings, return_counts=True)
    return set(values[times > 1].tolist())


def pictures(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pictures of the same bytes under different ids: how many, by the splits, and examples."""
    repeated = _repeated(counts)
    first: dict[bytes, tuple[str, str]] = {}
    shared, examples = collections.Counter(), []
    for count in counts:
        for source_id, sha256 in count["images_sha256"]:
            if int(sha256[:16], 16) not in repeated:
                continue
            key, place = bytes.fromhex(sha256[:24]), (count["split"], source_id)
            split, earlier = first.setdefault(key, place)
            if earlier == source_id:
                continue
            shared["+".join(sorted({split, count["split"]}))] += 1
            if len(examples) < EXAMPLES:
                examples.append([f"{split}: {earlier}", f"{count['split']}: {source_id}"])
    if any("+" in splits for splits in shared):
        logging.warning("ingest: the same picture is in several splits: %s", dict(shared))
    return {"pictures": dict(sorted(shared.items())), "examples": examples}
