"""OpenVINO's files: read from a TensorFlow graph, written and run by OpenVINO itself.

Its own reader is used, not `convert_model`: that is a converter's command line, which reports its
use to the makers where openvino-telemetry is installed and was not told otherwise.
"""

from __future__ import annotations

import collections
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from convoy.serving.graphs import Part


def convert(network: Part, path: pathlib.Path, form: str, examples: Iterable) -> None:
    """Writes `path` (.xml) and the weights beside it (.bin); see serving/runtimes/kinds.py.

    Raises RuntimeError, of OpenVINO, that names the operations it has no translation for.
    """
    import openvino

    openvino.save_model(read(network), path, compress_to_fp16=False)


def read(network: Part):
    """An openvino.Model of a network's part, tensors named as those of the part."""
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        frozen = pathlib.Path(folder, "network.pb")
        frozen.write_bytes(network.graph.SerializeToString())
        model = openvino.Core().read_model(frozen)
    model.inputs[0].get_tensor().set_names({network.inputs[0].name})
    found = {name: value for value in model.outputs for name in value.get_names()}
    for spec in network.outputs:
        found[f"{spec.name}:0"].get_tensor().set_names({spec.name})
    return model


def opened(path: pathlib.Path, outputs: Sequence[str]) -> Callable[[np.ndarray], list[np.ndarray]]:
    """The file in OpenVINO, in float32: by itself it takes bfloat16 where the CPU has it."""
    import openvino

    return compiled(openvino.Core().read_model(path), outputs, "f32")


def precisions(wanted: Sequence[str]) -> list[str]:
    """Those of "bf16" and "f32" that the CPU calculates in."""
    import openvino

    known = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [each for each in wanted if each != "bf16" or "BF16" in known]


def compiled(model, outputs: Sequence[str], precision: str) -> Callable:
    """A model that calculates in a precision, "f32" | "bf16"; from any number of threads."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    loaded = openvino.Core().compile_model(model, "CPU", settings)
    places = [loaded.output(name) for name in outputs]
    idle = collections.deque([loaded.create_infer_request()])  # each is for one call at a time

    def call(image: np.ndarray) -> list[np.ndarray]:
        try:
            request = idle.pop()
        except IndexError:
            request = loaded.create_infer_request()
        try:
            found = request.infer({0: image}, share_inputs=True)
            return [found[place] for place in places]
        finally:
            idle.append(request)

    return call
