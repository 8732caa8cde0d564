"""Weights of a file into a network of ours: all of it is checked first, then assigned.

What has to fit: every layer but the last ("logits", or heads of that name), which keeps its fresh
weights where the file is for another number of classes or has none; of a detector, every layer of
its backbone. The file may hold more only where that is a head.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable

import keras
import numpy as np

from convoy.models.keras_internals import without_values
from convoy.models.registry import build, describe
from convoy.models.weights import (
    caffe,
    convert,
    darknet,
    keras_h5,
    safetensors,
    sources,
    state_dict,
)
from convoy.models.weights import torch_pth as torch

# Of a file's name: its format's name for people, and the table of names that goes with it.
FORMATS = {
    r".*\.(h5|hdf5)": ("Keras .h5", "keras"),
    r".*\.safetensors": ("PyTorch .safetensors", "torch"),
    r".*\.(pth|pt|pth\.tar|ckpt|bin)": ("PyTorch .pth", "torch"),
    r".*\.weights|.*\.conv\.\d+": ("Darknet .weights", "darknet"),
    r".*\.caffemodel": ("Caffe .caffemodel", "caffe"),
}
# What a file's first bytes tell where its name says something else: (its endings, for people).
MAGIC = {
    b"\x89HDF": ((".h5", ".hdf5"), "HDF5: name it .h5"),
    b"PK\x03\x04": ((".pth", ".pt", ".tar", ".ckpt", ".bin"), "a zip archive, PyTorch's is .pth"),
    b"version https://git-lfs": ((), "a pointer of git-lfs: fetch the file itself, git lfs pull"),
    b"<": ((), "a web page: the address was not that of the file"),
}
_HEAD = r"(\w+_)?logits|box|roi_(cls|box)"  # layers that may start fresh
_FIXED = r"(\w+_)?up\d+x"  # deconvolutions that never learn: of any number of classes alike
_SHOWN = 5  # names of a kind in an error's message


@dataclasses.dataclass
class Report:
    """Variables of ours; of unused ones the layers of theirs."""

    matched: list[str] = dataclasses.field(default_factory=list)
    missing: list[str] = dataclasses.field(default_factory=list)  # the file has none, or no name
    mismatched: list[str] = dataclasses.field(default_factory=list)  # of another shape
    unused: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)  # what was changed on the way
    classes: int | None = None  # of the file's last layer; None: it has none


def load(
    model: keras.Model, network: str, path: str | os.PathLike, backbone: str | None = None
) -> Report:
    """Assigns the weights of the file to `model`, built as `network`; or raises ValueError.

    backbone: of a detector, the network that it was built on; None its own.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder; a trainer's folder is for model.init_from")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file of weights")
    planned, report = plan(model, network, path, backbone=backbone)
    for variable, value in planned:
        variable.assign(value)
    return report


def form(network: str, path: pathlib.PurePath, backbone: str | None = None) -> tuple[str, str]:
    """The format that the name tells, for people and as sources.py has it, if it holds `network`.

    Raises ValueError. The file need not be there.
    """
    fits = (entry for pattern, entry in FORMATS.items() if re.fullmatch(pattern, path.name))
    title, kind = next(fits, ("", ""))
    if not kind:
        endings = ".h5, .safetensors, .pth, .weights or .caffemodel"
        raise ValueError(
            f"{path}: the format goes by the name: expected one that ends in {endings}"
        )
    base = sources.held(kind, network, path.name, backbone)
    if sources.of(kind, base) is None:
        raise ValueError(f"{path}: {_unknown(title, kind, base)}")
    if kind == "darknet" and base != network and not sources.of(kind, network):
        reason = f"a .weights file has no names, so that of {base} cannot be taken apart"
        raise ValueError(f"{path}: {reason}; take another format for {network}")
    return title, kind


def plan(
    model: keras.Model,
    network: str,
    path: pathlib.Path,
    read: Callable | None = None,
    backbone: str | None = None,
):
    """([(variable, array)], Report) of a file that fits. read: instead of _read. ValueError."""
    title, kind = form(network, path, backbone)
    base = sources.held(kind, network, path.name, backbone)
    source = sources.of(kind, base)
    graph = convert.Graph(model)
    table = _table(source, graph)
    try:
        layers = (read or _read)(path, kind, source, table, graph)
    except ValueError as error:
        raise ValueError(f"{error}{_really(path)}") from None
    if source.mark and not any(re.fullmatch(source.mark, name) for name in layers):
        base = sources.BACKBONES[network]
        source = sources.of(kind, base)
        table = _table(source, graph)
    layers = source.prepare(layers)
    layers = {source.also.get(name, name): parts for name, parts in layers.items()}
    report = Report()
    pixels = source.preprocess or describe(base).preprocess
    values = _translate(layers, table, graph, kind, pixels, report)
    used = {name for names in table.values() for name in names}
    report.unused = [name for name in layers if name not in used]
    if "kernel" in values.get("logits", {}):
        report.classes = values["logits"]["kernel"].shape[-1]
    planned = _compare(values, graph, report)
    heads = source.names(["logits"]).values()
    above = _above(source, base, table) if network != base and report.unused else ()
    spare = "|".join([*map(re.escape, (*heads, *above)), source.spare or "(?!)"])
    _judge(path, title, network, base, table, spare, report)
    return planned, report


def _table(source: sources.Source, graph: convert.Graph) -> dict[str, tuple[str, ...]]:
    """Our layer -> theirs."""
    return {
        ours: (theirs,) if isinstance(theirs, str) else theirs
        for ours, theirs in source.names(graph.layers).items()
    }


def _above(source: sources.Source, base: str, table: dict[str, tuple[str, ...]]) -> list[str]:
    """Their layers of a body that a network stands on only the lower part of."""
    with without_values():
        whole = _table(source, convert.Graph(build(base, num_classes=None)))
    return [name for ours in whole if ours not in table for name in whole[ours]]


def _unknown(title: str, kind: str, network: str) -> str:
    if why := sources.why_not(kind, network):
        message = f"{title} does not hold {network}: {why}"
    else:
        listed = ", ".join(source.networks for source in sources.SOURCES[kind])
        message = f"{network} is not one of the networks of {title} files that are known: {listed}"
    fits = [title for title, kind in FORMATS.values() if sources.of(kind, network)]
    return message + (f". For {network} take {' or '.join(fits)}" if fits else "")


def _really(path: pathlib.Path) -> str:
    """What a file that cannot be read as its name says may be instead; "" where unknown."""
    with open(path, "rb") as file:
        start = file.read(64).lstrip()
    for magic, (endings, title) in MAGIC.items():
        if start.startswith(magic) and path.suffix not in endings:
            return f"\nIts first bytes are those of {title}"
    return ""


def _read(path, kind: str, source: sources.Source, table, graph: convert.Graph):
    """Their layer -> variable -> array."""
    if kind == "keras":
        names = [name for theirs in table.values() for name in theirs]
        return keras_h5.read(path, names, source.application)
    if kind == "caffe":
        return caffe.read(path)
    if kind == "torch":
        reader = safetensors if path.suffix == ".safetensors" else torch
        return state_dict.layers(reader.read(path))
    units = []
    for name in table:
        norm = graph.norms.get(name)
        shape = tuple(graph.layers[name].kernel.shape)
        head = bool(re.fullmatch(_HEAD, name))
        units.append(darknet.Unit(name, shape, norm.name if norm else "", head))
    if not any(unit.head for unit in units):  # a body: the file's head is left in it
        units.append(darknet.Unit("logits", (units[-1].outputs, 0), head=True))
    layers = darknet.read(path, units)
    table |= {unit.norm: (unit.norm,) for unit in units if unit.norm}
    return layers


def _translate(layers, table, graph: convert.Graph, kind: str, pixels, report: Report):
    """Our layer -> variable -> array in our layout, as far as the file has them."""
    values: dict[str, convert.Values] = {}
    biases: dict[str, np.ndarray] = {}  # of convolutions without one, by the norm that takes it
    for ours, layer in graph.layers.items():
        parts = [layers.get(name) for name in table.get(ours, ())]
        if not parts or None in parts:
            continue
        variables = values[ours] = {name: value for part in parts for name, value in part.items()}
        if "kernel" in variables and hasattr(layer, "kernel"):
            if kind != "keras":
                variables["kernel"] = convert.kernel(
                    variables["kernel"], layer, graph.maps.get(ours)
                )
            variables["kernel"] = convert.same_but_ones(
                variables["kernel"], tuple(layer.kernel.shape)
            )
            if "bias" in variables and layer.use_bias:
                variables["bias"] = convert.bias(variables["bias"], layer)
            if layer is graph.first:
                _other_pixels(variables, layer, graph.normalize, pixels, report)
            norm = graph.norms.get(ours)
            if "bias" in variables and not layer.use_bias and norm is not None:
                biases[norm.name] = variables.pop("bias")
        elif kind == "darknet" and "moving_variance" in variables:
            variance = variables["moving_variance"]
            variables["moving_variance"] = convert.darknet_variance(variance, layer.epsilon)
    for norm, bias in biases.items():
        mean = values.get(norm, {}).get("moving_mean")
        if mean is not None and mean.shape == bias.shape:
            values[norm]["moving_mean"] = mean - bias
            report.notes.append(f"{norm}: took the bias that its convolution lacks here")
    return values


def _other_pixels(values, layer, normalize, pixels, report: Report) -> None:
    if normalize is not None and normalize.channel_order == "bands":
        _spread(values, layer, pixels, report)
        return
    if normalize is None or values["kernel"].shape != tuple(layer.kernel.shape):
        return
    if len(layer.kernel.shape) != 4 or layer.kernel.shape[2] != 3:
        return
    values["kernel"], bias = convert.other_pixels(values["kernel"], pixels, normalize)
    if bias is not None:
        values["bias"] = values.get("bias", 0.0) + bias
        report.notes.append(f"{layer.name}: changed to the pixels that this network sees")


def _spread(values, layer, pixels, report: Report) -> None:
    """A kernel of red, green and blue over the channels that this network sees."""
    ours, theirs = tuple(layer.kernel.shape), values["kernel"].shape
    if len(theirs) != 4 or theirs[2] != 3 or (*theirs[:2], theirs[3]) != (*ours[:2], ours[3]):
        return
    values["kernel"], bias = convert.spread(values["kernel"], pixels, ours[2])
    if bias is not None:
        values["bias"] = values.get("bias", 0.0) + bias
    report.notes.append(f"{layer.name}: from red, green and blue to {ours[2]} channels")


def _compare(values, graph: convert.Graph, report: Report) -> list:
    """[(variable, float32 array)] of what fits; what does not goes into the report."""
    planned = []
    for name, layer in graph.layers.items():
        variables, fitting = values.get(name, {}), []
        for variable in layer.weights:
            value, path = variables.pop(variable.name, None), f"{name}/{variable.name}"
            shape = tuple(variable.shape)
            if value is None:
                report.missing.append(path)
            elif value.shape != shape:
                report.mismatched.append(f"{path} {value.shape} -> {shape}")
            elif wrong := _wrong(
                value, -layer.epsilon if variable.name == "moving_variance" else None
            ):
                report.mismatched.append(f"{path} holds {wrong}")
            else:
                fitting.append((variable, np.asarray(value, np.float32)))
        extra = sorted(key for key, value in variables.items() if not _neutral(key, value))
        report.mismatched += [f"{name} has no {key} here" for key in extra]
        if re.fullmatch(_HEAD, name) and len(fitting) < len(layer.weights):
            fitting = []  # a head is taken whole or not at all
        planned += fitting
        report.matched += [f"{name}/{variable.name}" for variable, _ in fitting]
    return planned


def _wrong(value: np.ndarray, minimum: float | None) -> str:
    """What is wrong with the numbers of a variable, "" where nothing is."""
    if not np.issubdtype(value.dtype, np.floating):
        return f"{value.dtype} where real numbers belong"
    low, high, largest = value.min(), value.max(), np.finfo(np.float32).max
    if not -largest <= low <= high <= largest:  # also where one is not a number
        return "numbers that are not finite"
    return f"{low}, too low for a variance" if minimum is not None and low <= minimum else ""


def _neutral(key: str, value: np.ndarray) -> bool:
    return (key == "gamma" and (value == 1).all()) or (key == "bias" and not value.any())


def _judge(path, title: str, network: str, base: str, table, spare: str, report: Report) -> None:
    """Raises ValueError where more than the last layer does not fit."""

    def fatal(entry: str) -> bool:
        layer = re.split(r"[/ ]", entry)[0]
        if network != base and layer not in table:
            return False  # the detector's own
        if not re.fullmatch(_HEAD, layer):
            return not re.fullmatch(_FIXED, layer)
        sides = re.fullmatch(r".*kernel \((.*)\) -> \((.*)\)", entry)
        inputs = [side.split(", ")[:-1] for side in sides.groups()] if sides else [0, 0]
        return inputs[0] != inputs[1] or " holds " in entry  # only the classes may differ

    unused = [name for name in report.unused if not re.fullmatch(spare, name)]
    kinds = {
        "missing in the file": [entry for entry in report.missing if fatal(entry)],
        "of another shape (file -> network)": [e for e in report.mismatched if fatal(e)],
        "in the file alone": unused,
    }
    lines = [f"  {fault}: {_abbreviated(entries)}" for fault, entries in kinds.items() if entries]
    if lines or not report.matched:
        raise ValueError(
            f"{path}: this {title} does not hold the weights of {base} as {network} has them here; "
            "nothing was loaded\n" + "\n".join(lines)
        )


def _abbreviated(entries: list[str]) -> str:
    hidden = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")
