"""List networks; show and draw one."""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    from convoy.models.registry import MODELS

    tasks = sorted({row.family.task for row in MODELS.values()})
    flags.DEFINE_enum("task", None, tasks, "List networks of one task.", flag_values=values)
    flags.DEFINE_string("pattern", None, "List names like it, e.g. 'resnet*'.", values)
    flags.DEFINE_string(
        "diagram", None, "File to draw the named network to: .png, .svg or .pdf.", values
    )


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    from convoy import models

    if values.diagram and len(words) != 1:
        raise UsageError(f"--diagram: expected the name of one network, got {words or 'none'}")
    if words and (values.task or values.pattern):
        raise UsageError("--task and --pattern choose what is listed: expected no name beside them")
    names = words or models.list_models(values.task, values.pattern)
    if not names:
        raise UsageError(f"--pattern: no network has a name like {values.pattern!r}")
    try:
        rows = [_row(models.describe(name.partition("@")[0])) for name in names]
        table, shown = _layers(words[0], values.diagram) if len(words) == 1 else ("", {})
    except ValueError as error:
        raise UsageError(str(error)) from error
    if len(words) == 1:
        rows = [{key: shown.get(key, value) for key, value in rows[0].items()}]
    print(f"{'name':<22} {'task':<15} {'parameters':>12} {'MACs':>15} {'input':<12} paper")
    for row in rows:
        size = "x".join(map(str, row["input"]))
        print(
            f"{row['name']:<22} {row['task']:<15} {row['params']:>12,} {row['macs']:>15,} "
            f"{size:<12} {row['paper']} ({row['year']})"
        )
    if len(words) != 1:
        return {"models": rows}
    print(f"\n{table}")
    return {**rows[0], **shown}


def _layers(word: str, diagram: str | None) -> tuple[str, dict]:
    """(the table of one network's layers, the same for JSON); drawn where a file is given."""
    from convoy.models import structure
    from convoy.pipeline.tools import model_table

    name, size = model_table.parse(word)
    if diagram:
        from convoy.pipeline.tools import diagram as drawing

        kind = drawing.kind_of(diagram)  # before the network is built
    layers = structure.lines(model_table.build(name, size))
    depth = structure.depth(layers)
    table = f"{model_table.text(layers)}\n\ndepth {depth}: layers with kernels in a row"
    drawn = {}
    if diagram:
        path = pathlib.Path(diagram)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, drawing.encoded(drawing.draw(word, layers), kind))
        table, drawn = f"{table}\n{path}", {"diagram": str(path)}
    return table, {
        **drawn,
        "input": list(layers[0].size),
        "params": sum(line.params for line in layers),
        "macs": sum(line.macs for line in layers),
        "depth": depth,
        "layers": [model_table.as_json(line) for line in layers],
    }


def _row(info) -> dict:
    row = dataclasses.asdict(info)
    keys = ("name", "task", "params", "macs", "num_classes", "paper", "year")
    return {
        **{key: row[key] for key in keys},
        "input": [*info.preprocess.shape],
    }


VERB = Verb(
    "[NAME[@SIZE]] [--diagram FILE] | [--task T] [--pattern P]",
    (
        "convoy models --pattern resnet*",
        "convoy models inception_v3@399 --diagram inception_v3.png --json",
    ),
    _run,
    _flags,
)
