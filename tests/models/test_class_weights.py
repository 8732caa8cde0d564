"""Weights of classes in the loss, by hand and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from convoy import models
from convoy.models.classification import task
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.training import class_weights

LABELS = ("cat", "dog", "eel", "fox")


def loss(targets, outputs, weights, **options):
    built = models.build_task("lenet5", num_classes=2, class_weights=weights, **options)
    (total, count) = built.loss(targets, np.float32(outputs))["cls"]
    return float(total), float(count)


def test_a_weight_is_a_factor_of_the_loss_of_its_class():
    """Logits (0, 0) and (ln 3, 0): cross entropies ln 2 of class 0, ln 4 of class 1."""
    targets, logits = {"label": np.array([0, 1])}, [[0, 0], [math.log(3), 0]]
    total, count = loss(targets, logits, (3.0, 0.5))
    assert total == pytest.approx(3 * math.log(2) + 0.5 * math.log(4))
    assert count == 2
    assert loss(targets, logits, ())[0] == pytest.approx(math.log(2) + math.log(4))
    assert loss(targets, logits, (1.0, 1.0))[0] == pytest.approx(math.log(2) + math.log(4))


def test_a_mixed_picture_has_the_mean_of_its_classes_weights():
    """A quarter of class 0 of weight 3, the rest of class 1 of 0.5: 1.125 times ln 2."""
    total, _ = loss({"distribution": np.float32([[0.25, 0.75]])}, [[0, 0]], (3.0, 0.5))
    assert total == pytest.approx(1.125 * math.log(2))


def test_smoothed_labels_keep_the_weight_of_their_class():
    logits = [[math.log(3), 0]]
    smoothed = 0.9 * math.log(4 / 3) + 0.1 * (math.log(4 / 3) + math.log(4)) / 2
    total, _ = loss({"label": np.array([0])}, logits, (2.0, 9.0), label_smoothing=0.1)
    assert total == pytest.approx(2 * smoothed)


def test_one_weight_per_class():
    with pytest.raises(ValueError, match="one number for each of the 2 classes, got 3"):
        models.build_task("lenet5", num_classes=2, class_weights=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="class_weights is for classification"):
        models.build_task("lenet5", task="multilabel", num_classes=2, class_weights=(1.0, 2.0))
    assert task.check_weights((), None) is None


def test_balanced_weights():
    """12 records of 3 classes that occur: 12 / (3 * 6), 12 / (3 * 2), 12 / (3 * 4)."""
    found = class_weights.balanced([6, 2, 0, 4])
    assert found == pytest.approx((2 / 3, 2.0, 1.0, 1.0))
    labels = np.repeat([0, 1, 3], [6, 2, 4])
    reference = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels)
    assert [found[0], found[1], found[3]] == pytest.approx(reference.tolist())
    assert np.mean(np.array(found)[labels]) == pytest.approx(1)


def test_what_a_recipe_may_ask_for():
    counts = {"cat": 6, "dog": 2, "fox": 4}

    def asked(value):
        return class_weights.of_records(value, LABELS, counts, None)

    assert asked("none") == ()
    assert asked("auto") == class_weights.balanced([6, 2, 0, 4])
    assert asked({"dog": 3.0, "eel": 0.0}) == (1.0, 3.0, 0.0, 1.0)
    assert asked((1.0, 2.0, 3.0, 4.0)) == (1.0, 2.0, 3.0, 4.0)
    with pytest.raises(ConfigError, match="no class is called 'dgo'; did you mean 'dog'"):
        asked({"dgo": 1.0})
    with pytest.raises(ValueError, match="median is of pixels"):
        asked("median")
    with pytest.raises(ValueError, match="no record of the split has a class"):
        class_weights.of_records("auto", LABELS, {}, None)


def test_weights_of_which_all_are_nothing_are_refused():
    assert class_weights.named({"cat": 0, "dog": 0}, LABELS) == (0, 0, 1, 1)
    with pytest.raises(ConfigError, match="every class is 0"):
        class_weights.named(dict.fromkeys(LABELS, 0), LABELS)
