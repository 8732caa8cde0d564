"""A network's weights as constants of a graph, in float32 or bfloat16.

TensorFlow optimises constants at load time (batch normalisation folds into convolutions, filters
are laid out for the CPU's matrix unit), which it cannot do with variables.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

Network = Callable[[tf.Tensor], "tf.Tensor | dict[str, tf.Tensor]"]


def live(model: keras.Model) -> Network:
    """The network itself, in inference mode, outputs in float32."""

    def network(images):
        return tf.nest.map_structure(
            lambda x: tf.cast(x, tf.float32), model(images, training=False)
        )

    return network


def frozen(model: keras.Model, input_shape: tuple[int, int, int]) -> Network:
    """The network with its weights as constants; images [B, *input_shape] float32."""
    graph = tf.function(lambda images: live(model)(images))
    concrete = graph.get_concrete_function(tf.TensorSpec((None, *input_shape), tf.float32))
    structure = concrete.structured_outputs
    constant = fold_casts(convert_variables_to_constants_v2(concrete))

    def network(images):
        outputs = tf.nest.flatten(constant(images))
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
    nodes = getattr(layer, "_inbound_nodes", ())
    return any(id(tensor) in sources for node in nodes for tensor in node.input_tensors)


def fold_casts(function):
    """Turns float32 constants that are only cast to bfloat16 into bfloat16 constants."""
    definition = function.graph.as_graph_def()
    nodes = {node.name: node for node in definition.node}
    folded = False
    for node in definition.node:
        if node.op != "Cast" or node.attr["DstT"].type != tf.bfloat16.as_datatype_enum:
            continue
        source = nodes[node.input[0].split(":")[0].lstrip("^")]
        while source.op == "Identity":
            source = nodes[source.input[0].split(":")[0].lstrip("^")]
        if source.op != "Const":
            continue
        value = tf.make_ndarray(source.attr["value"].tensor)
        proto = tf.make_tensor_proto(value.astype(tf.bfloat16.as_numpy_dtype))
        node.op = "Const"
        del node.input[:]
        node.attr.clear()
        node.attr["dtype"].type = tf.bfloat16.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(proto)
        folded = True
    if not folded:
        return function
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    get = wrapped.graph.get_tensor_by_name
    return wrapped.prune(
        [get(tensor.name) for tensor in function.inputs],
        [get(tensor.name) for tensor in function.outputs],
    )
