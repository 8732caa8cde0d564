"""Sample <-> serialized tf.train.Example, without TensorFlow. One table of feature keys.

The keys are TF Model Garden's, so that its TfExampleDecoder reads our records. Boxes and keypoints
are normalised to 0..1; classes are 0-based. The messages come from a private descriptor pool with
tf.train.Example's wire format (tensorflow/core/example/example.proto); equal samples give equal
bytes. A whole list that is empty is not written.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Sequence

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from convoy.data.sample import Sample

SCHEMA_VERSION = 1

# key -> (kind, length): kind "bytes" | "float" | "int64"; length 1, or None = any number.
FEATURES: dict[str, tuple[str, int | None]] = {
    "image/schema_version": ("int64", 1),
    "image/encoded": ("bytes", 1),  # JPEG or PNG
    "image/format": ("bytes", 1),  # "jpeg" or "png"
    "image/height": ("int64", 1),
    "image/width": ("int64", 1),
    "image/source_id": ("bytes", 1),
    "image/filename": ("bytes", 1),
    "image/split": ("bytes", 1),
    "image/key/sha256": ("bytes", 1),  # hexadecimal, of image/encoded
    "image/class/label": ("int64", None),  # M classes of the whole picture
    "image/class/text": ("bytes", None),
    "image/object/bbox/ymin": ("float", None),  # N objects, each list
    "image/object/bbox/xmin": ("float", None),
    "image/object/bbox/ymax": ("float", None),
    "image/object/bbox/xmax": ("float", None),
    "image/object/class/label": ("int64", None),
    "image/object/class/text": ("bytes", None),
    "image/object/difficult": ("int64", None),
    "image/object/truncated": ("int64", None),
    "image/object/is_crowd": ("int64", None),
    "image/object/area": ("float", None),  # pixels, of the object where known, else of the box
    "image/object/view": ("bytes", None),  # poses, or none
    "image/object/mask": ("bytes", None),  # N PNGs, or none
    "image/segmentation/class/encoded": ("bytes", None),  # one PNG, or none
    "image/object/keypoint/y": ("float", None),  # N * K, object by object
    "image/object/keypoint/x": ("float", None),
    "image/object/keypoint/visibility": ("int64", None),
    "image/object/keypoint/count": ("int64", 1),  # K
    "image/object/action/value": ("int64", None),  # N * A, object by object: 1, 0, -1 = not said
    "image/object/action/count": ("int64", 1),  # A
    "image/object/part/bbox/ymin": ("float", None),  # P parts, each list
    "image/object/part/bbox/xmin": ("float", None),
    "image/object/part/bbox/ymax": ("float", None),
    "image/object/part/bbox/xmax": ("float", None),
    "image/object/part/name": ("bytes", None),
    "image/object/part/object": ("int64", None),  # which object a part belongs to
    "image/proposal/bbox/ymin": ("float", None),  # R proposals by rank, each list
    "image/proposal/bbox/xmin": ("float", None),
    "image/proposal/bbox/ymax": ("float", None),
    "image/proposal/bbox/xmax": ("float", None),
    "image/caption/string": ("bytes", None),
    "image/frames/encoded": ("bytes", None),  # those beside it in a film, empty = itself; or none
    "image/target/encoded": ("bytes", None),  # the second picture of a pair, or none
    "text/string": ("bytes", None),  # a sentence; such a record has no image/encoded
    "signal/encoded": ("bytes", None),  # a WAV file, or none; likewise
}

_EDGES = ("ymin", "xmin", "ymax", "xmax")


class SchemaError(ValueError):
    """A record is not one of ours, or newer than this program."""


def encode(sample: Sample, labels: Sequence[str], sha256: str | None = None) -> bytes:
    """Serialized tf.train.Example; `labels` gives the names of the classes.

    `sha256` of the image in hexadecimal, where the caller has it already.
    """
    values: dict[str, Sequence] = {
        "image/schema_version": [SCHEMA_VERSION],
        "image/source_id": [_bytes(sample.source_id)],
        "image/filename": [_bytes(posixpath.basename(sample.source_id))],
        "image/split": [_bytes(sample.split)],
        "image/class/label": sample.labels.tolist(),
        "image/class/text": [_bytes(labels[index]) for index in sample.labels.tolist()],
        "image/segmentation/class/encoded": [sample.segmentation] if sample.segmentation else [],
        "image/caption/string": [_bytes(caption) for caption in sample.captions],
        "image/frames/encoded": sample.frames,
        "image/target/encoded": [sample.target] if sample.target else [],
        "text/string": [_bytes(sample.text)] if sample.text else [],
        "signal/encoded": [sample.signal] if sample.signal else [],
    }
    if sample.image:
        sha256 = sha256 or hashlib.sha256(sample.image).hexdigest()
        values["image/encoded"] = [sample.image]
        values["image/format"] = [b"png" if sample.image[:4] == b"\x89PNG" else b"jpeg"]
        values["image/height"] = [sample.height]
        values["image/width"] = [sample.width]
        values["image/key/sha256"] = [sha256.encode()]
    if len(sample.boxes):
        values.update(_object_values(sample, labels))
    if len(sample.proposals):
        size = np.array([sample.height, sample.width] * 2, np.float64)
        values.update(_edge_values("image/proposal/bbox", sample.proposals / size))
    example = _EXAMPLE()
    features = example.features.feature
    for name, value in values.items():
        if len(value):
            getattr(features[name], f"{FEATURES[name][0]}_list").value.extend(value)
    return example.SerializeToString(deterministic=True)


def _object_values(sample: Sample, labels: Sequence[str]) -> dict[str, Sequence]:
    """Of the N objects, their keypoints, actions and parts."""
    key, part, action = (f"image/object/{name}" for name in ("keypoint", "part", "action"))
    size = np.array([sample.height, sample.width] * 2, np.float64)
    boxes, classes = sample.boxes.astype(np.float64), sample.classes.tolist()
    if len(sample.areas):
        areas = sample.areas
    else:
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    values = {
        **_edge_values("image/object/bbox", boxes / size),
        "image/object/class/label": classes,
        "image/object/class/text": [_bytes(labels[index]) for index in classes],
        "image/object/difficult": sample.difficult.astype(np.int64).tolist(),
        "image/object/truncated": sample.truncated.astype(np.int64).tolist(),
        "image/object/is_crowd": sample.crowd.astype(np.int64).tolist(),
        "image/object/area": areas.tolist(),
        "image/object/view": [_bytes(view) for view in sample.views],
        "image/object/mask": sample.masks,
    }
    if sample.keypoints.size:
        points = sample.keypoints.astype(np.float64).reshape(-1, 3)
        values[f"{key}/y"] = (points[:, 0] / sample.height).tolist()
        values[f"{key}/x"] = (points[:, 1] / sample.width).tolist()
        values[f"{key}/visibility"] = points[:, 2].astype(np.int64).tolist()
        values[f"{key}/count"] = [sample.keypoints.shape[1]]
    if sample.actions.size:
        values[f"{action}/value"] = sample.actions.ravel().tolist()
        values[f"{action}/count"] = [sample.actions.shape[1]]
    if len(sample.part_boxes):
        values.update(_edge_values(f"{part}/bbox", sample.part_boxes / size))
        values[f"{part}/name"] = [_bytes(name) for name in sample.part_names]
        values[f"{part}/object"] = sample.part_owners.tolist()
    return values


def _edge_values(key: str, boxes: np.ndarray) -> dict[str, Sequence]:
    return {f"{key}/{edge}": column for edge, column in zip(_EDGES, boxes.T.tolist(), strict=True)}


def decode(record: bytes) -> Sample:
    """The sample of a record; boxes within 1/64 pixel's rounding are exact. Raises SchemaError."""
    features = _features(record)
    values = {name: _values(features[name], kind) for name, (kind, _) in FEATURES.items()}
    check_version(values["image/schema_version"])
    needed = ("image/encoded", "image/height", "image/width")
    missing = [name for name in needed if not values[name]]
    if missing and not (values["text/string"] or values["signal/encoded"]):
        raise SchemaError(f"record lacks {', '.join(missing)}")
    height, width = (
        values[f"image/{side}"][0] if not missing else 0 for side in ("height", "width")
    )
    boxes = _boxes(values, "image/object/bbox", height, width)
    count = (values["image/object/keypoint/count"] or [0])[0]
    points = [values[f"image/object/keypoint/{part}"] for part in ("y", "x")]
    points = _pixels(np.array(points, np.float64).T.reshape(-1, 2), [height, width])
    visible = np.array(values["image/object/keypoint/visibility"], np.float32).reshape(-1, 1)
    actions = (values["image/object/action/count"] or [0])[0]
    flags = {
        name: np.array(values[f"image/object/{key}"] or [0] * len(boxes), bool)
        for name, key in (
            ("difficult", "difficult"),
            ("truncated", "truncated"),
            ("crowd", "is_crowd"),
        )
    }
    return Sample(
        source_id=_text(values["image/source_id"]),
        split=_text(values["image/split"]),
        image=b"".join(values["image/encoded"]),
        height=height,
        width=width,
        labels=np.array(values["image/class/label"], np.int64),
        boxes=boxes,
        classes=np.array(values["image/object/class/label"], np.int64),
        areas=np.array(values["image/object/area"], np.float32),
        views=tuple(_text([view]) for view in values["image/object/view"]),
        masks=tuple(values["image/object/mask"]),
        segmentation=b"".join(values["image/segmentation/class/encoded"]),
        keypoints=np.concatenate([points, visible], 1).reshape(
            len(boxes) if count else 0, count, 3
        ),
        actions=np.array(values["image/object/action/value"], np.int64).reshape(
            len(boxes) if actions else 0, actions
        ),
        part_boxes=_boxes(values, "image/object/part/bbox", height, width),
        part_names=tuple(_text([name]) for name in values["image/object/part/name"]),
        part_owners=np.array(values["image/object/part/object"], np.int64),
        proposals=_boxes(values, "image/proposal/bbox", height, width),
        captions=tuple(_text([caption]) for caption in values["image/caption/string"]),
        frames=tuple(values["image/frames/encoded"]),
        target=b"".join(values["image/target/encoded"]),
        text=_text(values["text/string"]),
        signal=b"".join(values["signal/encoded"]),
        **flags,
    )


def parse(record: bytes) -> dict[str, tuple[str, list]]:
    """key -> (kind as in FEATURES, values) of every list with values. Raises SchemaError."""
    parsed = {}
    for name, feature in _features(record).items():
        kind = (feature.WhichOneof("kind") or "bytes_list").removesuffix("_list")
        values = _values(feature, kind)
        if values:  # an empty list is none, as in what `encode` writes
            parsed[name] = (kind, values)
    check_version(parsed.get("image/schema_version", ("int64", []))[1])
    return parsed


def _features(record: bytes):
    example = _EXAMPLE()
    try:
        example.ParseFromString(record)
    except Exception as error:  # protobuf's own class differs between its implementations
        raise SchemaError(f"not a tf.train.Example: {error}") from None
    return example.features.feature


def _boxes(values: dict[str, list], key: str, height: int, width: int) -> np.ndarray:
    edges = np.array([values[f"{key}/{edge}"] for edge in _EDGES], np.float64)
    return _pixels(edges.T.reshape(-1, 4), [height, width] * 2)


def check_version(versions: Sequence[int]) -> None:
    """Refuses records of a newer schema; records without one are Model Garden's own."""
    if len(versions) and versions[0] > SCHEMA_VERSION:
        raise SchemaError(
            f"record has schema_version {versions[0]}, this program reads up to {SCHEMA_VERSION}; "
            "update Convoy, or ingest the data again with this version"
        )


def _pixels(normalised: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """[..., D] 0..1 -> float32 pixels. float32 rounding is undone for multiples of 1/64 pixel."""
    pixels = normalised * np.array(size, np.float64)
    whole = np.round(pixels * 64) / 64
    return np.where(np.abs(pixels - whole) <= np.abs(pixels) * 2**-23, whole, pixels).astype(
        np.float32
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # file names need not be valid UTF-8


def _text(values: Sequence[bytes]) -> str:
    return b"".join(values).decode("utf-8", "surrogateescape")


def _values(feature, kind: str) -> list:
    return list(getattr(feature, f"{kind}_list").value)


def _example_class():
    """tf.train.Example of a pool of our own: the shared pool may hold TensorFlow's."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="convoy/example.proto", package="convoy", syntax="proto3"
    )

    def message(name: str, *fields, within=None):
        added = (within.nested_type if within else file.message_type).add(name=name)
        for number, (field, kind, repeated) in enumerate(fields, start=1):
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            entry = added.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".convoy.{kind}"
            else:
                entry.type = kind
        return added

    message("BytesList", ("value", kinds.TYPE_BYTES, True))
    message("FloatList", ("value", kinds.TYPE_FLOAT, True))  # packed, as proto3 does
    message("Int64List", ("value", kinds.TYPE_INT64, True))
    feature = message(
        "Feature",
        ("bytes_list", "BytesList", False),
        ("float_list", "FloatList", False),
        ("int64_list", "Int64List", False),
    )
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", ("feature", "Features.FeatureEntry", True))
    entry = message(
        "FeatureEntry",
        ("key", kinds.TYPE_STRING, False),
        ("value", "Feature", False),
        within=features,
    )
    entry.options.map_entry = True
    message("Example", ("features", "Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("convoy.Example"))


_EXAMPLE = _example_class()
