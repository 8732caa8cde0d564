"""Charts: the values that are drawn, and that hostile or empty input still gives a picture."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from convoy.pipeline.evaluation.confusion import detection_confusion
from convoy.pipeline.evaluation.matching import match
from convoy.pipeline.evaluation.voc import Curve, pr_curve
from convoy.pipeline.report import plots
from tests.evaluation.build import random_set


def _opened(figure):
    with Image.open(io.BytesIO(plots.png(figure))) as picture:
        picture.load()
        return picture


def _texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_pr_curve_shows_the_envelope_and_its_mean():
    first = Curve(np.array([1, 0.5, 2 / 3]), np.array([0.5, 0.5, 1.0]), np.ones(3), 2)
    absent = Curve(np.zeros(0), np.zeros(0), np.zeros(0), 0)
    missed = Curve(np.zeros(0), np.zeros(0), np.zeros(0), 4)
    axes = plots.pr_curves([first, absent, missed], ["a", "b", "c"]).axes[0]
    found, nothing, mean = axes.lines
    recall, precision = found.get_data()
    assert precision[recall == 0.5] == 1
    assert precision[recall == 0.75] == pytest.approx(2 / 3)
    assert (nothing.get_ydata() == 0).all()
    np.testing.assert_allclose(mean.get_ydata(), precision / 2)
    assert [line.get_label() for line in axes.lines] == ["a  0.833", "c  0.000", "mean  0.417"]


def test_confusion_matrix_prints_counts_and_definition():
    samples, detections = random_set(0)
    confusion = detection_confusion(samples, detections, "abc", score=0.3)
    figure = plots.confusion_matrix(confusion)
    expected = [str(count) for row in confusion.counts.tolist() for count in row if count]
    assert _texts(figure) == expected
    assert "IoU ≥ 0.50, score ≥ 0.30" in figure.get_supxlabel()


def test_large_confusion_matrix_keeps_the_confused_and_background():
    counts = np.diag(np.full(61, 5))
    counts[50, 51] = 7
    confusion = type(detection_confusion([], [], "a"))(
        counts, (*(f"c{k}" for k in range(60)), "background"), "as stated"
    )
    axes = plots.confusion_matrix(confusion).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(names) == 30
    assert {"c50", "c51", "background"} <= set(names)
    assert "29 most confused of 60 classes" in axes.get_title()
    # Parts are of the whole row.
    row, column = names.index("c50"), names.index("c51")
    assert axes.images[0].get_array()[row, column] == pytest.approx(7 / 12)


def test_training_curves_sort_names_into_panels():
    rows = [
        {"kind": "train", "step": 10, "epoch": 0.1, "lr": 0.1, "images_per_s": 9.0, "cls": 2.0},
        {"kind": "train", "step": 20, "epoch": 0.2, "lr": 0.05, "images_per_s": 9.0, "cls": None},
        {"kind": "val", "step": 20, "epoch": 0.2, "AP50": 0.5, "APs": None, "loss": 3.0},
    ]
    loss, validation, rate = plots.training_curves(rows).axes
    assert [line.get_label() for line in loss.lines] == ["cls", "val loss"]
    assert loss.lines[0].get_ydata()[0] == 2.0
    assert math.isnan(loss.lines[0].get_ydata()[1])
    assert [line.get_label() for line in validation.lines] == ["AP50"]
    assert rate.lines[0].get_ydata().tolist() == [0.1, 0.05]


def test_training_curves_are_few():
    """Sums of losses stay, a stage is no loss, and a certain top5 is no curve."""
    losses = {f"head{n}": 1.0 for n in range(9)}
    rows = [
        {"kind": "train", "step": 1, **losses, "loss": 9.0, "stage": 1, "lr": 0.1},
        {"kind": "val", "step": 1, "top1": 0.5, "top5": 1.0, "loss": 3.0},
    ]
    loss, validation, _ = plots.training_curves(rows, without=("top5",)).axes
    names = [line.get_label() for line in loss.lines]
    assert names == ["loss", "val loss", "head0", "head1", "head2", "head3"]
    assert loss.get_title(loc="left") == "Loss (6 of 11 curves)"
    assert [line.get_label() for line in validation.lines] == ["top1"]


def test_of_many_classes_the_best_and_worst_curves_are_drawn():
    def curve(k):
        return Curve(np.full(1, 1 - k / 10), np.ones(1), np.ones(1), 1)

    axes = plots.pr_curves([curve(k) for k in range(8)], "abcdefgh").axes[0]
    names = [line.get_label().split()[0] for line in axes.lines]
    assert names == ["a", "b", "c", "g", "h", "mean"]
    assert len(plots.pr_curves([curve(k) for k in range(5)], "abcde").axes[0].lines) == 6


def test_class_histogram_stacks_splits():
    figure = plots.class_histogram({"train": {"cat": 3, "dog": 5}, "val": {"cat": 1}})
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["dog", "cat"]
    assert [bar.get_width() for bar in axes.patches] == [5, 3, 0, 1]
    assert [text.strip() for text in _texts(figure)] == ["5", "4"]


HOSTILE = ["$x_{$", "\\frac", "<script>", "a" * 200, "", "日本"]


@pytest.mark.parametrize(
    "figure",
    [
        lambda: plots.pr_curves([], []),
        lambda: plots.training_curves([]),
        lambda: plots.class_histogram({}),
        lambda: plots.confusion_matrix(np.zeros((1, 1), int), ["one"]),
        lambda: plots.confusion_matrix(np.ones((6, 6), int), HOSTILE),
        lambda: plots.class_histogram({"train": dict.fromkeys(HOSTILE, 2)}),
        lambda: plots.training_curves([{"kind": "val", "step": 1, name: 0.5} for name in HOSTILE]),
    ],
)
@pytest.mark.filterwarnings("ignore:Glyph")
def test_empty_and_hostile_input_still_give_a_picture(figure):
    width, height = _opened(figure()).size
    assert 200 < width < 1600
    assert 100 < height < 1600


def test_the_same_numbers_give_the_same_bytes():
    samples, detections = random_set(0)
    matches = match(samples, detections, 3)
    once, again = (
        plots.png(plots.pr_curves([pr_curve(matches, k) for k in range(3)], "abc"))
        for _ in range(2)
    )
    assert once == again
