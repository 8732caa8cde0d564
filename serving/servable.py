"""One loaded SavedModel: its signatures, and how a call runs on them."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from convoy.serving import warmup
from convoy.serving.errors import (
    FAILED_PRECONDITION,
    INVALID_ARGUMENT,
    NOT_FOUND,
    UNIMPLEMENTED,
    ServingError,
    from_tensorflow,
)

DEFAULT, TENSOR = "serving_default", "serving_tensor"  # of encoded pictures or texts; of pixels
CLASSIFY, REGRESS = ("classification", "classify"), ("regression", "regress")
HIDDEN = "__saved_model_init_op"  # TensorFlow's own entry among the signatures


class Servable:
    """A SavedModel in memory."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        # A signature lives only as long as the object that it was loaded with.
        self._loaded = tf.saved_model.load(str(path))
        self._calls = dict(self._loaded.signatures)
        self.definitions = read_signatures(path)

    def call(self, name: str):
        """What runs a signature: tensors by name -> tensors by name."""
        return self._calls[name]

    def replace(self, name: str, call) -> None:
        """Runs a signature by something else, which answers the same; see serving/engines.py."""
        self._calls[name] = call

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """A signature's definition; empty name = the default one."""
        definition = self.definitions.get(name or DEFAULT)
        if definition is None:
            raise ServingError(
                FAILED_PRECONDITION, f'Serving signature key "{name or DEFAULT}" not found.'
            )
        return definition

    def refuse(self, name: str, kind: str, method: str) -> NoReturn:
        """Raises what a call on tf.Example meets here: signatures are for Predict.

        kind, method: as TensorFlow Serving has them, "classification", "classify".
        """
        definition = self.definitions.get(name or DEFAULT)
        if definition is None:
            raise ServingError(
                INVALID_ARGUMENT, f"No signature was found with the name: {name or DEFAULT}"
            )
        expected = f"tensorflow/serving/{method}"
        if definition.method_name != expected:
            raise ServingError(
                INVALID_ARGUMENT,
                f"Expected {kind} signature method_name to be {expected}. Was: "
                f"{definition.method_name}; call Predict",
            )
        raise ServingError(UNIMPLEMENTED, f"{method} is not implemented here: call Predict")

    def run(
        self,
        name: str,
        inputs: Mapping[str, tf.Tensor],
        output_filter: Sequence[str] = (),
    ) -> dict[str, np.ndarray]:
        """Runs a signature. Raises ServingError with TensorFlow Serving's codes."""
        definition = self.signature(name)
        _check_inputs(definition, inputs)
        for output in output_filter:
            if output not in definition.outputs:
                raise ServingError(
                    INVALID_ARGUMENT,
                    f"output tensor alias not found in signature: {output} Outputs expected to be "
                    f"in the set {{{','.join(sorted(definition.outputs))}}}.",
                )
        if len(set(output_filter)) != len(output_filter):
            raise ServingError(INVALID_ARGUMENT, "duplicate output tensor alias in output_filter")
        try:
            outputs = self._calls[name or DEFAULT](**inputs)
            return {key: outputs[key].numpy() for key in (output_filter or sorted(outputs))}
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error

    def warm_up(self) -> int:
        """Replays the recorded requests; returns how many there were."""
        count = 0
        for request in warmup.read(self.path):
            inputs = {key: tf.constant(tf.make_ndarray(t)) for key, t in request.inputs.items()}
            self.run(request.model_spec.signature_name, inputs, list(request.output_filter))
            count += 1
        return count


def load(path: pathlib.Path) -> Servable:
    """Loads a SavedModel folder."""
    return Servable(pathlib.Path(path))


def read_signatures(path: pathlib.Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The signature definitions of a SavedModel folder, for its "serve" tag."""
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            signatures = {}
            for name, definition in graph.signature_def.items():
                if name != HIDDEN:
                    signatures[name] = meta_graph_pb2.SignatureDef()
                    signatures[name].CopyFrom(definition)
            return signatures
    raise ServingError(NOT_FOUND, f"{path}: no graph with the tag 'serve'")


def _check_inputs(definition: meta_graph_pb2.SignatureDef, inputs: Mapping[str, tf.Tensor]) -> None:
    expected, received = set(definition.inputs), set(inputs)
    if expected != received:
        raise ServingError(
            INVALID_ARGUMENT,
            f"input size does not match signature: {len(received)}!={len(expected)}. Sent extra: "
            f"{{{','.join(sorted(received - expected))}}}. Missing but required: "
            f"{{{','.join(sorted(expected - received))}}}.",
        )
    for name, tensor in inputs.items():
        info = definition.inputs[name]
        if tensor.dtype.as_datatype_enum != info.dtype:
            raise ServingError(
                INVALID_ARGUMENT,
                f"input {name}: expected {tf.as_dtype(info.dtype).name}, got {tensor.dtype.name}",
            )
        if not info.tensor_shape.unknown_rank:
            shape = tf.TensorShape(info.tensor_shape)
            if not shape.is_compatible_with(tensor.shape):
                raise ServingError(
                    INVALID_ARGUMENT,
                    f"input {name}: expected shape {shape}, got {tensor.shape}",
                )
