"""`convoy models NAME --diagram FILE`: a network as a column of blocks, repeats folded.

Layers belong to a block by their names: stage3_block2_conv1 to stage3_block2, mixed5b_branch1_conv1
to mixed5b, fc1 to fc1. Neighbouring blocks of the same layers are drawn once, with how often they
come; strides and shortcuts of the first of them are noted. A block ends where another one stands
between its layers. One that does not read the block before it has no arrow and says what it reads;
what does not lead to the logits, an auxiliary head, comes last.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import pathlib
import re

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from convoy.models.structure import Line
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.model_table import sides

_UNIT = re.compile(r"stage\d+_block\d+|[a-z]+\d+[a-z]?(?=_|$)|[a-z]+")
_BRANCH = re.compile(r"_(branch\d+)_")
_GLOBAL = {
    "GlobalAveragePooling2D": "average of all positions",
    "GlobalMaxPooling2D": "maximum of all positions",
    "SpatialPyramid": "spatial pyramid",
    "ExtremePool": "mean of extremes",
}
# Kind of file -> what would say when it was made, and is left out.
KINDS = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None},
}
LINE, GAP, WIDTH = 0.19, 0.2, 3.0  # inches; boxes widen where a row is longer


@dataclasses.dataclass
class Block:
    """One box of the drawing."""

    name: str
    steps: list[str]  # what it computes, without strides
    strided: list[str]  # the same, with them
    size: tuple[int, ...]  # of its output
    skips: bool  # whether its input is added to its output
    special: list[str]  # one note for each of the folded: its stride and projection, or ""
    params: int
    macs: int
    source: str = ""  # what it reads, where that is not the block before it

    @property
    def count(self) -> int:
        return len(self.special)

    @property
    def rows(self) -> list[str]:
        """The steps as drawn: equal neighbours once."""
        grouped: list[list] = []
        for step in self.strided if self.count == 1 else self.steps:
            if grouped and grouped[-1][0] == step:
                grouped[-1][1] += 1
            else:
                grouped.append([step, 1])
        return [step if n == 1 else f"{step}   (x{n})" for step, n in grouped]

    @property
    def note(self) -> str:
        """What only some of the folded blocks have."""
        notes = [(place, note) for place, note in enumerate(self.special, start=1) if note]
        if not notes or self.count == 1:
            return notes[0][1].removeprefix("stride 2").strip(", ") if notes else ""
        words = {1: "first", self.count: "last"}
        return "; ".join(f"{words.get(place, place)}: {note}" for place, note in notes)


def blocks(lines: list[Line]) -> list[Block]:
    """The network's blocks in the order of computation, equal neighbours folded."""
    before = _windows_before(lines)
    folded: list[Block] = []
    for name, members, source in _units(lines):
        block = dataclasses.replace(_block(name, members, before), source=source)
        last = folded[-1] if folded else None
        if last and last.steps == block.steps and _belong(last, block):
            last.special += block.special
            last.params, last.macs = last.params + block.params, last.macs + block.macs
            last.size = block.size
        elif block.steps:
            folded.append(block)
        elif last:  # norms and reshapes alone belong to the block before them
            last.params += block.params
    return folded


def _units(lines: list[Line]) -> list[tuple[str, list[Line], str]]:
    """(name, layers, source) of the blocks in the order drawn, see Block.

    A layer begins a new block where one of its inputs is of another block that follows its own:
    one drawn after the other, they could not both come first.
    """
    units: dict[tuple[str, int], list[Line]] = {}
    part: dict[str, int] = {}  # of a name, the newest block
    unit_of: dict[str, tuple[str, int]] = {}
    follows: dict[str, set] = {lines[0].name: set()}  # blocks on the way to a layer
    for line in lines[1:]:
        match = _UNIT.match(line.name)
        name = match.group() if match else line.name
        unit = (name, part.get(name, 1))
        follows[line.name] = {unit}.union(*(follows[parent] for parent in line.inputs))
        inputs = [parent for parent in line.inputs if unit_of.get(parent) != unit]
        if any(unit in follows[parent] for parent in inputs):
            unit = (name, unit[1] + 1)
            part[name] = unit[1]
            follows[line.name].add(unit)
        unit_of[line.name] = unit
        units.setdefault(unit, []).append(line)
    main = _leading(lines)
    ordered = sorted(units, key=lambda unit: not any(line.name in main for line in units[unit]))
    sizes = {line.name: sides(line.size) for line in lines}
    entries, last = [], {None}  # layers before any block count as the first one's
    for unit in ordered:
        members = units[unit]
        outside = [
            parent for line in members for parent in line.inputs if unit_of.get(parent) != unit
        ]
        reads_last = any(unit_of.get(parent) in last for parent in outside)
        entries.append((unit[0], members, "" if reads_last else sizes[outside[0]]))
        last = {unit} if any(_step(line) for line in members) else {*last, unit}
    return entries


def _leading(lines: list[Line]) -> set[str]:
    """Layers that lead to the logits; all, where no layer is called so."""
    line_of = {line.name: line for line in lines}
    if "logits" not in line_of:
        return set(line_of)
    leading, pending = set(), ["logits"]
    while pending:
        name = pending.pop()
        if name not in leading:
            leading.add(name)
            pending += line_of[name].inputs
    return leading


def draw(title: str, lines: list[Line]) -> Figure:
    """The network from top to bottom: sizes on the left, parameters and work on the right."""
    shown = blocks(lines)
    heights = [LINE * len(block.rows) + 0.16 for block in shown]
    total = sum(heights) + GAP * (len(shown) + 1) + 1.0
    longest = max(len(row) for block in shown for row in block.rows)
    width = max(WIDTH, 0.072 * longest)
    figure = Figure(figsize=(width + 4.2, total))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-2.1, width + 2.1), ylim=(total, 0))
    axes.axis("off")
    axes.text(width / 2, 0.3, title, ha="center", va="center", fontsize=12, weight="bold")
    params, macs = sum(line.params for line in lines), sum(line.macs for line in lines)
    totals = f"{_count(params)} parameters, {_count(macs)} multiply-accumulates"
    axes.text(width / 2, 0.55, totals, ha="center", va="center", fontsize=8.5, color="#555555")
    axes.text(-0.15, 0.82, sides(lines[0].size), ha="right", va="center", fontsize=8.5)
    top = 0.75
    for block, height in zip(shown, heights, strict=True):
        arrow = {"arrowstyle": "->", "color": "#666666"}
        if not block.source:
            axes.annotate("", (width / 2, top + GAP), (width / 2, top), arrowprops=arrow)
        top += GAP
        _box(axes, block, top, height, width, lines[0].size)
        top += height
    return figure


def kind_of(path: str | pathlib.Path) -> str:
    """png, svg or pdf by the file's suffix. Raises UsageError for another, IsADirectoryError."""
    path = pathlib.Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: expected the name of a file")
    kind = path.suffix[1:].lower()
    if kind not in KINDS:
        listed = ", ".join(f".{name}" for name in KINDS)
        raise UsageError(f"--diagram {path}: expected a name that ends in one of {listed}")
    return kind


def encoded(figure: Figure, kind: str) -> bytes:
    """The drawing as a file of one of KINDS, the same bytes each time."""
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "convoy"}):
        figure.savefig(buffer, format=kind, dpi=110, metadata=KINDS[kind], bbox_inches="tight")
    return buffer.getvalue()


def _box(axes, block: Block, top: float, height: float, width: float, picture) -> None:
    middle, style = top + height / 2, {"ec": "#444444", "lw": 0.9}
    shape = FancyBboxPatch(
        (0.05, top + 0.02), width - 0.1, height - 0.04, "round,pad=0.02", **style
    )
    shape.set_facecolor(_shade(block.size, picture))
    axes.add_patch(shape)
    for index, row in enumerate(block.rows):
        y = top + 0.08 + LINE * (index + 0.5)
        axes.text(width / 2, y, row, ha="center", va="center", fontsize=8.5)
    axes.text(-0.15, middle, sides(block.size), ha="right", va="center", fontsize=8.5)
    if block.count > 1:
        place = {"ha": "left", "va": "center", "fontsize": 11, "weight": "bold"}
        axes.text(width + 0.3, middle, f"x{block.count}", **place)
    small = {"va": "center", "fontsize": 7.5, "color": "#555555"}
    counts = [f"{_count(block.params)} par.", f"{_count(block.macs)} MACs"] if block.params else []
    axes.text(width + 0.8, middle, "\n".join(counts), **small)
    note = f"reads {block.source}" if block.source else block.note
    axes.text(-0.15, middle + 0.15, note, ha="right", **small | {"fontsize": 6.5})
    if block.skips:
        x, bottom, line = width + 0.16, top + height + 0.06, {"color": "#a03030", "lw": 1.1}
        axes.plot([width / 2, x, x], [top - 0.08, top - 0.08, bottom], **line)
        arrow = {"arrowstyle": "->", **line}
        axes.annotate("", (width / 2, bottom), (x, bottom), arrowprops=arrow)


def _windows_before(lines: list[Line]) -> dict[str, set[str]]:
    """For each layer the nearest ones before it that slide a window."""
    before: dict[str, set[str]] = {}
    slides = {line.name for line in lines if line.kernel}
    for line in lines:
        before[line.name] = set()
        for name in line.inputs:
            before[line.name] |= {name} if name in slides else before[name]
    return before


def _block(name: str, members: list[Line], before: dict[str, set[str]]) -> Block:
    main = [line for line in members if "shortcut" not in line.name]
    chains: dict[str, list[Line]] = {}
    for line in main:
        if _step(line):
            branch = _BRANCH.search(line.name)
            chains.setdefault(branch.group(1) if branch else line.name, []).append(line)
    if any(_BRANCH.search(line.name) for line in main):
        chains = dict(sorted(chains.items()))
    stride = any(line.macs and line.stride and max(line.stride) > 1 for line in main)
    projects = any("shortcut" in line.name and line.kernel for line in members)
    notes = ["stride 2" if stride else "", "projection" if projects else ""]
    return Block(
        name=name,
        steps=[_chain(chain, before) for chain in chains.values()],
        strided=[_chain(chain, before, True) for chain in chains.values()],
        size=members[-1].size,
        skips=any(line.kind in ("Add", "MultiStep") for line in members),
        special=[", ".join(filter(None, notes))],
        params=sum(line.params for line in members),
        macs=sum(line.macs for line in members),
    )


def _chain(chain: list[Line], before: dict[str, set[str]], strides: bool = False) -> str:
    """One after the other by " - ", side by side by " | "."""
    text = _step(chain[0], strides)
    for last, line in itertools.pairwise(chain):
        text += (" - " if last.name in before[line.name] else " | ") + _step(line, strides)
    return text


def _step(line: Line, strides: bool = False) -> str:
    if line.kind in _GLOBAL:
        return _GLOBAL[line.kind]
    if line.kind == "Dense":
        return f"full, {line.size[-1]}"
    if line.kernel is None:
        alone = line.macs or line.kind in ("Embedding", "WordVectors")
        return f"{line.kind}, {line.size[-1]}" if alone else ""
    kernel = sides(line.kernel)
    if not line.macs:
        kind = (
            "average pool" if "Average" in line.kind else "max pool" if "Max" in line.kind else ""
        )
        return f"{kernel} {kind or line.kind.lower()}" + (
            f", /{max(line.stride)}" if max(line.stride) > 1 else ""
        )
    kind = "depthwise" if "Depthwise" in line.kind else "conv"
    dilation = f", dilation {max(line.dilation)}" if max(line.dilation) > 1 else ""
    step = f", /{max(line.stride)}" if strides and max(line.stride) > 1 else ""
    return f"{kernel} {kind}, {line.size[-1]}{dilation}{step}"


def _belong(first: Block, second: Block) -> bool:
    """Whether two equal blocks are of one stage."""
    if first.source or second.source:
        return False
    stages = [block.name.partition("_block") for block in (first, second)]
    if all(middle for _, middle, _ in stages):
        return stages[0][0] == stages[1][0]
    return first.size == second.size


def _shade(size: tuple[int, ...], picture: tuple[int, ...]):
    """Darker the smaller the map."""
    if len(size) != 3:
        return "#f4e4d4"
    halvings = np.log2(max(picture[0] / size[0], 1))
    return colormaps["GnBu"](min(0.12 + 0.09 * halvings, 0.6))


def _count(n: int) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if n >= unit:
            return f"{n / unit:.3g}{name}"
    return str(n)
