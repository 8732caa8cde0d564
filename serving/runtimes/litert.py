"""LiteRT's files (TensorFlow Lite): written by TensorFlow's converter, run by ai-edge-litert.

float32   as it is
float16   weights as float16, which the runtime widens when it loads them: half the file
int8      weights and what lies between layers in 8 bits, by the ranges that training pictures
          gave (post-training calibration); input and outputs stay float32
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from convoy.serving.graphs import Part


def convert(network: Part, path: pathlib.Path, form: str, examples: Iterable) -> None:
    """Writes `path`; see serving/runtimes/kinds.py.

    Raises ValueError that names the operations which the runtime does not have.
    """
    function = network.function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form == "int8":
        converter.representative_dataset = lambda: ([image] for image in examples)
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,  # of an operation that has no form in 8 bits
        ]
    try:
        with _quiet():
            data = converter.convert()
    except Exception as error:  # the converter's own kinds are private
        lines = [line for line in str(error).splitlines() if "op" in line]
        raise ValueError(f"LiteRT: {'; '.join(lines[-3:]) or error}") from error
    path.write_bytes(data)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter's native part writes some lines for each operation to stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def opened(path: pathlib.Path, outputs: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The file in LiteRT, on all cores; calls are not to be made at once."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=os.cpu_count())
    (taken,) = interpreter.get_input_details()
    given = {entry["name"]: entry["index"] for entry in interpreter.get_output_details()}
    places = [given[name] for name in outputs]
    size: tuple[int, ...] = ()

    def call(image: np.ndarray) -> list[np.ndarray]:
        nonlocal size
        if image.shape != size:
            interpreter.resize_tensor_input(taken["index"], image.shape)
            interpreter.allocate_tensors()
            size = image.shape
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        return [interpreter.get_tensor(place) for place in places]

    return call
