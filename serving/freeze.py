"""A network's weights as constants of a graph, in float32 or bfloat16.

Batch normalisation is folded into the convolutions here, in float64; TensorFlow fuses the rest
(convolution, bias, ReLU) and lays filters out for the CPU at load time, which it can only do with
constants.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from convoy.models.keras_internals import inbound_nodes

BFLOAT16 = tf.bfloat16.as_datatype_enum

Network = Callable[[tf.Tensor], "tf.Tensor | dict[str, tf.Tensor]"]


def live(model: keras.Model) -> Network:
    """The network itself, in inference mode, outputs in float32."""

    def network(images):
        return tf.nest.map_structure(
            lambda x: tf.cast(x, tf.float32), model(images, training=False)
        )

    return network


def frozen(model: keras.Model, specs: Sequence[tf.TensorSpec]) -> Network:
    """The network with its weights as constants; specs: of its inputs, batch first."""
    graph = tf.function(
        lambda *inputs: live(model)(inputs if len(specs) > 1 else inputs[0]), autograph=False
    )
    concrete = graph.get_concrete_function(*specs)
    structure = concrete.structured_outputs
    constant = simplify(convert_variables_to_constants_v2(concrete))

    def network(images):
        outputs = tf.nest.flatten(constant(*tf.nest.flatten(images)))
        for tensor, like in zip(outputs, tf.nest.flatten(structure), strict=True):
            tensor.set_shape(like.shape)
        return tf.nest.pack_sequence_as(structure, outputs)

    return network


def in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy that computes in bfloat16, same weights; inputs and what normalises them float32."""
    sources = {id(tensor) for tensor in model.inputs}

    def clone(layer):
        config = layer.get_config()
        if not (layer.weights == [] and _fed_by(layer, sources)):
            config["dtype"] = "mixed_bfloat16"
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _fed_by(layer: keras.layers.Layer, sources: set[int]) -> bool:
    return any(
        id(tensor) in sources for node in inbound_nodes(layer) for tensor in node.input_tensors
    )


def simplify(function):
    """The frozen function with what only depends on constants computed once."""
    definition = function.graph.as_graph_def()
    graph = _Constants(definition)
    for node in list(definition.node):
        if node.op == "FusedBatchNormV3":
            _fold_batch_norm(node, graph)
    for node in list(definition.node):
        if node.op == "Cast" and node.attr["DstT"].type == BFLOAT16:
            value = graph.value(node.input[0])
            if value is not None:
                _as_constant(node, value.astype(tf.bfloat16.as_numpy_dtype))
    ends = [tensor.op.name for tensor in (*function.inputs, *function.outputs)]
    definition = _reachable(definition, ends)
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    get = wrapped.graph.get_tensor_by_name
    return wrapped.prune(
        [get(tensor.name) for tensor in function.inputs],
        [get(tensor.name) for tensor in function.outputs],
    )


def _reachable(definition, ends: list[str]):
    """The part of a GraphDef that the nodes `ends` need.

    Control edges go: a network in inference has no side effects, and its edges run from what was
    the reading of each variable, which would keep every unfolded filter alive.
    """
    nodes = {node.name: node for node in definition.node}
    reachable, waiting = set(), list(ends)
    while waiting:
        name = waiting.pop()
        if name not in reachable:
            reachable.add(name)
            sources = [source for source in nodes[name].input if not source.startswith("^")]
            nodes[name].input[:] = sources
            waiting.extend(source.split(":")[0] for source in sources)
    for index in reversed(range(len(definition.node))):
        if definition.node[index].name not in reachable:
            del definition.node[index]
    return definition


class _Constants:
    """Looks up what the nodes of a GraphDef are known to be."""

    def __init__(self, definition):
        self.definition = definition
        self.nodes = {node.name: node for node in definition.node}
        self.readers = collections.Counter(name for node in definition.node for name in node.input)

    def value(self, name: str) -> np.ndarray | None:
        """The array behind a tensor's name, through Identity and Cast; None = not constant."""
        node = self.nodes[name.split(":")[0].lstrip("^")]
        if node.op == "Const":
            return tf.make_ndarray(node.attr["value"].tensor)
        if node.op == "Identity":
            return self.value(node.input[0])
        if node.op == "Cast":
            value = self.value(node.input[0])
            # Kept wide: what is computed from it is rounded once, at the end.
            return value if node.attr["DstT"].type == BFLOAT16 else None
        return None

    def add(self, name: str, value: np.ndarray) -> str:
        _as_constant(self.definition.node.add(name=name), value)
        return name


def _fold_batch_norm(node, graph: _Constants) -> None:
    """conv -> batch norm in inference becomes conv with scaled filters -> bias."""
    conv = graph.nodes.get(node.input[0])
    if conv is None or conv.op not in ("Conv2D", "DepthwiseConv2dNative"):
        return
    used = any(graph.readers[f"{node.name}:{i}"] for i in range(1, 6))
    filters = graph.value(conv.input[1])
    parameters = [graph.value(name) for name in node.input[1:5]]
    if used or graph.readers[conv.name] != 1 or node.attr["is_training"].b:
        return
    if filters is None or any(value is None for value in parameters):
        return
    gamma, beta, mean, variance = (value.astype(np.float64) for value in parameters)
    factor = gamma / np.sqrt(variance + node.attr["epsilon"].f)
    shape = filters.shape[2:] if conv.op == "DepthwiseConv2dNative" else filters.shape[3:]
    kind = tf.as_dtype(node.attr["T"].type).as_numpy_dtype
    folded = (filters.astype(np.float64) * factor.reshape(shape)).astype(kind)
    conv.input[1] = graph.add(f"{conv.name}/folded", folded)
    bias = graph.add(f"{node.name}/bias", (beta - mean * factor).astype(kind))
    node.op = "BiasAdd"
    node.input[:] = [conv.name, bias]
    for key in [key for key in node.attr if key not in ("T", "data_format")]:
        del node.attr[key]


def _as_constant(node, value: np.ndarray) -> None:
    """Makes a node the constant `value`."""
    node.op = "Const"
    del node.input[:]
    node.attr.clear()
    node.attr["dtype"].type = tf.as_dtype(value.dtype).as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
