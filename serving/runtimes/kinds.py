"""The table of files for other runtimes. Reading it imports none of them.

A kind's module has two functions:

    convert(network: serving.graphs.Part, path, form, examples) -> None
        writes the file; `form` is the kind's, `examples` give arrays [1, H, W, C] float32 of
        training pictures where it is made by calibration
    opened(path, outputs) -> ([B, H, W, C] float32) -> arrays
        the file in its runtime, in float32 where the runtime has a choice; `outputs` names what is
        answered, in that order
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import NamedTuple


class Kind(NamedTuple):
    module: str  # dotted path
    file: str  # in the folder of an exported file
    extra: str  # of setup.py
    needs: tuple[str, ...]  # packages of the extra, by what is imported
    form: str = "float32"  # | "float16" | "int8": of the weights; int8 calculates in it as well


_ONNX = ("onnx", "onnxruntime", "tf2onnx")
_LITERT = ("ai_edge_litert",)
KINDS = {
    "onnx": Kind("convoy.serving.runtimes.onnx", "model.onnx", "onnx", _ONNX),
    "openvino": Kind("convoy.serving.runtimes.openvino", "model.xml", "openvino", ("openvino",)),
    "litert": Kind("convoy.serving.runtimes.litert", "model.tflite", "litert", _LITERT),
    "litert_float16": Kind(
        "convoy.serving.runtimes.litert", "model.tflite", "litert", _LITERT, "float16"
    ),
    "litert_int8": Kind(
        "convoy.serving.runtimes.litert", "model.tflite", "litert", _LITERT, "int8"
    ),
}


class NotInstalled(RuntimeError):
    """A runtime's packages are missing; the message says how to get them."""


def check(names: Sequence[str]) -> None:
    """Raises ValueError for a name that is no kind, NotInstalled for missing packages."""
    for name in names:
        if name not in KINDS:
            raise ValueError(f"expected some of {', '.join(KINDS)}, got {name!r}")
    kinds = [KINDS[name] for name in names]
    extras = sorted({kind.extra for kind in kinds if missing(kind)})
    if extras:
        packages = sorted({name for kind in kinds for name in missing(kind)})
        raise NotInstalled(
            f"not installed: {', '.join(packages)}; install with "
            f"pip install 'convoy-vision[{','.join(extras)}]'"
        )


def missing(kind: Kind) -> list[str]:
    """Those of the packages that a kind needs which are not installed."""
    return [name for name in kind.needs if importlib.util.find_spec(name) is None]


def module(kind: Kind):
    """A kind's module, with its runtime."""
    return importlib.import_module(kind.module)
