"""What a page asks of records, in columns: built once, kept in a file, filtered in milliseconds.

One pass over the shards, without TensorFlow and without decoding a picture, fills some numbers per
record and per object: about 100 bytes of each record and 12 of each object. They are kept beside
the records as .look.npz, or below the cache folder where those can only be read, with a key of the
manifest and the shards' sizes and times: other records are read anew.

NumPy's columns, not SQLite: every filter draws histograms of all records, which is a scan in both,
and of 100,000 records a filter with its histograms took 20 to 40 ms, of indexed tables 450.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable

import numpy as np

from convoy.data import example, tfrecord
from convoy.data.statistics import keys
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.manifest import manifest_of

FILE = ".look.npz"
VERSION = 1  # of the columns
RECORD = np.dtype(
    [
        ("shard", "u4"),
        ("offset", "u8"),  # of the record in its file, bytes
        ("length", "u4"),  # with the checksum behind it
        ("split", "u2"),
        ("height", "i4"),
        ("width", "i4"),
        ("image", "u8"),  # the first 64 bits of sha256 of the picture
        ("objects", "i4"),  # how many
        ("labels", "i4"),  # classes of the whole picture: how many
        ("copy", "?"),  # made by augmentation
        ("has", "u1"),  # bits, of HAS
    ]
)
OBJECT = np.dtype([("class", "i4"), ("size", "f4")])  # size: root of the area, pixels
HAS = {
    "masks": "image/object/mask",
    "keypoints": "image/object/keypoint/y",
    "map": "image/segmentation/class/encoded",
    "captions": "image/caption/string",
    "target": "image/target/encoded",
    "sentence": "text/string",
    "signal": "signal/encoded",
}
COPY = b"#aug"  # in a source_id: see data/augment/offline.py


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
    """R records of all splits, in the order of splits and shards; N objects, L labels."""

    shards: tuple[str, ...]  # names of files in the folder
    splits: tuple[str, ...]
    records: np.ndarray  # [R] RECORD
    objects: np.ndarray  # [N] OBJECT, record by record
    labels: np.ndarray  # [L] i4, record by record
    ids: np.ndarray  # bytes of all source_ids, one behind the other
    id_starts: np.ndarray  # [R + 1] i8

    def __post_init__(self):
        # Which record an object and a label is of.
        every = np.arange(len(self.records), dtype=np.int32)
        object.__setattr__(self, "owners", np.repeat(every, self.records["objects"]))
        object.__setattr__(self, "label_owners", np.repeat(every, self.records["labels"]))

    def source_id(self, row: int) -> str:
        start, end = self.id_starts[row : row + 2]
        return self.ids[start:end].tobytes().decode("utf-8", "replace")

    def of_split(self, split: str) -> np.ndarray:
        """Rows of a split, in the order in which it is evaluated."""
        if split not in self.splits:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.records["split"] == self.splits.index(split))


def load(records: pathlib.Path, tell: Callable[[str], None] = lambda _: None) -> Index:
    """The index of a folder of records, read or built. Raises ValueError, OSError."""
    manifest = manifest_of(records)
    example.check_version([manifest.get("schema_version", example.SCHEMA_VERSION)])
    paths = paths_of(records, manifest)
    key = _key(records, paths)
    for place in places(records):
        found = _read(place, key)
        if found is not None:
            return found
    tell(f"{records}: reading {len(paths)} record files, once")
    made = build(paths)
    for place in places(records):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, _packed(made, key))
            break
        except OSError:
            continue
    return made


def paths_of(records: pathlib.Path, manifest: dict) -> list[tuple[str, pathlib.Path]]:
    """(split, file) of all shards, split by split, sorted. Raises FileNotFoundError."""
    paths = [
        (split, path)
        for split in manifest["splits"]
        for path in sorted(records.glob(f"{split}-*.tfrecord"))
    ]
    missing = {name for split in manifest["splits"].values() for name in split["shards"]}
    missing -= {path.name for _, path in paths}
    if missing:
        raise FileNotFoundError(
            f"{records}: {len(missing)} record files are missing, such as {min(missing)}: the "
            "ingest is still going, or the folder was changed; run `convoy ingest` again"
        )
    return paths


def places(records: pathlib.Path) -> tuple[pathlib.Path, ...]:
    """Where an index is looked for, and written to, the first that can be."""
    cache = pathlib.Path(os.environ.get("CONVOY_CACHE") or "~/.cache/convoy").expanduser()
    name = hashlib.sha256(os.fsencode(records.resolve())).hexdigest()[:16]
    return records / FILE, cache / "look" / f"{name}.npz"


def build(paths: list[tuple[str, pathlib.Path]]) -> Index:
    """Reads all record files, one process per core. Raises CorruptRecord, SchemaError."""
    splits = tuple(dict.fromkeys(split for split, _ in paths))
    total = sum(path.stat().st_size for _, path in paths)
    workers = min(os.cpu_count() or 1, len(paths))
    spawned = multiprocessing.get_context("spawn")  # nothing of a server that has threads
    if workers > 1 and total > 1 << 26:
        with concurrent.futures.ProcessPoolExecutor(workers, spawned) as pool:
            parts = list(pool.map(_of_shard, [str(path) for _, path in paths]))
    else:
        parts = [_of_shard(str(path)) for _, path in paths]
    for number, ((split, _), part) in enumerate(zip(paths, parts, strict=True)):
        part[0]["shard"], part[0]["split"] = number, splits.index(split)
    records, objects, labels, ids, sizes = (
        np.concatenate([np.zeros(0, dtype), *(part[n] for part in parts)])
        for n, dtype in enumerate((RECORD, OBJECT, np.int32, np.uint8, np.int64))
    )
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Index(
        tuple(path.name for _, path in paths), splits, records, objects, labels, ids, starts
    )


def _of_shard(path: str) -> tuple[np.ndarray, ...]:
    """(records, objects, labels, bytes of source_ids, their lengths) of one file."""
    records, objects, labels, ids = [], [], [], []
    with open(path, "rb") as file:
        for span in tfrecord.index(path):
            file.seek(span.offset)
            values = example.parse(tfrecord.checked(file.read(span.size)))
            get = lambda name, values=values: values.get(name, ("", []))[1]  # noqa: E731
            source = b"".join(get("image/source_id"))
            content = b"".join(get("image/encoded") or get("signal/encoded") or get("text/string"))
            place = f"{path}:{span.offset}"
            image, _ = keys.of_record(content, b"".join(get("image/key/sha256")), source, place)
            has = sum(1 << bit for bit, name in enumerate(HAS.values()) if get(name))
            classes, own = get("image/object/class/label"), get("image/class/label")
            height, width = (sum(get(f"image/{side}")) for side in ("height", "width"))
            row = (0, span.offset, span.size, 0, height, width, image)
            records.append((*row, len(classes), len(own), COPY in source, has))
            objects += zip(classes, np.sqrt(get("image/object/area") or [0] * len(classes)),
                           strict=True)  # fmt: skip
            labels += own
            ids.append(source)
    return (
        np.array(records, RECORD),
        np.array(objects, OBJECT),
        np.array(labels, np.int32),
        np.frombuffer(b"".join(ids), np.uint8),
        np.array([len(name) for name in ids], np.int64),
    )


def _key(records: pathlib.Path, paths) -> str:
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for _, path in paths]
    manifest = (records / "manifest.json").read_bytes()
    return hashlib.sha256(json.dumps([VERSION, stats]).encode() + manifest).hexdigest()


def _packed(index: Index, key: str) -> bytes:
    arrays = {field.name: getattr(index, field.name) for field in dataclasses.fields(index)}
    buffer = io.BytesIO()
    np.savez(buffer, key=np.array(key), **arrays)
    return buffer.getvalue()


def _read(place: pathlib.Path, key: str) -> Index | None:
    """None where there is none, it is of other records, or damaged."""
    try:
        with np.load(place) as stored:
            if str(stored["key"]) != key:
                return None
            names = [field.name for field in dataclasses.fields(Index)]
            values = {name: stored[name] for name in names}
    except Exception:  # zipfile's and NumPy's own, of a damaged file
        return None
    texts = {name: tuple(values[name].tolist()) for name in ("shards", "splits")}
    return Index(**{**values, **texts})
