"""Makes a folder of records a data set of TensorFlow Datasets: two JSON files, without TFDS.

`tfds.builder_from_directory(folder)` then reads the records in place: nested features whose joined
names are the keys of data/example.py. Lists are Sequences, empty where a record has none; pictures
are Images (of as many channels as they have), classes are ClassLabels. Boxes stay four lists of
normalised edges. Formats: features.json and dataset_info.json of tensorflow_datasets/core
(proto/feature.proto, proto/dataset_info.proto, as JSON).
"""

from __future__ import annotations

import json
import pathlib

from convoy.data import example, labels, tfrecord

NAME = "convoy"  # of the data set, for TFDS
_FEATURES = "tensorflow_datasets.core.features"
_DTYPES = {"float": "float32", "int64": "int64"}
_CLASSES = ("image/class/label", "image/object/class/label")
_PICTURES = {  # key -> channels; -1 = as in the file
    "image/encoded": -1,
    "image/target/encoded": -1,
    "image/object/mask": 1,
    "image/segmentation/class/encoded": 1,
}
_OF_PICTURES = ("image/encoded", "image/format", "image/height", "image/width", "image/key/sha256")
_SOMETIMES = ("image/object/keypoint/count", "image/object/action/count")


def write(folder: str | pathlib.Path) -> None:
    """Writes them into a folder with records, manifest.json and labels.txt."""
    folder = pathlib.Path(folder)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    names = labels.read(folder / "labels.txt")
    splits = manifest["splits"]
    pictures = any(split["image_bytes"] for split in splits.values())
    files = {
        "features.json": features(len(names), pictures),
        "dataset_info.json": {
            "name": NAME,
            "description": "Records of Convoy; manifest.json beside them says of what.",
            "version": f"{manifest['schema_version']}.0.0",
            "fileFormat": "tfrecord",
            "splits": [_split(folder, name, split) for name, split in splits.items()],
        },
    }
    for key in _CLASSES:
        labels.write(folder / f"{key.replace('/', '-')}.labels.txt", names)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def features(num_classes: int, pictures: bool = True) -> dict:
    """features.json of records with pictures, or of sentences."""
    top: dict = {}
    for key, (kind, length) in example.FEATURES.items():
        if key in _OF_PICTURES and not pictures:
            continue
        *above, last = key.split("/")
        node = top
        for part in above:
            node = node.setdefault(part, {})
        single = length == 1 and key not in _SOMETIMES
        leaf = _leaf(key, kind, num_classes)
        node[last] = (leaf if single else _sequence(leaf),)  # a tuple marks a leaf
    return _dict(top)


def _dict(node: dict) -> dict:
    inside = {
        name: below[0] if isinstance(below, tuple) else _dict(below) for name, below in node.items()
    }
    return {
        "pythonClassName": f"{_FEATURES}.features_dict.FeaturesDict",
        "featuresDict": {"features": inside},
    }


def _sequence(leaf: dict) -> dict:
    return {
        "pythonClassName": f"{_FEATURES}.sequence_feature.Sequence",
        "sequence": {"feature": leaf, "length": "-1"},
    }


def _leaf(key: str, kind: str, num_classes: int) -> dict:
    if key in _PICTURES:
        shape = {"dimensions": ["-1", "-1", str(_PICTURES[key])]}
        return {
            "pythonClassName": f"{_FEATURES}.image_feature.Image",
            "image": {"dtype": "uint8", "shape": shape},
        }
    if key in _CLASSES:
        return {
            "pythonClassName": f"{_FEATURES}.class_label_feature.ClassLabel",
            "classLabel": {"numClasses": str(num_classes)},
        }
    if kind == "bytes":
        return {"pythonClassName": f"{_FEATURES}.text_feature.Text", "text": {}}
    return {
        "pythonClassName": f"{_FEATURES}.tensor_feature.Tensor",
        "tensor": {"dtype": _DTYPES[kind], "encoding": "none", "shape": {}},
    }


def _split(folder: pathlib.Path, name: str, split: dict) -> dict:
    lengths = [sum(1 for _ in tfrecord.index(folder / shard)) for shard in split["shards"]]
    return {
        "name": name,
        "filepathTemplate": "{SPLIT}-{SHARD_INDEX}-of-{NUM_SHARDS}.tfrecord",
        "numBytes": str(split["file_bytes"]),
        "shardLengths": [str(length) for length in lengths],
    }
