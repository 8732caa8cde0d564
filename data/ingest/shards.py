"""Record shards: which samples go into which, and writing one, whole or not at all.

Nothing here depends on the number of workers: the plan is made of the references alone, so that
any runner writes the same bytes.
"""

from __future__ import annotations

import collections
import dataclasses
import errno
import hashlib
import heapq
import io
import json
import math
import os
import pathlib
import pickle
import platform
import re
import resource
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import PIL.Image

from convoy.data import example, proposals, tfrecord
from convoy.data.augment.policy import Augment
from convoy.data.files import files
from convoy.data.images import bands
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.ingest import smaller
from convoy.data.ingest.tally import Tally
from convoy.data.sample import BadSample, Reference, Sample
from convoy.data.sources import source

SPREAD = 8  # at least this many shards per split, so that workers and readers share it
SPREAD_SAMPLES = 32  # ... as long as each holds this many samples


class IngestError(RuntimeError):
    """Ingest stopped as a whole; the message says where, why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One record file to be, and what goes into it, in this order."""

    name: str  # "train-00000-of-00008.tfrecord"
    split: str
    references: tuple[Reference, ...]

    def save(self, path: pathlib.Path) -> None:
        """For a worker: a file is read where it is needed, a message goes through every hand."""
        path.write_bytes(pickle.dumps(self))

    @staticmethod
    def load(path: str | os.PathLike) -> Shard:
        """What `save` wrote."""
        return pickle.loads(pathlib.Path(path).read_bytes())


@dataclasses.dataclass(frozen=True)
class Work:
    """What a worker must know beside its shard."""

    folder: str  # where record files are written
    format: str  # of the source
    labels: tuple[str, ...]
    max_pixels: int
    copies: int = 0  # augmented copies per sample of `augmented_split`
    augmented_split: str = "train"
    policy: Augment = Augment()
    seed: int = 0
    keypoint_pairs: tuple[tuple[int, int], ...] = ()  # (left, right), swapped in mirrored copies
    proposals: str = "none"  # of data.proposals.METHODS
    max_proposals: int = 2000  # per picture
    edge_model: str = ""  # file of edge_boxes' forest; "" = gradients
    channels: int | None = None  # of every picture; None = 8-bit gray or RGB
    bits: int = 8  # of each value
    max_side: int = 0  # pixels; larger pictures are made smaller. 0 = none


def plan(references: Sequence[Reference], shard_bytes: float, seed: int) -> list[Shard]:
    """Shuffles each split and deals it to shards of about equal size in bytes of pictures."""
    splits: dict[str, list[Reference]] = collections.defaultdict(list)
    for reference in references:
        splits[reference.split].append(reference)
    shards = []
    for split, members in sorted(splits.items()):
        members = sorted(members, key=lambda reference: _shuffle_key(reference, seed))
        sizes = [files.size(reference.image) for reference in members]
        target = max(
            math.ceil(sum(sizes) / shard_bytes), min(SPREAD, len(members) // SPREAD_SAMPLES), 1
        )
        count = min(target, len(members))
        dealt: list[list[Reference]] = [[] for _ in range(count)]
        lightest = [(0, 0, index) for index in range(count)]  # bytes, samples, shard
        for reference, size in zip(members, sizes, strict=True):
            load, samples, index = heapq.heappop(lightest)
            dealt[index].append(reference)
            heapq.heappush(lightest, (load + size, samples + 1, index))
        shards += [
            Shard(f"{split}-{index:05d}-of-{count:05d}.tfrecord", split, tuple(group))
            for index, group in enumerate(dealt)
        ]
    return shards


def bytes_needed(shard: Shard, work: Work) -> int:
    """About what a shard takes on disk."""
    size = sum(files.size(reference.image) + 2048 for reference in shard.references)
    return size * (1 + _copies(shard.split, work))


def explained(error: OSError, path: os.PathLike, need: int) -> Exception:
    """What to raise for an error of writing `path`: of a full disk, what to do about it."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return IngestError(
        f"{path}: the disk is full; it needs about {need:,} bytes. Free space there, or choose "
        "another run_dir, and run again: finished shards are kept"
    )


def finished(shard: Shard, work: Work) -> dict[str, Any] | None:
    """The counts of a shard that an earlier run completed with the same work, else None."""
    final = pathlib.Path(work.folder, shard.name)
    try:
        counts = json.loads(_sidecar(final).read_text())
        complete = counts["key"] == _key(shard, work)
        return counts if complete and final.stat().st_size == counts["file_bytes"] else None
    except (OSError, ValueError, KeyError):
        return None


def write(shard: Shard, work: Work) -> dict[str, Any]:
    """Writes the shard aside, renames it, then its sidecar of counts; returns the counts.

    Raises IngestError on a full disk, or on a failure that is not a fault of one sample.
    """
    done = finished(shard, work)
    if done is not None:
        return done
    key = _key(shard, work)  # of the files as they are before they are read
    final = pathlib.Path(work.folder, shard.name)
    aside = final.with_name(f".{shard.name}.{uuid.uuid4().hex}.tmp")
    tally, started, cpu = Tally(), time.time(), time.thread_time()
    try:
        with open(aside, "wb", buffering=1 << 20) as file:
            for record in _records(shard, work, tally):
                tfrecord.write(file, record)
            file.flush()
            os.fsync(file.fileno())
        counts = {
            "key": key,
            "split": shard.split,
            "file_bytes": aside.stat().st_size,
            "worker": f"{platform.node()}:{os.getpid()}:{threading.get_ident()}",
            "started": started,
            "ended": time.time(),
            "cpu_seconds": time.thread_time() - cpu,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            **tally.counts(work.labels),
        }
        os.replace(aside, final)
        aside.write_text(json.dumps(counts))
        os.replace(aside, _sidecar(final))
    except OSError as error:
        raise explained(error, final, bytes_needed(shard, work)) from error
    finally:
        aside.unlink(missing_ok=True)
    return counts


def _records(shard: Shard, work: Work, tally: Tally) -> Iterator[bytes]:
    """Serialized examples: every good sample, followed by its augmented copies."""
    copies = _copies(shard.split, work)
    for sample, sha256 in samples(shard.references, work, tally, copies):
        yield example.encode(sample, work.labels, sha256)


def samples(
    references: Sequence[Reference], work: Work, tally: Tally, copies: int = 0
) -> Iterator[tuple[Sample, str]]:
    """(what would be a record, sha256 of its content) of every good sample; others are counted.

    Raises IngestError for what is not a fault of one sample.
    """
    read = source(work.format).read
    for reference in references:
        tally.numbers["read"] += 1

        reasons: set[str] = set()

        def warn(reason: str, detail: str, own=reasons, source_id=reference.source_id) -> None:
            own.add(reason)
            tally.warn(source_id, reason, detail)

        try:
            with wanting(Wanted(work.channels, work.bits), warn):
                sample = read(reference, work.labels, max_pixels=work.max_pixels, warn=warn)
                sample = smaller.of(sample, work.max_side) if work.max_side else sample
            variants = [sample, *_augmented(sample, copies, work)]
        except BadSample as error:
            tally.rejected.append((reference.source_id, error.reason, error.detail))
            continue
        except MemoryError:
            detail = f"{reference.source_id}: does not fit into the memory of this worker"
            tally.rejected.append((reference.source_id, "too_large", detail))
            continue
        except OSError:
            raise
        except Exception as error:
            message = f"{reference.source_id}: {type(error).__name__}: {error}"
            raise IngestError(message.replace("\n", " ")) from error
        tally.numbers["copies"] += len(variants) - 1
        tally.source_ids.append(reference.source_id)
        if reasons:
            tally.touch(sample, reasons)
        for variant in variants:
            sha256 = hashlib.sha256(variant.content).hexdigest()
            if work.proposals != "none" and variant.image:
                variant = _proposed(variant, work)
                tally.overlaps(variant)
            tally.add(variant, sha256)
            if work.channels:
                tally.add_values(bands.values(variant.image, work.channels, work.bits))
            yield variant, sha256


def _proposed(sample: Sample, work: Work) -> Sample:
    """The sample with its proposals. Raises IngestError where none can be made on this machine."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(sample.image)).convert("RGB"))
    options = {"edge_model": work.edge_model}
    try:
        found = proposals.propose(pixels, work.proposals, work.max_proposals, **options)
    except proposals.ProposalsError as error:
        raise IngestError(str(error)) from error
    return dataclasses.replace(sample, proposals=found)


def _augmented(sample: Sample, copies: int, work: Work) -> Iterator[Sample]:
    if copies:
        from convoy.data.augment.offline import augment_copy  # imports TensorFlow

        for copy in range(1, copies + 1):
            augmented = augment_copy(sample, work.policy, work.seed, copy, work.keypoint_pairs)
            yield dataclasses.replace(augmented, source_id=f"{sample.source_id}#aug{copy}")


def _copies(split: str, work: Work) -> int:
    return work.copies if split == work.augmented_split else 0


def _key(shard: Shard, work: Work) -> str:
    """Equal for equal shards of equal work, wherever they are written, of files that stayed."""
    policy = work.policy.model_dump(mode="json")
    augmentation = (work.copies, work.augmented_split, work.seed, policy, work.keypoint_pairs)
    augmented = augmentation if work.copies else None
    parts = (example.SCHEMA_VERSION, work.format, work.labels, work.max_pixels, augmented)
    if work.proposals != "none":
        parts += (work.proposals, work.max_proposals, work.edge_model)
    if work.channels:
        parts += (work.channels, work.bits)
    if work.max_side:
        parts += ("max_side", work.max_side)
    sha256 = hashlib.sha256(repr((shard.name, parts)).encode("utf-8", "surrogateescape"))
    stamps = _Stamps()
    for reference in shard.references:
        identity = (reference.source_id, reference.image, reference.annotation, reference.frame)
        sha256.update(repr(identity).encode("utf-8", "surrogateescape"))
        for where in files.places((reference.image, reference.annotation)):
            sha256.update(stamps.of(where).encode())
    return sha256.hexdigest()


class _Stamps:
    """Size and time of files, so that edited annotations and pictures are read again."""

    def __init__(self):
        self._known: dict[str, str] = {}  # archives alone: other files are asked for once

    def of(self, where: files.Where) -> str:
        if not isinstance(where, str):
            path = files.path_of(where)
            if path not in self._known:
                self._known[path] = self._stamp(path)
            return self._known[path]
        return self._stamp(where) if "/" in where else ""  # a class, not a file

    @staticmethod
    def _stamp(path: str) -> str:
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return "missing"
        return f"{found.st_size}:{found.st_mtime_ns}"


def _sidecar(final: pathlib.Path) -> pathlib.Path:
    return final.with_name(f"{final.name}.json")


def _shuffle_key(reference: Reference, seed: int) -> bytes:
    text = f"{seed}:{reference.source_id}".encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).digest()


def is_record_file(name: str) -> bool:
    """Whether a file name is one that `plan` gives, or its sidecar's."""
    return re.fullmatch(r".+-\d{5}-of-\d{5}\.tfrecord(\.json)?", name) is not None
