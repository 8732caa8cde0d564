"""Statistics of some records of one split; partial results merge, in any order, into the same.

Memory: what `Numbers` takes per feature, a count per class name, BOXES sampled boxes, and 24 bytes
per record.
"""

from __future__ import annotations

import collections
import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from convoy.data import example
from convoy.data.proposals import OVERLAPS, best_overlaps
from convoy.data.sample import BadSample
from convoy.data.signals import wav
from convoy.data.statistics import keys, label_maps
from convoy.data.statistics.looks import look
from convoy.data.statistics.numbers import FRACTION, INTEGER, Numbers

GRID = 10  # cells per side of the map of box centres
BOXES = 4096  # boxes per split that are kept for whatever needs whole boxes
EXAMPLES = 10  # records that a problem lists as examples
EDGES = tuple(f"image/object/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
PROPOSED = tuple(f"image/proposal/bbox/{edge}" for edge in ("ymin", "xmin", "ymax", "xmax"))
PER_OBJECT = (*EDGES, *(f"image/object/{n}" for n in ("class/label", "class/text")))
TOLERANCE = 1e-6  # of normalised edges: float32 rounds
WORDS = (  # features whose values are names to count
    "image/format",
    "image/split",
    "image/class/text",
    "image/object/class/text",
    "image/object/view",
    "image/object/part/name",
)
# Features that no record holds, with the unit they are counted in.
DERIVED = {
    "image/bytes": INTEGER,
    "image/aspect": FRACTION,  # width / height
    "image/channels": INTEGER,
    "image/brightness": FRACTION,  # 0 to 255
    "image/contrast": FRACTION,
    "image/objects": INTEGER,  # per record
    "image/object/relative_area": FRACTION,  # part of the picture
    "image/object/aspect": FRACTION,  # width / height, in pixels
    "image/masks": INTEGER,  # per record
    "image/segmentation/ignored": FRACTION,  # part of a label map's pixels
    "image/captions": INTEGER,  # per record
    "image/proposals": INTEGER,  # per record that has some
    # Per object that is learnt of such a record: 1 where a proposal overlaps it so much, else 0.
    **{f"image/object/proposed_{overlap}": INTEGER for overlap in OVERLAPS},
    "image/caption/words": INTEGER,
    "text/words": INTEGER,
    "signal/samples": INTEGER,
    "signal/channels": INTEGER,
    "signal/rate": INTEGER,  # samples per second; 1 of series
}
CONTENT = ("image/encoded", "signal/encoded", "text/string")  # what a record is of
BOX = np.dtype(  # a random order, normalised edges, pixels of the picture
    {
        "names": ["order", "ymin", "xmin", "ymax", "xmax", "height", "width"],
        "formats": ["u8", "f4", "f4", "f4", "f4", "i4", "i4"],
    }
)


@dataclasses.dataclass
class Feature:
    """One key of the records."""

    kinds: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    lengths: Numbers = dataclasses.field(default_factory=Numbers)  # values per record that has it
    sizes: Numbers = dataclasses.field(default_factory=Numbers)  # bytes per value

    def merge(self, other: Feature) -> None:
        self.kinds.update(other.kinds)
        self.lengths.merge(other.lengths)
        self.sizes.merge(other.sizes)


@dataclasses.dataclass
class Problem:
    """Records with one kind of fault: how many faults, in how many records, and the first names."""

    count: int = 0
    records: int = 0
    examples: tuple[tuple[str, str], ...] = ()  # (source_id, detail), the first by name

    def merge(self, other: Problem) -> None:
        self.count += other.count
        self.records += other.records
        self.examples = tuple(heapq.nsmallest(EXAMPLES, self.examples + other.examples))


class Partial:
    """What is known of some records."""

    def __init__(self):
        self.records = 0
        self.features: dict[str, Feature] = collections.defaultdict(Feature)
        self.numbers: dict[str, Numbers] = {}
        self.words: dict[str, collections.Counter[str]] = {}
        self.images_by_class: collections.Counter[str] = collections.Counter()
        self.visibility: collections.Counter[tuple[int, int]] = collections.Counter()
        self.centers = np.zeros((GRID, GRID), np.int64)
        self.problems: dict[str, Problem] = {}
        self.label_maps = label_maps.Pixels()
        self.rows = np.zeros(0, keys.ROW)
        self.boxes = np.zeros(0, BOX)

    def merge(self, other: Partial) -> None:
        """Adds what `other` knows; `other` stays as it is."""
        self.records += other.records
        for ours, theirs, empty in (
            (self.features, other.features, lambda _: Feature()),
            (self.numbers, other.numbers, lambda value: Numbers(value.unit)),
            (self.problems, other.problems, lambda _: Problem()),
        ):
            for name, value in theirs.items():
                ours.setdefault(name, empty(value)).merge(value)
        for name, counts in other.words.items():
            self.words.setdefault(name, collections.Counter()).update(counts)
        self.images_by_class.update(other.images_by_class)
        self.visibility.update(other.visibility)
        self.centers = self.centers + other.centers
        self.label_maps.merge(other.label_maps)
        self.rows = np.concatenate([self.rows, other.rows])
        self.boxes = _first(np.concatenate([self.boxes, other.boxes]))


def describe(
    records: Iterable[bytes], labels: Sequence[str], shard: int = 0, pixel_classes: int = 255
) -> Partial:
    """Statistics of serialized records, the content of one shard. Raises SchemaError.

    pixel_classes: how many classes a label map may hold.
    """
    partial, rows, boxes = Partial(), [], []
    columns: dict[str, list[float]] = collections.defaultdict(list)
    lengths: dict[str, list[int]] = collections.defaultdict(list)
    sizes: dict[str, list[int]] = collections.defaultdict(list)
    for index, record in enumerate(records):
        parsed = example.parse(record)
        values = {name: listed for name, (_, listed) in parsed.items()}
        partial.records += 1
        for name, (kind, listed) in parsed.items():
            partial.features[name].kinds[kind] += 1
            lengths[name].append(len(listed))
            if kind == "bytes":
                sizes[name] += map(len, listed)
            else:
                columns[name] += listed
        source_id = _text(values.get("image/source_id", [b""]))
        faults = _derive(values, columns, labels)
        content = b"".join(next((values[key] for key in CONTENT if key in values), []))
        image, source = keys.of_record(
            content,
            b"".join(values.get("image/key/sha256", [])),
            b"".join(values.get("image/source_id", [])),
            f"{shard}:{index}",
        )
        rows.append((image, source, shard, index))
        if label_maps.KEY in values:
            counts, wrong = label_maps.look(values, pixel_classes)
            faults |= wrong
            if counts is not None:
                partial.label_maps.add(counts)
                columns["image/segmentation/ignored"].append(counts[255] / counts.sum())
        if EDGES[0] in values and not faults.keys() & {"ragged_objects", "missing_size"}:
            edges = np.array([values[edge] for edge in EDGES], np.float64).T
            size = values["image/height"][0], values["image/width"][0]
            boxes += _objects(partial, edges, size, source, values, columns, faults)
        for reason, details in faults.items():
            problem = Problem(len(details), 1, ((source_id, details[0]),))
            partial.problems.setdefault(reason, Problem()).merge(problem)
        _count_names(partial, values)
        if len(rows) % 1024 == 0:
            _fold(partial, columns, lengths, sizes, rows, boxes)
    _fold(partial, columns, lengths, sizes, rows, boxes)
    return partial


def _derive(values: Mapping[str, list], columns, labels: Sequence[str]) -> dict[str, list[str]]:
    """Adds the derived numbers of one record; returns reason -> details of its faults."""
    faults: dict[str, list[str]] = {}
    counts = {len(values.get(name, [])) for name in PER_OBJECT}
    columns["image/objects"].append(len(values.get(EDGES[0], [])))
    columns["image/masks"].append(len(values.get("image/object/mask", [])))
    columns["image/captions"].append(len(values.get("image/caption/string", [])))
    for name, words in (("image/caption/string", "image/caption/words"), ("text/string",) * 2):
        counted = [len(text.split()) for text in values.get(name, [])]
        columns["text/words" if name == words else words] += counted
    if len(counts) > 1:
        faults["ragged_objects"] = [f"lists of {sorted(counts)} boxes and classes"]
    for kind in ("image", "image/object"):
        lists = values.get(f"{kind}/class/label", []), values.get(f"{kind}/class/text", [])
        for label, text in zip(*lists, strict=False):
            class_name = text.decode("utf-8", "replace")
            if not 0 <= label < len(labels) or labels[label] != class_name:
                detail = f"label {label} is called {class_name!r}"
                faults.setdefault("wrong_label", []).append(detail)
    if "signal/encoded" in values:
        try:
            heard = wav.look(values["signal/encoded"][0], "the signal")
        except BadSample as error:
            faults["corrupt_signal"] = [error.detail]
        else:
            for name in ("samples", "channels", "rate"):
                columns[f"signal/{name}"].append(getattr(heard, name))
    if "image/encoded" not in values:
        return faults
    stated = [values.get(f"image/{side}", [0])[0] for side in ("height", "width")]
    if min(stated) < 1:
        faults["missing_size"] = [f"height and width are {stated}"]
    encoded = b"".join(values["image/encoded"])
    columns["image/bytes"].append(len(encoded))
    image = look(encoded)
    if image is None:
        faults["corrupt_image"] = ["does not decode"]
        return faults
    if stated != [image.height, image.width]:
        detail = f"states {stated[0]} x {stated[1]}, the picture has {image.height} x {image.width}"
        faults["wrong_size"] = [detail]
    columns["image/aspect"].append(image.width / image.height)
    for name in ("channels", "brightness", "contrast"):
        columns[f"image/{name}"].append(getattr(image, name))
    return faults


def _objects(partial: Partial, edges: np.ndarray, size, source: int, values, columns, faults):
    """Numbers of [N, 4] normalised boxes; returns the rows of those that training would see."""
    sides = edges[:, 2:] - edges[:, :2]
    solid = (sides > 0).all(axis=1)
    for box in edges[~solid]:
        faults.setdefault("degenerate_box", []).append(_box_text(box))
    inside = ((edges >= -TOLERANCE) & (edges <= 1 + TOLERANCE)).all(axis=1)
    for box in edges[~inside]:
        faults.setdefault("outside_box", []).append(_box_text(box))
    columns["image/object/relative_area"] += np.maximum(sides, 0).prod(axis=1).tolist()
    aspects = sides[solid, 1] * size[1] / (sides[solid, 0] * size[0])
    columns["image/object/aspect"] += aspects.tolist()
    middles = np.clip(np.nan_to_num((edges[:, :2] + edges[:, 2:]) / 2), 0, 1)
    cells = np.minimum((middles * GRID).astype(int), GRID - 1)
    np.add.at(partial.centers, (cells[:, 0], cells[:, 1]), 1)
    learned = solid
    for flag in ("image/object/is_crowd", "image/object/difficult"):
        if len(values.get(flag, [])) == len(edges):
            learned = learned & (np.array(values[flag]) == 0)
    if PROPOSED[0] in values:
        proposed = np.array([values[edge] for edge in PROPOSED], np.float64).T
        columns["image/proposals"].append(len(proposed))
        best = best_overlaps(edges[learned], proposed)  # the same in pixels and in parts of them
        for overlap in OVERLAPS:
            columns[f"image/object/proposed_{overlap}"] += (best >= overlap).astype(int).tolist()
    order = _mixed(source, np.flatnonzero(learned))
    return [(o, *box, *size) for o, box in zip(order, edges[learned].tolist(), strict=True)]


def _count_names(partial: Partial, values: Mapping[str, list]) -> None:
    """Class names and other words of one record, and keypoints by their visibility."""
    for name in WORDS:
        if name in values:
            texts = [_text([value]) for value in values[name]]
            partial.words.setdefault(name, collections.Counter()).update(texts)
    classes = values.get("image/class/text", []) + values.get("image/object/class/text", [])
    partial.images_by_class.update({_text([value]) for value in classes})
    visibility = values.get("image/object/keypoint/visibility", [])
    num_keypoints = values.get("image/object/keypoint/count", [0])[0]
    if num_keypoints > 0:
        partial.visibility.update((i % num_keypoints, int(v)) for i, v in enumerate(visibility))


def _fold(partial: Partial, columns, lengths, sizes, rows, boxes) -> None:
    """Counts what was gathered, and empties it."""
    for name, values in columns.items():
        integer = example.FEATURES.get(name, ("float",))[0] == "int64"
        unit = DERIVED.get(name, INTEGER if integer else FRACTION)
        partial.numbers.setdefault(name, Numbers(unit)).add(values)
    for name, counts in lengths.items():
        partial.features[name].lengths.add(counts)
    for name, counts in sizes.items():
        partial.features[name].sizes.add(counts)
    partial.rows = np.concatenate([partial.rows, np.array(rows, keys.ROW)])
    partial.boxes = _first(np.concatenate([partial.boxes, np.array(boxes, BOX)]))
    for gathered in (columns, lengths, sizes, rows, boxes):
        gathered.clear()


def _first(boxes: np.ndarray) -> np.ndarray:
    """The first BOXES by their random order: a fair sample, whoever gathered it."""
    return np.sort(boxes, order=BOX.names)[:BOXES]


def _mixed(seed: int, index: np.ndarray) -> list[int]:
    """A 64-bit random number for each index (SplitMix64, https://doi.org/10.1145/2714064.2660195)."""
    mixed = np.uint64(seed) + (index.astype(np.uint64) + np.uint64(1)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).tolist()


def _box_text(box: np.ndarray) -> str:
    return "box [" + ", ".join(f"{edge:.4g}" for edge in box) + "], as parts of the picture"


def _text(values: Sequence[bytes]) -> str:
    return b"".join(values).decode("utf-8", "replace")
