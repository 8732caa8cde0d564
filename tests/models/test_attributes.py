"""Properties of a picture: the loss, what is answered, counts, and a table's columns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from convoy import models
from convoy.data import labels as label_map
from convoy.data.sources import Options, SourceError, csv
from convoy.models.classification import attributes
from convoy.pipeline.evaluation.attributes import Properties

LABELS = ("size=small", "size=large", "legs=four", "legs=six", "legs=eight")
GROUPS = ((0, 1), (2, 3, 4))


def task(**options):
    return models.build_task("lenet5", task="attributes", num_classes=5, groups=GROUPS, **options)


def test_classes_by_property():
    assert label_map.properties(LABELS) == {"size": [0, 1], "legs": [2, 3, 4]}
    assert label_map.properties(("a=b=c",)) == {"a": [0]}
    with pytest.raises(ValueError, match="called PROPERTY=VALUE, got 'cat'"):
        label_map.properties(("a=1", "cat"))


def test_the_loss_by_hand():
    """Three pictures: large and six legs; eight legs, of a size that is not known; nothing known.

    Of equal logits ln 2 + ln 3; of logits 0, 0, ln 3 for the legs ln(1 + 1 + 3) - ln 3.
    """
    logits = np.zeros((3, 5), np.float32)
    logits[1, 4] = np.log(3)
    encoded = [
        task().encode({"labels": np.array(known, np.int64)})["labels"]
        for known in ([1, 3, -1], [4, -1, -1], [-1, -1, -1])
    ]
    total, count = task().loss({"labels": np.stack(encoded)}, logits)["cls"]
    assert float(total) == pytest.approx(np.log(2) + np.log(3) + np.log(5 / 3), abs=1e-6)
    assert float(count) == 3.0


def test_what_is_not_known_teaches_nothing():
    logits = tf.Variable(np.random.default_rng(0).normal(size=(1, 5)).astype(np.float32))
    with tf.GradientTape() as tape:
        total, _ = attributes.entropy(np.float32([[0, 0, 0, 1, 0]]), logits, GROUPS)
    gradient = tape.gradient(total, logits).numpy()[0]
    assert not gradient[:2].any()
    p = np.exp(logits.numpy()[0, 2:])
    np.testing.assert_allclose(gradient[2:], p / p.sum() - [0, 1, 0], atol=1e-6)


def test_each_property_has_its_best_value():
    """Classes of a property need not stand together."""
    groups = ((0, 3), (1, 2, 4))
    logits = np.float32([[0, 2, 0, np.log(3), 1], [5, 0, 0, 0, 9]])
    found = attributes.decided(logits, groups)
    scores, values = (np.asarray(found[name]) for name in ("scores", "values"))
    assert values.tolist() == [[3, 1], [0, 4]]
    np.testing.assert_allclose(scores[0, [0, 3]], [0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(scores[:, [0, 3]].sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(scores[:, [1, 2, 4]].sum(1), 1, atol=1e-6)
    answered = attributes.answer(found, None, None, tf.constant(list("abcde")))
    assert answered["class_names"].numpy().tolist() == [[b"d", b"b"], [b"a", b"e"]]


def test_counts_by_hand():
    """Of size three are known, two right; of legs two, one right; one picture is right in all."""
    numbers = Properties({"size": [0, 1], "legs": [2, 3, 4]}, 5)
    for labels, found in (
        ([1, 3], [1, 3]),
        ([0, 2], [0, 4]),
        ([0], [1, 2]),
        ([], [0, 2]),
    ):
        numbers.update(np.array(labels, np.int64), found)
    result = numbers.result()
    size, legs = result["per_property"].values()
    assert (size["accuracy"], size["pictures"]) == (pytest.approx(2 / 3), 3)
    assert size["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert size["most_frequent"] == pytest.approx(2 / 3)
    assert (legs["accuracy"], legs["pictures"]) == (pytest.approx(1 / 2), 2)
    assert result["accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert (result["exact_match"], result["pictures"]) == (pytest.approx(1 / 3), 3)
    large = numbers.per_class(LABELS)["size=large"]
    assert large == {"recall": 1.0, "precision": 0.5, "pictures": 1}
    assert Properties({"a": [0]}, 1).result()["accuracy"] is None


def test_groups_that_leave_a_class_out_are_named():
    with pytest.raises(ValueError, match="each of the 5 classes once"):
        models.build_task("lenet5", task="attributes", num_classes=5, groups=((0, 1), (2, 3)))


def table(folder, text: str):
    folder.mkdir(exist_ok=True)
    for name in "abcd":
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / f"{name}.png")
    (folder / "plants.csv").write_text(text)
    return folder


def test_a_column_per_property(tmp_path):
    """An empty cell says nothing; commas in a cell stay; columns that are not named are told."""
    text = 'file,leaves,margin,by\na.png,opposite,,X\nb.png,"whorled, in threes",entire,X\n'
    folder = table(tmp_path, text + "c.png,opposite,toothed,Y\nd.png,,,Y\n")
    listing = csv.scan(folder, Options(attributes=("leaves", "margin")))
    assert listing.labels == (
        "leaves=opposite",
        "leaves=whorled, in threes",
        "margin=entire",
        "margin=toothed",
    )
    found = {r.source_id: csv.read(r, listing.labels).labels.tolist() for r in listing.references}
    assert found == {"a.png": [0], "b.png": [1, 2], "c.png": [0, 3], "d.png": []}
    assert any("columns that are not used: by" in note for note in listing.notes)


def test_columns_that_are_not_there_are_named(tmp_path):
    folder = table(tmp_path, "file,leaves,margin\na.png,opposite,entire\n")
    with pytest.raises(SourceError, match=r"no column petals of data\.attributes, but file"):
        csv.scan(folder, Options(attributes=("leaves", "petals")))
    with pytest.raises(SourceError, match=r"the names go into data\.attributes"):
        csv.scan(folder, Options())
