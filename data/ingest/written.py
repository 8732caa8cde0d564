"""What a manifest says of the records that were written."""

from __future__ import annotations

import collections
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from convoy.data import example
from convoy.data.ingest import duplicates, tally


def manifest(planned, counts, rejected, references, names, wanted: Sequence[str]) -> dict[str, Any]:
    """Counts by split, class and reason. wanted: names of the splits; the other arguments are of
    the ingest: shards, counts of each, rows of rejected samples, references, names of classes.
    """
    splits: dict[str, Any] = {}
    for split in wanted:
        own = [count for count in counts if count["split"] == split]
        sums = ("records", "copies", "objects", "read", "image_bytes", "file_bytes")
        splits[split] = {
            **{name: sum(count[name] for count in own) for name in (*sums, *tally.WITHOUT)},
            "rejected": sum(len(count["rejected"]) for count in own),
            "lacking": {
                what: [i for count in own for i in count["lacking"][what]][: tally.LISTED_LACKING]
                for what in tally.LACKED
            },
            "images_by_class": _added(count["images_by_class"] for count in own),
            "objects_by_class": _added(count["objects_by_class"] for count in own),
            "shards": [shard.name for shard in planned if shard.split == split],
        }
    return {
        "schema_version": example.SCHEMA_VERSION,
        "splits": splits,
        "labels": list(names),
        "rejected": dict(collections.Counter(reason for _, reason, _, _ in rejected)),
        "warnings": _added(count["warned"] for count in counts),
        "overlap": duplicates.overlap(references),
        "duplicates": duplicates.pictures(counts),
        "inputs_sha256": _sha256(count["images_sha256"] for count in counts),
    }


def _sha256(lists: Iterable[list]) -> str:
    """Of the JSON of all lists in one, whose text is never whole in memory."""
    sha256, separator = hashlib.sha256(b"["), b""
    for part in lists:
        sha256.update(separator + json.dumps(part).encode())
        separator = b", "
    sha256.update(b"]")
    return sha256.hexdigest()


def proposals(counts, wanted: Sequence[str], edge_model: str) -> dict[str, Any]:
    """{"edge_model": "", "splits": {split: {"per_picture": 1304.5, "recall": {"0.5": 0.9}}}}."""
    splits: dict[str, Any] = {}
    for split in wanted:
        own = [count for count in counts if count["split"] == split]
        proposed = _added(count["proposed"] for count in own)
        objects, records = proposed.pop("objects", 0), sum(count["records"] for count in own)
        splits[split] = {
            "per_picture": round(sum(count["proposals"] for count in own) / max(records, 1), 1),
            "objects": objects,
            # Of the objects, those that a proposal overlaps by at least this much.
            "recall": {overlap: round(n / max(objects, 1), 4) for overlap, n in proposed.items()},
        }
    return {"edge_model": edge_model, "splits": splits}


def writing_s(counts) -> float:
    """Seconds from the first shard begun to the last done, of the worker that took longest."""
    workers: dict[str, list[dict]] = {}
    for count in counts:
        workers.setdefault(count["worker"], []).append(count)
    spans = (
        max(count["ended"] for count in own) - min(count["started"] for count in own)
        for own in workers.values()
    )
    return max(spans, default=0.0)  # nothing is written where every sample is rejected


def _added(histograms: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for histogram in histograms:
        for name, count in histogram.items():
            total[name] = total.get(name, 0) + count
    return total


def channels(counts, count: int, bits: int, split: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """({"count", "bits", "mean" [C], "std" [C]}, notes): of the values of a split, 0 to 255.

    Of 16 bits, a value v is v / 257. A channel of one value alone has the deviation 1.
    """
    own = [c["values"] for c in counts if c["split"] == split and c["values"]["pixels"]]
    scale, pixels = (257 if bits == 16 else 1), sum(values["pixels"] for values in own)
    mean, std, flat = [], [], []
    for index in range(count if pixels else 0):
        total = sum(values["sums"][index] for values in own)
        squares = sum(values["squares"][index] for values in own)
        variance = squares * pixels - total**2  # of whole numbers: exact, times pixels ** 2
        mean.append(total / pixels / scale)
        std.append(math.sqrt(variance) / pixels / scale if variance else 1.0)
        flat += [index] if not variance else []
    told = f"channels without any change in split {split}: {', '.join(map(str, flat))}"
    found = {"count": count, "bits": bits, "mean": mean or [0.0], "std": std or [1.0]}
    return found, (told,) if flat else ()
