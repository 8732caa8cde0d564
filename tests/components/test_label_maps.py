"""Label maps in statistics, checks and ingest: by hand counts, and what is wrong with a map."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from convoy.data import example
from convoy.data.sample import Sample
from convoy.data.sources import SourceError
from convoy.data.statistics.partial import Partial, describe
from convoy.pipeline.components import example_gen
from convoy.pipeline.config import Validate
from convoy.pipeline.manifest import class_names
from convoy.pipeline.training.class_weights import median_frequency
from convoy.pipeline.validation import checks

NAMES = ("sky", "road", "car")


def png(values) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(values)).save(buffer, "PNG")
    return buffer.getvalue()


def sample(name: str, values=None, raw: bytes = b"") -> Sample:
    """A picture of 2 x 3 pixels with a label map."""
    picture = png(np.zeros((2, 3, 3)))
    return Sample(name, "train", picture, 2, 3, segmentation=raw or png(values))


HALF = sample("half", [[0, 0, 0], [1, 255, 255]])
ROAD = sample("road", [[1, 1, 1], [1, 1, 1]])
NOTHING = sample("nothing", [[255] * 3] * 2)
WIDE = sample("wide", [[0, 0, 0, 0], [1, 1, 1, 1]])
BEYOND = sample("beyond", [[0, 0, 0], [1, 3, 1]])
COLORED = sample("colored", np.zeros((2, 3, 3)))
BROKEN = sample("broken", raw=b"\x89PNG\r\n\x1a\nno picture")
ALL = (HALF, ROAD, NOTHING, WIDE, BEYOND, COLORED, BROKEN)


def described(samples) -> Partial:
    return describe([example.encode(s, ()) for s in samples], (), 0, len(NAMES))


def test_pixels_by_hand():
    found = described([HALF, ROAD]).label_maps.summary(NAMES)
    assert found["label_maps"] == 2
    assert found["pixels_by_class"] == {"sky": 3, "road": 7, "car": 0}
    assert found["shares"] == {"sky": 0.3, "road": 0.7, "car": 0.0}
    assert found["pictures_by_class"] == {"sky": 1, "road": 2, "car": 0}
    assert found["ignored"] == pytest.approx(2 / 12)
    assert described([]).label_maps.summary(NAMES) == {}


def test_parts_add_up():
    whole, parts = described([HALF, ROAD, WIDE]), Partial()
    for one in (ROAD, HALF, WIDE):
        parts.merge(described([one]))
    assert parts.label_maps.summary(NAMES) == whole.label_maps.summary(NAMES)


def test_each_fault_is_counted_and_named():
    problems = described(ALL).problems
    first = {reason: problem.examples[0] for reason, problem in problems.items()}
    assert first == {
        "unlabelled_picture": ("nothing", "every pixel is ignored"),
        "wrong_label_map_size": ("wide", "has 4x2 pixels, the picture 3x2"),
        "unknown_pixel": ("beyond", "holds 3, expected 0 to 2 or 255"),
        "corrupt_label_map": ("broken", "does not decode"),
    }
    assert problems["corrupt_label_map"].records == 2
    assert described([HALF, ROAD]).problems == {}


def statistics(train, val) -> dict:
    splits = {}
    for name, samples in {"train": train, "val": val}.items():
        partial = described(samples)
        splits[name] = {
            "records": partial.records,
            "label_maps": partial.label_maps.summary(NAMES),
            "problems": {
                reason: {"records": problem.records, "examples": problem.examples}
                for reason, problem in partial.problems.items()
            },
        }
    return {"segmentation_labels": list(NAMES), "splits": splits}


def checked(train, val, **limits) -> dict:
    found = checks.of_label_maps(statistics(train, val), "train", ("val",), Validate(**limits))
    return {check.name: check for check in found}


def test_bad_label_maps_are_refused():
    found = checked(ALL, [HALF])
    bad = found["label maps of train"]
    assert bad.verdict == checks.REFUSED
    assert bad.value == pytest.approx(4 / 7)
    assert "wide: wrong_label_map_size: has 4x2 pixels, the picture 3x2" in bad.examples
    assert found["label maps of val"].verdict == checks.OK


def test_pictures_and_classes_without_pixels():
    bare = Sample("bare", "train", png(np.zeros((2, 3, 3))), 2, 3)
    found = checked([HALF, NOTHING, bare], [ROAD], max_untrained=0.2)
    empty = found["unlabelled pictures of train"]
    assert (empty.value, empty.verdict) == (pytest.approx(2 / 3), checks.REFUSED)
    missing = found["classes without a pixel in train"]
    assert (missing.value, missing.verdict) == (pytest.approx(1 / 3), checks.REFUSED)
    assert missing.examples == ("car",)
    assert found["ignored pixels of train"].value == pytest.approx(8 / 12)
    assert found["ignored pixels of train"].verdict == checks.WARNING


def test_median_frequencies_by_hand():
    """sky 3 of the 4 labelled pixels of its picture, road 7 of 10; car has none."""
    weights = median_frequency([HALF, ROAD, NOTHING], 3)
    median = (3 / 4 + 7 / 10) / 2
    np.testing.assert_allclose(weights, [median / (3 / 4), median / (7 / 10), 1.0])
    with pytest.raises(ValueError, match="no record of the split has labelled pixels"):
        median_frequency([NOTHING], 3)


def folder(top, colored: bool = False):
    """Twelve pictures with label pictures of the same name; one is of another size."""
    for n in range(12):
        for kind in ("images", "labels"):
            (top / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 10, 3), 20 * n, np.uint8)).save(top / f"images/{n}.png")
        values = np.zeros((8, 10 + (n == 5)), np.uint8)
        values[:4] = 1 + n % 2
        picture = Image.fromarray(values)
        if colored:
            picture = Image.fromarray(np.stack([values * 60, values, values], -1))
        picture.save(top / f"labels/{n}.png")
    return top


def test_the_records_keep_the_names_and_count_what_is_left_out(tmp_path):
    source = folder(tmp_path / "data")
    params = example_gen.Params(max_rejected=0.1, labels=NAMES, holdout=0.5)
    example_gen.run({"source": source}, params, tmp_path / "records")
    assert class_names(tmp_path / "records", "segmentation") == NAMES
    manifest = json.loads((tmp_path / "records/manifest.json").read_text())
    assert manifest["rejected"] == {"bad_segmentation": 1}
    row = json.loads((tmp_path / "records/rejected.jsonl").read_text().splitlines()[0])
    assert "11x8 pixels; expected the picture's 10x8" in " ".join(map(str, row.values()))


def test_colored_label_pictures_need_a_table(tmp_path):
    source = folder(tmp_path / "data", colored=True)
    with pytest.raises(SourceError, match="are colored; expected a table of colors: label_colors"):
        example_gen.run({"source": source}, example_gen.Params(), tmp_path / "records")


def test_records_without_label_maps_say_so(class_records):
    with pytest.raises(ValueError, match="these records have no segmentation labels, of which"):
        class_names(class_records, "segmentation")
