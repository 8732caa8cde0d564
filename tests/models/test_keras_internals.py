"""Keras' private attributes mean on the installed version what our functions say."""

from __future__ import annotations

import types

import keras
import numpy as np
import pytest

from convoy.models import keras_internals


def built(optimizer):
    """(optimizer, variables) it was built for."""
    variables = [keras.Variable(np.full(2, 4.0, "float32"), name=name) for name in "ab"]
    optimizer.build(variables)
    return optimizer, variables


def test_inbound_nodes():
    image = keras.Input((3,))
    layer = keras.layers.Dense(3)
    assert keras_internals.inbound_nodes(layer) == []
    keras.Model(image, layer(layer(image)))
    first, second = keras_internals.inbound_nodes(layer)
    assert first.input_tensors == [image]
    assert second.input_tensors[0] is first.output_tensors[0]


def test_networks_without_values_are_drawn_by_no_later_one():
    """The layer has no compute_output_shape, so that Keras traces it in a scope of its own."""
    with keras_internals.without_values():
        image = keras.Input((3,))
        model = keras.Model(image, keras.layers.Dense(4)(image))

    class Traced(keras.layers.Layer):
        def call(self, x):
            return x * 2.0

    Traced()(keras.Input((3,)))
    assert model.count_params() == 16
    assert all(weight._value is None for weight in model.weights)


def test_calls():
    """Both uses of a layer, each behind what it takes."""
    image = keras.Input((3,), name="image")
    layer, last = keras.layers.Dense(3), keras.layers.Dense(2)
    model = keras.Model(image, last(layer(layer(image))))
    layer(image)  # of no model
    found = keras_internals.calls(model)
    assert [operation.name for operation, _, _ in found] == [
        *("image", layer.name, layer.name, last.name)
    ]
    assert [len(inputs) for _, inputs, _ in found] == [0, 1, 1, 1]
    assert found[2][1][0] is found[1][2][0]


def test_maker():
    image = keras.Input((3,), name="image")
    layer = keras.layers.Dense(3)
    assert keras_internals.maker(layer(image)) is layer
    assert keras_internals.maker(image).name == "image"


def test_averaged_weights():
    """4, 3, 2 with a decay of 0.75: the mean begins as 3, then is 0.75 * 3 + 0.25 * 2 = 2.75."""
    optimizer, variables = built(keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.75))
    for _ in range(2):
        optimizer.apply([np.ones(2, "float32"), np.zeros(2, "float32")])
    first, second = keras_internals.averaged_weights(optimizer)
    np.testing.assert_allclose(variables[0], [2, 2])
    np.testing.assert_allclose(first, [2.75, 2.75])
    np.testing.assert_allclose(second, [4, 4])


def test_variable_index():
    optimizer, variables = built(keras.optimizers.SGD(1.0))
    assert [keras_internals.variable_index(optimizer, each) for each in variables] == [0, 1]


def test_learning_rate():
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 10, 0.5)
    optimizer, _ = built(keras.optimizers.SGD(schedule))
    assert keras_internals.learning_rate(optimizer) is schedule
    fixed, _ = built(keras.optimizers.SGD(0.25))
    assert float(keras_internals.learning_rate(fixed)) == 0.25


@pytest.mark.parametrize(
    "read",
    [
        keras_internals.inbound_nodes,
        keras_internals.calls,
        keras_internals.maker,
        keras_internals.averaged_weights,
        lambda owner: keras_internals.variable_index(owner, None),
        keras_internals.learning_rate,
    ],
)
def test_what_a_release_lacks_is_said(read):
    with pytest.raises(RuntimeError, match=rf"Keras {keras.__version__} has no SimpleNamespace\._"):
        read(types.SimpleNamespace())
