"""What each task makes of served answers: lines, JSON, words, drawings, and what a report shows."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convoy.data.sample import Sample
from convoy.models.tasks import TASKS
from convoy.pipeline import tasks
from convoy.pipeline.tasks import detection, pose, segmentation, text
from tests.evaluation.answers import (
    ANSWERS,
    BEST,
    FOUND,
    LABELS,
    PROPERTIES,
    encoded,
    png,
    sample,
)


def test_every_task_of_the_table_is_here():
    assert {*TASKS} == {*ANSWERS}
    for name in TASKS:
        public = {*tasks.of(name).__all__}
        expected = {"Chosen", "Metrics", "draw", "named", "row", "summary", "show"}
        assert ("labels_of" in public) == (not TASKS[name].label_map)
        undrawn = {"draw"} if name in ("text", "signals") else set()
        objects = {"SCORE", "found"} if name in ("detection", "instance", "pose") else set()
        judged = {"ERRORS", "judged", "shapes"} if name != "restoration" else set()
        assert public - {"files", "labels_of"} == (expected | objects | judged) - undrawn


ROWS = {
    **{key: {"scores": [0.12346, 0.75, 0.12654]} for key in ("classification", "text", "signals")},
    "localization": {"scores": [0.12346, 0.75, 0.12654], "box": [10.13, 10, 50, 50.5]},
    "multilabel": {"scores": [0.6, 0.1, 0.9], "chosen": [0, 2]},
    "detection": {
        "boxes": [[10, 10, 50, 50], [0, 0, 9.13, 8]],
        "scores": [0.8765, 0.25],
        "classes": [1, 2],
    },
    "segmentation": {"fractions": [0.75, 0, 0.25]},
    "restoration": {"height": 60, "width": 80},
    "attributes": {"scores": [0.25, 0.75, 1.0], "classes": [1, 2]},
    "captioning": {
        "caption": "a bee on a flower",
        "captions": ["a bee on a flower", "a bee", ""],
        "scores": [0.1235, 0.01, 0],
    },
    "pose": {
        "keypoints": [
            [[12, 20, 0.9], [30, 11, 0.8], [40, 41.5, 0.7]],
            [[1, 2, 0.25], [5, 70, 0.5], [0, 0, 0]],
        ],
        "scores": [0.8765, 0.25],
    },
}
ROWS["instance"] = ROWS["detection"]
MASKS = [base64.b64encode(bytes([value]) * 784).decode() for value in (255, 153)]
NAMED = {
    "classification": {"class": "bee", "scores": BEST["scores"].tolist()},
    "text": {"class": "bee", "scores": BEST["scores"].tolist()},
    "signals": {"class": "bee", "scores": BEST["scores"].tolist()},
    "localization": {
        "class": "bee",
        "scores": BEST["scores"].tolist(),
        "box": ANSWERS["localization"]["box"].tolist(),
    },
    "multilabel": {"classes": ["cat", "ant"], "scores": ANSWERS["multilabel"]["scores"].tolist()},
    "detection": {
        "detections": [
            {"box": [10, 10, 50, 50], "score": float(np.float32(0.87654)), "class": "bee"},
            {"box": [0, 0, float(np.float32(9.126)), 8], "score": 0.25, "class": "cat"},
        ]
    },
    "segmentation": {"classes": {"ant": 0.75, "cat": 0.25}},
    "restoration": {"height": 60, "width": 80},
    "attributes": {
        "properties": {"size": "large", "legs": "six"},
        "scores": [0.25, 0.75, 1.0],
    },
    "captioning": {
        "caption": "a bee on a flower",
        "captions": [
            {"caption": "a bee on a flower", "score": float(np.float32(0.123456))},
            {"caption": "a bee", "score": float(np.float32(0.01))},
        ],
    },
    "pose": {
        "people": [
            {
                "score": float(np.float32(0.87654)),
                "keypoints": {
                    "ant": [12, 20, float(np.float32(0.9))],
                    "bee": [30, 11, float(np.float32(0.8))],
                    "cat": [40, 41.5, float(np.float32(0.7))],
                },
            },
            {
                "score": 0.25,
                "keypoints": {"ant": [float(np.float32(1.0004)), 2, 0.25], "bee": [5, 70, 0.5]},
            },
        ]
    },
}
NAMED["instance"] = {
    "detections": [
        {**found, "mask_28x28": mask}
        for found, mask in zip(NAMED["detection"]["detections"], MASKS, strict=True)
    ]
}
SAID = {
    "classification": "bee 0.75",
    "text": "bee 0.75",
    "signals": "bee 0.75",
    "localization": "bee 0.75",
    "multilabel": "cat, ant",
    "detection": "",
    "instance": "",
    "segmentation": "ant 75%, cat 25%",
    "restoration": "80x60 px",
    "attributes": "size=large, legs=six",
    "captioning": "a bee on a flower",
    "pose": "",
}


@pytest.mark.parametrize("task", TASKS)
def test_lines_json_and_words_by_hand(task):
    module = tasks.of(task)
    row = json.loads(json.dumps(module.row(ANSWERS[task])))  # as it is read from the file
    if task == "segmentation":
        data = base64.b64decode(row.pop("label_map_png"))
        np.testing.assert_array_equal(Image.open(io.BytesIO(data)), FOUND)
    if task == "instance":
        assert row.pop("masks_28x28") == MASKS
    assert {*row} == {*ROWS[task]}
    for name, values in ROWS[task].items():
        if isinstance(np.ravel(values)[0], str):
            assert row[name] == values
            continue
        np.testing.assert_allclose(np.ravel(row[name]), np.ravel(values), atol=1e-6)
    assert json.loads(json.dumps(module.named(ANSWERS[task]))) == NAMED[task]
    assert module.summary(ANSWERS[task]) == SAID[task]


def test_detections_are_drawn_from_a_score_on():
    grey = np.asarray(Image.open(io.BytesIO(png())))

    def changed(score):
        drawn = np.asarray(detection.draw(png(), ANSWERS["detection"], score))
        return (drawn != grey).any(axis=-1)

    assert not changed(0.9).any()
    some, both = changed(0.5), changed(0.2)
    assert [detection.found(ANSWERS["detection"], score) for score in (0.9, 0.5, 0.2)] == [0, 1, 2]
    own = {"bee": 0.88, "cat": 0.25}  # of each class; the other classes: 0.5
    assert detection.kept(ANSWERS["detection"], own).tolist() == [False, True]
    assert detection.kept(ANSWERS["detection"], {"cat": 0.26}).tolist() == [True, False]
    assert some[49, 10:50].all()  # the lower edge of the first box
    assert not some[0:8, 0].any()
    assert both[0:8, 0].all()  # the left edge of the second


def test_people_are_drawn_from_a_score_on():
    """Three names are no skeleton that is known: dots alone, one per keypoint that was found."""
    grey = np.asarray(Image.open(io.BytesIO(png())))

    def changed(score):
        return (np.asarray(pose.draw(png(), ANSWERS["pose"], score)) != grey).any(axis=-1)

    assert not changed(0.9).any()
    one, both = changed(0.5), changed(0.2)
    assert [pose.found(ANSWERS["pose"], score) for score in (0.9, 0.5, 0.2)] == [0, 1, 2]
    assert [one[12, 20], one[30, 11], one[40, 41]] == [True] * 3
    assert not one[5, 70]
    assert both[5, 70]
    assert both.sum() == pytest.approx(one.sum() / 3 * 5, abs=2)
    assert not both[0, 0]


def test_label_maps_are_drawn_and_written_in_voc_s_colours():
    """Class 2 is (0, 128, 0) there; the first class is left as the picture is."""
    answer = ANSWERS["segmentation"]
    drawn = np.asarray(segmentation.draw(png(), answer, 0.5))
    assert drawn[59, 0].tolist() == [128, 128, 128]
    expected = 0.45 * 128 + 0.55 * np.array([0, 128, 0])
    np.testing.assert_allclose(drawn[0, 79], expected, atol=1)
    (name, content), *others = segmentation.files(answer).items()
    assert (name, others) == ("label_maps", [])
    written = Image.open(io.BytesIO(content))
    assert written.mode == "P"
    np.testing.assert_array_equal(written, FOUND)
    assert written.convert("RGB").getpixel((79, 0)) == (0, 128, 0)


def test_the_worst_label_maps_come_first():
    """Pictures with 1, 2, ... wrong rows of 60: of seven shown, four are the worst."""
    chosen = segmentation.Chosen(10, 7)
    for n in range(10):
        wrong = FOUND.copy()
        wrong[60 - (n + 3) % 10 :] = 1
        answer = {**ANSWERS["segmentation"], "label_map_bytes": encoded(Image.fromarray(wrong))}
        chosen.update(sample(f"{n}"), answer)
    names = [item.source_id for item, _ in chosen.pairs()]
    assert names[:4] == ["6", "5", "4", "3"]
    assert len(names) == 7


def test_a_label_map_of_another_size_is_named():
    answer = {"label_map_bytes": encoded(Image.fromarray(FOUND[:50]))}
    with pytest.raises(ValueError, match="p: the label map has 80x60 pixels, the answer 80x50"):
        segmentation.Metrics(LABELS).update(sample(), answer)


@pytest.mark.parametrize("task", TASKS)
def test_the_report_shows_the_chosen(task):
    module = tasks.of(task)
    labels = PROPERTIES if task == "attributes" else LABELS
    metrics, chosen = module.Metrics(labels), module.Chosen(5, 3)
    for n in range(5):
        pair = sample(f"p{n}", image=b"" if task in ("text", "signals") else png()), ANSWERS[task]
        metrics.update(*pair)
        chosen.update(*pair)
    numbers = metrics.result()
    assert numbers[TASKS[task].gate] == pytest.approx({"PSNR": 100.0}.get(TASKS[task].gate, 1.0))
    pairs = chosen.pairs()
    assert [item.source_id for item, _ in pairs] == ["p0", "p2", "p4"]
    shown = module.show(metrics, numbers, pairs)
    assert all(content.startswith(b"\x89PNG") for content in shown.figures.values())
    assert len(shown.gallery) + len(shown.examples) == 3
    if task == "detection":
        assert shown.points == {"bee": pytest.approx(0.87654)}
        costs, counts = shown.tables.values()
        # Each picture has a bee, found, and a cat at 0.25 that is not there.
        assert set(costs["all"].values()) == {0.0}
        assert counts["all"] == dict.fromkeys(counts["ant"], 0)
        assert numbers["errors_by_kind"]["per_class"]["cat"]["background"] == 5
        assert "Errors by kind" in shown.figures


@pytest.mark.parametrize("task", ["classification", "localization", "multilabel"])
def test_scores_that_are_not_finite_name_the_picture(task):
    wrong = {**ANSWERS[task], "scores": np.array([0, np.nan, 1])}
    with pytest.raises(ValueError, match="picture 7: expected finite scores"):
        tasks.of(task).Metrics(LABELS).update(sample("picture 7"), wrong)


def test_a_class_without_a_label_and_a_picture_without_a_class():
    with pytest.raises(ValueError, match=r"p: a detection has class 2; expected 0\.\.1"):
        detection.Metrics(LABELS[:2]).update(sample(), ANSWERS["detection"])
    none = Sample("p", "val", b"", 0, 0)
    with pytest.raises(ValueError, match="p: expected a class, the record has none"):
        text.Metrics(LABELS).update(none, BEST)


@pytest.mark.parametrize("seed", range(4))
def test_sentences_begin_with_the_surest_mistakes(seed):
    """Against the same rule over all sentences at once; scores of one digit are often equal."""
    rng = np.random.default_rng(seed)
    total, count = 40, 7
    scores = np.round(rng.dirichlet(np.ones(3), total), 1)
    truth = scores.argmax(axis=1)
    wrong = rng.random(total) < rng.choice([0.05, 0.5])
    truth[wrong] = (truth[wrong] + 1) % 3
    chosen = text.Chosen(total, count)
    for n in range(total):
        chosen.update(sample(f"{n}", truth[n]), {"scores": scores[n]})
    mistakes = np.flatnonzero(wrong)
    order = np.argsort(-scores.max(axis=1)[mistakes], kind="stable")
    expected = mistakes[order][:4].tolist()
    evenly = [i for i in (0, 6, 13, 19, 26, 32, 39) if i not in expected]
    expected += evenly[: count - len(expected)]
    assert [int(item.source_id) for item, _ in chosen.pairs()] == expected


def test_metrics_and_drawings_need_no_tensorflow():
    code = (
        "import sys\nfrom convoy.pipeline import tasks\nfrom convoy.models.tasks import TASKS\n"
        "for task in TASKS: tasks.of(task)\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
