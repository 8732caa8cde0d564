"""`convoy models NAME`: a network as a table of its layers."""

from __future__ import annotations

from convoy import models
from convoy.models.structure import Line
from convoy.pipeline.errors import UsageError

_PLAIN = ("Activation", "Dropout", "ReLU", "InputLayer")  # neither sizes nor weights: not listed
_HEADS = ("layer", "kind", "output", "kernel", "stride", "padding", "field", "parameters", "MACs")


def parse(word: str, size: int | None = None) -> tuple[str, tuple[int, int] | None]:
    """NAME, NAME@224 or NAME@240x320 (height x width) -> (name, pixels); without @: `size`."""
    name, at, pixels = word.partition("@")
    if not at:
        return name, (size, size) if size else None
    sides = pixels.split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise UsageError(f"{word}: expected NAME@SIDE or NAME@HEIGHTxWIDTH in pixels")
    return name, (int(sides[0]), int(sides[-1]))


def build(name: str, size: tuple[int, int] | None = None):
    """The network without values for its weights, which the table does not need."""

    from convoy.models.keras_internals import without_values

    with without_values():
        return models.build(name, input_size=size)


def text(lines: list[Line]) -> str:
    """One row per layer; layers without weights that change no size are left out."""
    rows = [_HEADS, *(_cells(line) for line in lines if line.kind not in _PLAIN)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_json(line: Line) -> dict:
    """The line for machines."""
    return {key: value for key, value in line._asdict().items() if value not in (None, ())}


def sides(pair: tuple[int, ...]) -> str:
    """(3, 3) -> "3x3"."""
    return "x".join(map(str, pair))


def _cells(line: Line) -> tuple[str, ...]:
    kernel = sides(line.kernel) if line.kernel else ""
    if line.kernel and max(line.dilation) > 1:
        kernel += f" dilation {max(line.dilation)}"
    return (
        line.name,
        line.kind,
        sides(line.size),
        kernel,
        _short(line.stride) if line.stride else "",
        _padding(line.padding) if line.padding else "",
        "-" if line.field is None else line.field if line.field == "all" else _short(line.field),
        f"{line.params:,}" if line.params else "",
        f"{line.macs:,}" if line.macs else "",
    )


def _short(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else sides(pair)


def _padding(pairs) -> str:
    """1: on each side; 0+1: none before, one behind; sides of their own: rows, then columns."""
    sides = [str(a) if a == b else f"{a}+{b}" for a, b in pairs]
    joined = sides[0] if sides[0] == sides[1] else "x".join(sides)
    return "" if joined == "0" else joined
