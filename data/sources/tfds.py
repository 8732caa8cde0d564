"""Data sets that TensorFlow Datasets has prepared as TFRecord files, read without TFDS.

"tfds:NAME", "tfds:NAME/CONFIG" and ".../VERSION" are looked for below data.path, or below
TFDS_DATA_DIR, or ~/tensorflow_datasets; nothing is downloaded. Of several versions the highest is
taken. features.json and dataset_info.json (tensorflow_datasets/core/features, .../naming.py) say
what the tf.train.Examples hold; data/sources/tfds_features.py says which of it is used, and the
rest is noted. Pictures stay encoded. Splits keep their names, but "validation" becomes "val". A
source_id is TFDS's own tfds_id: FILE__INDEX.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np

from convoy.data import example, tfrecord
from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, classes, ignore, tfds_features
from convoy.data.sources.split import SPLITS
from convoy.data.sources.tfds_features import Plan

_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
_NEEDED = ("features.json", "dataset_info.json")


def detect(tree: files.Tree) -> bool:
    """Never: it is asked for by name."""
    return False


def folder(path: str | os.PathLike, name: str) -> str:
    """The folder of the prepared data set; `path` may be that itself. Raises SourceError."""
    base = os.fspath(path) or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    base = os.path.expanduser(base)
    for top in (os.path.join(base, *name.split("/")), base):
        if all(os.path.isfile(os.path.join(top, file)) for file in _NEEDED):
            return top
    top = os.path.join(base, *name.split("/"))
    versions = [v for v in _folders(top) if _version(v) and _prepared(top, v)]
    if name and versions:
        return os.path.join(top, max(versions, key=_version))
    configs = [c for c in _folders(top) if name and any(_version(v) for v in _folders(top, c))]
    if len(configs) == 1:
        return folder(base, f"{name}/{configs[0]}")
    if configs:
        raise SourceError(f"tfds:{name} has configurations; say which: tfds:{name}/{configs[0]}")
    raise SourceError(
        f"expected the prepared data set tfds:{name} in {top}, found none; prepare it with "
        f"`convoy fetch tfds:{name}` or `tfds build {name} --data_dir {base}`, or name the folder "
        "that holds it in data.path"
    )


def scan(path, options: Options = Options()) -> Listing:
    """Lists the records, by their lengths alone. Raises SourceError."""
    top = folder(path, options.name)
    info, features = (_json(os.path.join(top, name)) for name in _NEEDED[::-1])
    format_name = info.get("fileFormat") or "tfrecord"
    if format_name != "tfrecord":
        raise SourceError(
            f"{top}: its files are {format_name}; expected tfrecord. Prepare it again with "
            "file_format tfrecord"
        )
    spans = [row for split in info.get("splits", []) for row in _records(top, info, split)]
    if not spans:
        raise SourceError(f"{top}: {_NEEDED[1]} names no split with records")
    plan, names, notes = tfds_features.plan(top, features)
    segmentation: tuple[str, ...] = ()
    if plan.segmentation:
        own = options if not names else Options(ignore=options.ignore)
        meaning = classes.of_indices(_values(spans, plan), own, top)
        plan, segmentation = plan._replace(codes=meaning.codes), meaning.labels
        notes, names = (*notes, *meaning.notes), names or meaning.labels
    if options.labels and options.labels != names and not segmentation:
        unknown = [name for name in options.labels if name not in names]
        if unknown:
            raise SourceError(
                f"{top}: data.labels: no class {unknown[0]!r}; its classes are "
                f"{', '.join(names[:20])}"
            )
        plan, names = plan._replace(names=names), options.labels
    if info.get("name") == "voc":
        notes = (*notes, "TFDS does not shift VOC's 1-based corners: boxes begin a pixel late")
    references = [Reference(name, split, span, plan) for split, name, span in spans]
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    return Listing(tuple(references), names or ("picture",), (), segmentation, notes=tuple(notes))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One record. Raises BadSample."""
    plan: Plan = reference.annotation
    values = _parsed(reference.image)
    names = plan.names or tuple(labels)
    index = {name: i for i, name in enumerate(labels)}
    class_names = [
        names[v] for key in plan.labels for v in values.get(key, ()) if 0 <= v < len(names)
    ]
    unknown = [name for name in class_names if name not in index]
    if unknown and not plan.boxes:
        detail = f"{reference.source_id}: class {unknown[0]!r} is not among the labels given"
        raise BadSample("unknown_class", detail)
    class_ids = np.array(sorted({index[name] for name in class_names if name in index}), np.int64)
    text = _text(values, plan.text)[:1]
    if not plan.image:
        if not "".join(text).strip():
            raise BadSample("empty_text", f"{reference.source_id}: no sentence")
        return Sample(
            reference.source_id, reference.split, b"", 0, 0, labels=class_ids, text=text[0]
        )
    encoded = values.get(plan.image) or [b""]
    picture = images.upright(encoded[0], max_pixels)
    objects = Objects(reference, picture, labels, warn, prefer="stored")  # as TFDS decodes
    if plan.boxes:
        _add(objects, values, plan, names)
    fields = {"captions": tuple(_text(values, plan.captions))}
    if plan.labels:
        fields["labels"] = class_ids
    if plan.segmentation:
        raw = _raster(values, plan, max_pixels, reference.source_id)
        if raw.shape != (objects.height, objects.width):
            detail = f"{reference.source_id}: label picture of {raw.shape[1]}x{raw.shape[0]} pixels"
            raise BadSample("bad_segmentation", detail)
        raster = classes.mapped(raw, plan.codes, reference.source_id)
        fields["segmentation"] = images.encode(objects.frame.raster(raster))
        if not plan.labels and not plan.boxes:
            present = np.unique(raster)
            fields["labels"] = present[present != classes.IGNORE].astype(np.int64)
    return objects.sample(**fields)


def _add(objects: Objects, values: Mapping[str, list], plan: Plan, names) -> None:
    size = np.array([objects.height, objects.width] * 2, np.float64)
    boxes = np.array(values.get(plan.boxes, ()), np.float64)
    rows = _yxyx(boxes[: len(boxes) // 4 * 4].reshape(-1, 4), plan.box_format, size)
    columns = {key: values.get(name, ()) for key, name in plan.columns}
    for i, box in enumerate(rows.tolist()):
        row = {key: column[i] for key, column in columns.items() if i < len(column)}
        label = row.get("label", 0)
        objects.add(
            names[label] if 0 <= label < len(names) else f"class {label}",
            box,
            difficult=bool(row.get("difficult")),
            truncated=bool(row.get("truncated")),
            crowd=bool(row.get("crowd")),
            area=float(row["area"]) if "area" in row else None,
        )


def _yxyx(boxes: np.ndarray, kind: str, size: np.ndarray) -> np.ndarray:
    """[N, 4] of TFDS's box formats -> pixels; float32's rounding of 1/64 pixels is undone."""
    if kind in ("XYXY", "REL_XYXY", "XYWH"):
        boxes = boxes[:, [1, 0, 3, 2]]
    if kind == "XYWH":
        boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    if kind.startswith("REL_"):
        boxes = boxes * size
    whole = np.round(boxes * 64) / 64
    return np.where(np.abs(boxes - whole) <= size * 2**-23, whole, boxes)


def _parsed(where: files.Where) -> dict[str, list]:
    try:
        record = tfrecord.checked(files.read(where))
        return {key: values for key, (_, values) in example.parse(record).items()}
    except (OSError, tfrecord.CorruptRecord, example.SchemaError) as error:
        raise BadSample("corrupt_record", f"{files.name_of(where)}: {error}") from None


def _text(values: Mapping[str, list], key: str) -> list[str]:
    return [text.decode("utf-8", "replace") for text in values.get(key, ())] if key else []


def _raster(values, plan: Plan, max_pixels: int, where: str) -> np.ndarray:
    encoded = values.get(plan.segmentation) or [b""]
    return classes.codes_in(encoded[0], False, max_pixels, where)


def _values(spans, plan: Plan) -> set[int]:
    """Values in label pictures of records spread over the data set."""
    step = max(1, len(spans) // classes.PROBES)
    codes: set[int] = set()
    for _, name, span in spans[::step]:
        try:
            raster = _raster(_parsed(span), plan, images.MAX_PIXELS, name)
        except BadSample:  # counted when it is read
            continue
        codes.update(np.unique(raster).tolist())
    return codes


def _records(top: str, info: dict, split: dict) -> list[tuple[str, str, files.Span]]:
    """(split, source_id, where) of the records of one split."""
    name, lengths = split["name"], [int(length) for length in split.get("shardLengths", [])]
    template = split.get("filepathTemplate") or _TEMPLATE
    records = []
    for shard, length in enumerate(lengths):
        base = template.format(
            DATASET=info.get("name", ""),
            SPLIT=name,
            FILEFORMAT="tfrecord",
            SHARD_INDEX=f"{shard:05d}",
            NUM_SHARDS=f"{len(lengths):05d}",
            SHARD_X_OF_Y=f"{shard:05d}-of-{len(lengths):05d}",
        )
        try:
            spans = list(tfrecord.index(os.path.join(top, base)))
        except (OSError, tfrecord.CorruptRecord) as error:
            raise SourceError(f"{error}; prepare the data set again") from None
        if len(spans) != length:
            raise SourceError(
                f"{top}/{base}: holds {len(spans)} records, {_NEEDED[1]} says {length}; prepare "
                "the data set again"
            )
        ours = SPLITS.get(name.lower(), name)
        records += [(ours, f"{base}__{i}", span) for i, span in enumerate(spans)]
    return records


def _json(path: str) -> dict:
    try:
        return json.loads(files.read(path))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}; prepare the data set again") from None


def _folders(*parts: str) -> list[str]:
    top = os.path.join(*parts)
    try:
        return sorted(entry.name for entry in os.scandir(top) if entry.is_dir())
    except OSError:
        return []


def _prepared(top: str, version: str) -> bool:
    return all(os.path.isfile(os.path.join(top, version, name)) for name in _NEEDED)


def _version(name: str) -> tuple[int, ...]:
    """Numbers of "1.0.0", or nothing."""
    parts = name.split(".")
    return tuple(map(int, parts)) if len(parts) == 3 and all(map(str.isdigit, parts)) else ()
