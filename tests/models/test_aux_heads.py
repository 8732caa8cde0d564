"""Auxiliary heads: their weighted losses by hand, and that only training ever sees them."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy.models import count
from convoy.models.classification import task
from convoy.models.heads import without_heads
from convoy.models.registry import MODELS
from convoy.serving import export
from tests.parity import formula
from tests.serving import tiny

LN2, LN5 = np.log(2), np.log(5)
# Softmax 1/5, 2/5, 1/5, 1/5; a quarter each; 1/5, 1/5, 1/5, 2/5.
OUTPUTS = {
    "logits": np.float32([[0, LN2, 0, 0]]),
    "aux1": np.zeros((1, 4), np.float32),
    "aux2": np.float32([[0, 0, 0, LN2]]),
}


def two_heads(classes: int = 4) -> keras.Model:
    """8 x 8 pictures; the auxiliary head has a hidden layer of 7 of its own."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    aux = keras.layers.Dense(7, activation="relu", name="aux1_fc")(x)
    outputs = {
        "logits": keras.layers.Dense(classes, dtype="float32", name="logits")(x),
        "aux1": keras.layers.Dense(classes, dtype="float32", name="aux1_logits")(aux),
    }
    return keras.Model(image, outputs, name="two_heads")


def test_losses_by_hand():
    """Label 1: ln(5/2), and 0.3 of ln 4 and of ln 5."""
    loss = task.build(two_heads(), None, aux_weight=0.3).loss
    found = loss({"label": np.array([1])}, OUTPUTS)
    expected = {"cls": np.log(2.5), "aux1": 0.3 * 2 * LN2, "aux2": 0.3 * LN5}
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], (value, 1), rtol=1e-6)


def test_losses_of_mixed_pictures_by_hand():
    """Half label 1, half label 3: ln 5 - ln(2) / 2 for softmax with one 2/5 among them."""
    loss = task.build(two_heads(), None, aux_weight=0.4).loss
    found = loss({"distribution": np.float32([[0, 0.5, 0, 0.5]])}, OUTPUTS)
    np.testing.assert_allclose(found["cls"][0], LN5 - LN2 / 2, rtol=1e-6)
    np.testing.assert_allclose(found["aux1"][0], 0.4 * 2 * LN2, rtol=1e-6)
    np.testing.assert_allclose(found["aux2"][0], 0.4 * (LN5 - LN2 / 2), rtol=1e-6)


def test_smoothing_reaches_the_heads():
    """s = 0.4, K = 4: 0.7 of label 1 and 0.1 of the others, of which one has 2/5 in aux2."""
    loss = task.build(two_heads(), None, 0.4, aux_weight=1.0).loss
    found = loss({"label": np.array([1])}, OUTPUTS)
    np.testing.assert_allclose(found["cls"][0], LN5 - 0.7 * LN2, rtol=1e-6)
    np.testing.assert_allclose(found["aux2"][0], LN5 - 0.1 * LN2, rtol=1e-6)


def test_heads_without_a_weight_are_refused():
    with pytest.raises(ValueError, match=r"two_heads: expected aux_weight > 0, got 0\.0.*aux1"):
        task.build(two_heads(), None)


def test_decode_reads_the_main_head():
    plain, headed = task.decode(OUTPUTS["logits"]), task.decode(OUTPUTS)
    np.testing.assert_allclose(headed["scores"], [[0.2, 0.4, 0.2, 0.2]], rtol=1e-6)
    np.testing.assert_array_equal(headed["scores"], plain["scores"])
    assert headed["classes"].numpy().tolist() == [1]


def headed_task(classes: int = 4):
    info = tiny.info("classification", (8, 8))
    return task.build(two_heads(classes), info, aux_weight=0.3)


def test_without_heads():
    """Convolution 4 * 27 + 4, logits 4 * 4 + 4; 36 positions of 108 and 16 multiplications."""
    whole = headed_task()
    bare = without_heads(whole)
    assert (bare.info.params, bare.info.macs) == (112 + 20, 36 * 108 + 16)
    assert count.params(whole.model) == 132 + (4 * 7 + 7) + (7 * 4 + 4)
    assert without_heads(bare) is bare
    images = formula.pictures(2, 8, 8)
    np.testing.assert_array_equal(bare.model(images), whole.model(images)["logits"])
    shared = {id(variable) for variable in whole.model.variables}
    assert {id(variable) for variable in bare.model.variables} < shared


def test_the_export_has_no_heads(tmp_path):
    """The head of 7 * (1 + 4) + 3 * (1 + 7) weights would take 236 bytes in the float32 forms."""
    whole = headed_task(len(tiny.LABELS))
    reports = {}
    for name, exported in (("headed", whole), ("bare", without_heads(whole))):
        arguments = tiny.export_arguments(input_size=(8, 8))
        reports[name] = export.export(exported, tmp_path / name, **arguments)["forms"]
    assert len(reports["headed"]) == 3
    for form, entry in reports["headed"].items():
        # Names that Keras numbers by process may differ by a digit each: less than half a head.
        assert abs(entry["bytes"] - reports["bare"][form]["bytes"]) < 236 // 2, form
    graph = (tmp_path / "headed" / "saved_model.pb").read_bytes()
    assert b"logits" in graph
    assert b"aux1" not in graph


def test_every_network_with_heads_has_a_weight():
    headed = [name for name in MODELS if name.endswith("_aux")]
    assert all(MODELS[name].family.aux_weight > 0 for name in headed)
