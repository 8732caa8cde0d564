"""A built network layer by layer: sizes by arithmetic, receptive fields, parameters, work.

The size of every map is computed as floor((n + 2p - f) / s) + 1 and compared with what Keras built.
A receptive field is what a value can see of the input: where branches meet, the hull of theirs;
`WHOLE` where a layer joins all positions (full layers, global pooling), and None where the layer's
window is not known here. It reaches beyond the picture where padding does, and counts what a layer
could see: squeezing a map (SE blocks) lets all behind it see everything.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras

from convoy.models import arithmetic, count
from convoy.models.keras_internals import calls
from convoy.models.pooling import Pool

WHOLE = "all"
_WINDOWS = {  # of layers that do not tell: side, stride, padding
    "BackgroundPad": (1, 1, 2),
    "SparseConv": (5, 1, 0),
    "StemPool": (3, 2, 1),
    "Subsample": (2, 2, 0),
}
_GLOBAL = ("GlobalAveragePooling2D", "GlobalMaxPooling2D", "LocalContrastNorm")


class Side(NamedTuple):
    """How a layer slides along one side of its input."""

    f: int  # extent of the window, with the gaps of a dilated one
    s: int = 1
    before: int = 0  # padding
    after: int = 0
    dilation: int = 1  # pixels from one value of the window to the next


class Seen(NamedTuple):
    """What the first value of a map sees along one side, in pixels from the input's border."""

    start: float
    stop: float
    stride: int  # pixels between neighbours of the map


class Line(NamedTuple):
    """One layer of a network."""

    name: str  # of the layer; of its N-th call NAME:N
    kind: str  # class of the layer; of a Pool what it takes, as in MaxPool
    inputs: tuple[str, ...]  # layers before it
    size: tuple[int, ...]  # of its output, without the batch
    kernel: tuple[int, int] | None  # values along the sides of its window
    dilation: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[tuple[int, int], tuple[int, int]] | None  # (top, bottom), (left, right)
    field: tuple[int, int] | str | None  # receptive field (height, width), WHOLE, or None
    params: int
    macs: int
    depth: int  # layers with kernels on the longest path up to here, itself included

    @property
    def is_map(self) -> bool:
        """Whether the output has positions side by side."""
        return len(self.size) == 3 and max(self.size[:2]) > 1


def lines(model: keras.Model) -> list[Line]:
    """Every call of a layer in the order of computation; the first is the input.

    A layer that several maps share has a line for each, "conv", "conv:2", ..., and its parameters
    in the first.
    """
    rows: list[Line] = []
    line_of: dict[int, tuple[Line, Any]] = {}  # by output tensor
    times: collections.Counter[str] = collections.Counter()
    for layer, inputs, outputs in calls(model):
        times[layer.name] += 1
        sources = [line_of[id(tensor)] for tensor in inputs]
        size = tuple(outputs[0].shape[1:])
        line, seen = _line(model, layer, sources, size, times[layer.name])
        line_of |= {id(tensor): (line, seen) for tensor in outputs}
        rows.append(line)
    return rows


def depth(rows: Iterable[Line]) -> int:
    """Layers with kernels along the longest path."""
    return max(line.depth for line in rows)


def _line(model, layer, sources, size, time: int) -> tuple[Line, Any]:
    sides = window(layer, sources[0][0].size if sources else ())
    _check_size(model, layer, sides, sources, size)
    has_kernel = getattr(layer, "kernel", None) is not None
    seen = _seen(layer, sides, sources, size)
    slides = sides and (has_kernel or any(side.f > 1 for side in sides))
    line = Line(
        name=layer.name if time == 1 else f"{layer.name}:{time}",
        kind=f"{layer.kind.title()}Pool" if isinstance(layer, Pool) else type(layer).__name__,
        inputs=tuple(source.name for source, _ in sources),
        size=size,
        kernel=tuple((side.f - 1) // side.dilation + 1 for side in sides) if slides else None,
        dilation=tuple(side.dilation for side in sides) if slides else None,
        stride=tuple(side.s for side in sides) if slides else None,
        padding=tuple((side.before, side.after) for side in sides) if sides else None,
        field=_extent(seen),
        params=count.params(layer) if time == 1 and hasattr(layer, "weights") else 0,
        macs=count.call_macs(layer, (None, *size)),
        depth=max((source.depth for source, _ in sources), default=0) + has_kernel,
    )
    return line, seen


def window(layer, size: tuple[int, ...]) -> tuple[Side, Side] | None:
    """How a layer slides over maps of `size` [H, W, C]; None: it does not, or is not known."""
    if len(size) != 3:
        return None
    kind = type(layer).__name__
    if kind == "ZeroPadding2D":
        return tuple(Side(1, 1, *pair) for pair in layer.padding)
    if kind in _WINDOWS:
        f, s, p = _WINDOWS[kind]
        return (Side(f, s, p, p),) * 2
    if kind in ("Pool", "TableConv"):
        p = getattr(layer, "padding", 0)
        hang = layer.stride - 1 if getattr(layer, "ceil", False) else 0
        return (Side(layer.size, layer.stride, p, p + hang),) * 2
    if kind == "WithinChannelNorm":
        return (Side(layer.size, 1, layer.size // 2, layer.size // 2),) * 2
    extent = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if extent is None or len(extent) != 2 or "Transpose" in kind:
        return None
    dilations = getattr(layer, "dilation_rate", (1, 1))
    dilations = (dilations, dilations) if isinstance(dilations, int) else dilations
    strides = layer.strides
    strides = (strides, strides) if isinstance(strides, int) else strides
    same = layer.padding == "same"
    sides = zip(size[:2], extent, strides, dilations, strict=True)
    return tuple(_side(n, f, s, dilation, same) for n, f, s, dilation in sides)


def _side(n: int, f: int, s: int, dilation: int, same: bool) -> Side:
    """TensorFlow's "same" pads so that ceil(n / s) windows fit, an odd pixel behind."""
    extent = (f - 1) * dilation + 1
    padding = max((-(-n // s) - 1) * s + extent - n, 0) if same else 0
    return Side(extent, s, padding // 2, padding - padding // 2, dilation)


def _check_size(model, layer, sides, sources, size) -> None:
    if sides is None:
        return
    expected = tuple(
        arithmetic.output_size(n + side.before + side.after, side.f, side.s)
        for n, side in zip(sources[0][0].size[:2], sides, strict=True)
    )
    if expected != size[:2]:
        raise AssertionError(
            f"{model.name}: {layer.name} is {size[:2]}, its window {sides} makes {expected}"
        )


def _seen(layer, sides, sources, size):
    """(Seen, Seen) of the output's first value, WHOLE, or None where it is not known."""
    if not sources:
        return (Seen(0.0, 1.0, 1),) * 2
    earlier = [seen for _, seen in sources]
    if len(size) == 1 or type(layer).__name__ in _GLOBAL or WHOLE in earlier:
        return WHOLE
    if None in earlier:
        return None
    if sides is not None:
        return tuple(_moved(seen, side) for seen, side in zip(earlier[0], sides, strict=True))
    if any(source.size[:2] != size[:2] for source, _ in sources):
        return None
    return tuple(_hull(parts) for parts in zip(*earlier, strict=True))


def _moved(seen: Seen, side: Side) -> Seen:
    start = seen.start - side.before * seen.stride
    stop = seen.stop + (side.f - 1 - side.before) * seen.stride
    return Seen(start, stop, seen.stride * side.s)


def _hull(regions: tuple[Seen, ...]) -> Seen:
    start, stop = min(region.start for region in regions), max(region.stop for region in regions)
    return Seen(start, stop, regions[0].stride)


def _extent(seen):
    if seen is None or seen == WHOLE:
        return seen
    return tuple(round(region.stop - region.start) for region in seen)
