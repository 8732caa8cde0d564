"""Anchors out of boxes: k-means by hand, what it does not do worse than, and the verb."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

from convoy.data.sources import digits
from convoy.data.statistics.partial import BOX
from convoy.pipeline import cli
from convoy.pipeline.config import Model, Validate
from convoy.pipeline.validation import checks, clusters, priors


def boxes_of(sides, size: int = 100) -> np.ndarray:
    """Rows of boxes in the middle of pictures of `size`; sides are (height, width) pixels."""
    rows = []
    for number, (h, w) in enumerate(sides):
        half = np.array([h, w]) / size / 2
        rows.append((number, *(0.5 - half), *(0.5 + half), size, size))
    return np.array(rows, BOX)


def test_overlap_of_shapes_by_hand():
    """10 x 20 with 20 x 10: 100 of 300; with 5 x 40: 100 of 300; with itself 1."""
    found = clusters.overlap(np.array([[10.0, 20]]), np.array([[20.0, 10], [5, 40], [10, 20]]))
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 1]])


def test_three_heaps_are_found():
    """Their means, by area, whatever the seed."""
    heaps = [[[9, 11], [11, 9], [10, 10]], [[40, 20], [44, 24]], [[90, 80], [80, 90], [70, 70]]]
    sides = np.concatenate([np.array(heap, float) for heap in heaps])
    for seed in range(5):
        found = clusters.shapes(sides, 3, seed)
        np.testing.assert_allclose(found, [[10, 10], [42, 22], [80, 80]])
    one = clusters.shapes(sides, 1)
    np.testing.assert_allclose(one, sides.mean(axis=0)[None])
    assert len(clusters.shapes(np.ones((9, 2)), 5)) == 1
    with pytest.raises(ValueError, match="expected boxes and a count"):
        clusters.shapes(sides[:0], 3)


def test_more_clusters_overlap_more_and_better_than_darknet_s_for_voc():
    """The table of the paper: k-means of the boxes against anchors of another data set."""
    sides = np.exp(np.random.default_rng(0).normal(3.5, 0.6, (500, 2)))
    overlaps = [clusters.mean_overlap(sides, clusters.shapes(sides, k)) for k in (1, 3, 5, 9)]
    assert overlaps == sorted(overlaps)
    others = np.array([[10, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119]])[:, ::-1]
    assert clusters.mean_overlap(sides, clusters.shapes(sides, 6)) > clusters.mean_overlap(
        sides, others
    )


def test_anchors_that_fit_no_box_are_a_warning_with_better_ones():
    """Boxes of 3 x 4 and 4 x 3 px: below 10 x 14, the smallest of yolov3_tiny, by 0.1."""
    model = Model(name="yolov3_tiny", input_size=(64, 64))
    boxes = boxes_of([(3, 4), (4, 3)] * 5 + [(40, 50)], size=64)
    found = priors.reach(boxes, model, ("a",))
    assert (found.boxes, found.unmatched, found.threshold, found.forced) == (11, 10, 0.5, True)
    assert found.suggested == ((4, 3), (3, 4), (50, 40)) or found.suggested == (
        *((3, 4), (4, 3)),
        (50, 40),
    )
    assert found.suggested_overlap == pytest.approx(1)
    check = checks.of_priors("yolov3_tiny", found, Validate(max_unmatched=0.5))
    assert check.verdict == "warning"  # never refused: every object is learnt
    for words in ("9% are reached", "k-means", "50 x 40", "set model.anchors"):
        assert words in check.text

    fitting = model.model_copy(update={"anchors": (*found.suggested, *found.suggested)})
    again = priors.reach(boxes, fitting, ("a",))
    assert (again.unmatched, again.own_overlap) == (0, pytest.approx(1))
    assert checks.of_priors("yolov3_tiny", again, Validate()).verdict == "ok"


def test_priors_with_a_threshold_are_refused_and_say_what_would_fit():
    model = Model(name="ssd_mobilenet_v1", input_size=(64, 64), width=0.25)
    found = priors.reach(boxes_of([(0.5, 1), (1, 0.5), (1, 1)] * 4), model, ("a",), count=2)
    assert len(found.suggested) == 2
    check = checks.of_priors("ssd_mobilenet_v1", found, Validate(max_unmatched=0.9))
    assert check.verdict == "refused"
    assert "take a model.input_size that fits them" in check.text


def test_the_verb(tmp_path, capsys):
    devkit = digits.build(tmp_path / "digits", seed=3, images=(6, 2))
    recipe = {
        "name": "anchors",
        "task": "detection",
        "run_dir": str(tmp_path / "run"),
        "data": {"format": "voc", "path": str(devkit), "train": "train", "test": "val"},
        "model": {"name": "yolov3_tiny", "input_size": [96, 128]},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    assert cli.main(["convoy", "anchors", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert len(found["suggested"]) == 6
    assert found["suggested_overlap"] > found["own_overlap"]
    anchors = json.dumps(found["suggested"])
    words = ["convoy", "anchors", str(path), "--set", f"model.anchors={anchors}", "--count", "4"]
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    assert f"now {found['suggested_overlap']:.3f}" in text
    assert text.splitlines()[-1].count("[") == 5
    assert cli.main(["convoy", "anchors", str(path), "--set", "model.anchors=[[3, 4]]"]) != 0
    assert "a multiple of 2 of them" in capsys.readouterr().err
