"""Attributes of Keras that are not public, each behind one function.

Keras offers no public way to the same. Another release may have renamed them: then the error says
with which one this was checked.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from typing import Any

import keras

CHECKED = "3.15.1"


@contextlib.contextmanager
def without_values():
    """Networks that are built inside have weights of shapes and names alone.

    Keras keeps a list of such weights, and draws values for all of them when the next scope of a
    layer without a `compute_output_shape` ends, in another network: gigabytes of VGGs that nobody
    reads. They are taken off that list here.
    """
    from keras.src.backend.common import global_state

    name = "uninitialized_variables"
    before = list(global_state.get_global_attribute(name) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)


def inbound_nodes(layer: keras.Layer) -> list:
    """One node per call of the layer in a functional model, each with its `input_tensors`."""
    return _attribute(layer, "_inbound_nodes")


def calls(model: keras.Model) -> list[tuple[keras.Operation, list, list]]:
    """(layer, its inputs, its outputs) of every call, in the order of computation.

    A layer that is called on several tensors is there as often.
    """
    by_depth = _attribute(model, "_nodes_by_depth")
    place = {id(layer): index for index, layer in enumerate(model.operations)}
    return [
        (node.operation, list(node.input_tensors), list(node.outputs))
        for depth in sorted(by_depth, reverse=True)
        for node in sorted(by_depth[depth], key=lambda node: place[id(node.operation)])
    ]


def train_part(inputs: list, outputs, values: list):
    """The part of a network from some of its tensors to others, run in training mode.

    inputs, outputs: symbolic tensors of one functional model, `outputs` in any structure, which
    the results have; values: of `inputs`. The layers are the model's own, and stay as they are.
    """

    def training(operation):
        if not isinstance(operation, keras.Layer):
            return operation
        takes = "training" in inspect.signature(operation.call).parameters
        return functools.partial(operation, training=True) if takes else operation

    part = keras.Function(inputs, outputs)
    return _attribute(part, "_run_through_graph")(values, operation_fn=training)


def maker(tensor: keras.KerasTensor) -> keras.Operation:
    """The layer or operation that a symbolic tensor comes out of."""
    return _attribute(_attribute(tensor, "_keras_history"), "operation")


def averaged_weights(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Moving averages of the variables that an optimizer with use_ema was built for, in order."""
    return _attribute(optimizer, "_model_variables_moving_average")


def variable_index(optimizer: keras.Optimizer, variable: keras.Variable) -> int:
    """Place of a variable among those that the optimizer was built for."""
    return _attribute(optimizer, "_get_variable_index")(variable)


def learning_rate(optimizer: keras.Optimizer) -> Any:
    """What the optimizer was given: a schedule stays one, where `learning_rate` is its value."""
    return _attribute(optimizer, "_learning_rate")


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        raise RuntimeError(
            f"Keras {keras.__version__} has no {type(owner).__name__}.{name}; checked was Keras "
            f"{CHECKED}: install that, or mend models/keras_internals.py"
        ) from None


def repeated(inputs: list, outputs, values: list):
    """The part of a network from some of its tensors to others once more, with layers of its own.

    inputs, outputs: symbolic tensors of one functional model, `outputs` in any structure, which
    the results have; values: symbolic tensors in place of `inputs`, of other sizes where the layers
    take them. The new layers have the old ones' names and fresh weights.
    """
    made: dict[int, Any] = {}

    def clone(operation):
        if not isinstance(operation, keras.Layer):
            return operation
        if id(operation) not in made:
            made[id(operation)] = type(operation).from_config(operation.get_config())
        return made[id(operation)]

    part = keras.Function(inputs, outputs)
    return _attribute(part, "_run_through_graph")(values, operation_fn=clone)
