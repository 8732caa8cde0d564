"""ONNX files: written by tf2onnx, run by onnxruntime."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from convoy.serving.graphs import Part

OPSET = 18


def convert(network: Part, path: pathlib.Path, form: str, examples: Iterable) -> None:
    """Writes `path`, tensors named as those of the part; see serving/runtimes/kinds.py.

    Raises ValueError that names the operations for which there is none in ONNX.
    """
    import onnx
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    names = [spec.name for spec in (*network.inputs, *network.outputs)]
    model, _ = tf2onnx.convert.from_graph_def(
        network.graph,
        input_names=[f"{spec.name}:0" for spec in network.inputs],
        output_names=[f"{spec.name}:0" for spec in network.outputs],
        opset=OPSET,
    )
    # tf2onnx writes what it has no translation for all the same, under TensorFlow's name.
    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    unknown = sorted({node.op_type for node in model.graph.node} - known)
    if unknown:
        raise ValueError(f"ONNX has no {', '.join(unknown)}")
    plain = {f"{name}:0": name for name in names}
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [plain.get(name, name) for name in field]
    for value in (*model.graph.input, *model.graph.output):
        value.name = plain.get(value.name, value.name)
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def opened(path: pathlib.Path, outputs: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The file in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    return lambda image: session.run(list(outputs), {name: image})
