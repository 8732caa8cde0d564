"""Batches with mixed pictures and searched policies: the same after a resume and by workers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.augment.policy import Augment
from convoy.data.input.input import Stream, training_batches
from convoy.models.assign import encode_ssd
from convoy.models.classification.task import encode
from convoy.models.spec import Preprocess

LABELS, BOXES = ("labels",), ("boxes",)
CASES = {
    LABELS: Augment(mixup=0.3, cutmix=1.0, flip_horizontal=0.5),
    BOXES: Augment(mosaic=0.8, mixup=1.5, zoom=(0.8, 1.2), randaugment=(1, 9)),
}


def encode_boxes(annotation):
    return annotation


def stream(records, fields, **changed) -> Stream:
    given = {
        "encode": encode if fields == LABELS else encode_boxes,
        "augment": CASES[fields],
        "batch_size": 8,
        "max_boxes": 6,
        "preprocess": Preprocess(size=(32, 32)),
        **changed,
    }
    return Stream(records=records, split="train", fields=fields, **given)


def take(batches, number: int) -> list[dict]:
    return list(batches.take(number).as_numpy_iterator())


def assert_equal(left: dict, right: dict) -> None:
    tf.nest.assert_same_structure(left, right)
    for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fields", CASES)
def test_a_mixed_batch_does_not_depend_on_where_it_is_made(digits_records, fields):
    given = stream(digits_records, fields)
    whole = take(training_batches(given), 4)
    tf.random.set_seed(5)
    (resumed,) = take(training_batches(given, start_step=3), 1)
    assert_equal(resumed, whole[3])
    contexts = [tf.distribute.InputContext(2, index, 2) for index in range(2)]
    parts = [take(training_batches(given, context=context), 1)[0] for context in contexts]
    assert_equal(tf.nest.map_structure(lambda *p: np.concatenate(p), *parts), whole[0])
    assert set(whole[0]) == {"image", "targets", "source_id"}
    # The fourth batch is the first of the second epoch's pictures: others met there.
    assert np.abs(whole[3]["image"] - whole[0]["image"]).max() > 1


def test_labels_are_the_weights_of_a_pair(digits_records):
    plain = stream(digits_records, LABELS, augment=Augment())
    (labels,) = [batch["targets"]["label"] for batch in take(training_batches(plain), 1)]
    mixing = stream(digits_records, LABELS, augment=Augment(mixup=1.0))
    (batch,) = take(training_batches(mixing), 1)
    (one,) = [b["image"] for b in take(training_batches(plain), 1)]
    weights = batch["targets"]["distribution"]
    assert weights.shape == (8, 10)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    for row, (own, other) in enumerate(zip(labels, labels[[1, 0, 3, 2, 5, 4, 7, 6]], strict=True)):
        assert set(np.flatnonzero(weights[row])) <= {own, other}
        if own != other:
            share = weights[row, own]
            expected = share * one[row] + (1 - share) * one[row ^ 1]
            np.testing.assert_allclose(batch["image"][row], expected, atol=1e-2)


def test_objects_of_a_mosaic_reach_the_encoder(digits_records):
    given = stream(digits_records, BOXES, augment=Augment(mosaic=1.0), max_boxes=20)
    plain = stream(digits_records, BOXES, augment=Augment(), max_boxes=20)
    (mosaic,), (alone,) = (take(training_batches(each), 1) for each in (given, plain))
    for row in range(8):
        found = mosaic["targets"]["classes"][row][mosaic["targets"]["valid"][row]]
        four = slice(row // 4 * 4, row // 4 * 4 + 4)
        held = alone["targets"]["classes"][four][alone["targets"]["valid"][four]]
        assert set(found) <= set(held)
        boxes = mosaic["targets"]["boxes"][row]
        assert boxes.min() >= 0
        assert boxes.max() <= 32
    assert mosaic["targets"]["valid"].sum() > 0
    priors = np.array([[8, 8, 24, 24], [0, 0, 16, 16]], np.float32)

    def codes(annotation):
        objects = (annotation[name] for name in ("boxes", "classes", "valid"))
        return encode_ssd(*objects, priors=priors, num_classes=10)

    (encoded,) = take(training_batches(stream(digits_records, BOXES, encode=codes)), 1)
    assert encoded["targets"]["cls"].shape == (8, 2)


def test_what_does_not_divide_or_fit_is_an_error(digits_records):
    with pytest.raises(ValueError, match=r"batch_size 6 gives .* 6 rows.* mixes 4 at a time"):
        training_batches(stream(digits_records, BOXES, batch_size=6))
    context = tf.distribute.InputContext(4, 0, 4)
    with pytest.raises(ValueError, match=r"batch_size 8 gives each of 4 workers 2 rows"):
        training_batches(stream(digits_records, BOXES), context=context)
    with pytest.raises(ValueError, match="cutmix mixes labels, the task learns boxes"):
        training_batches(stream(digits_records, BOXES, augment=Augment(cutmix=1.0)))
