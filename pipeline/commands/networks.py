"""Verbs on networks."""

from __future__ import annotations

import dataclasses
import pathlib

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _models_flags(values: flags.FlagValues) -> None:
    from convoy.models.registry import MODELS

    tasks = sorted({row.family.task for row in MODELS.values()})
    flags.DEFINE_enum("task", None, tasks, "List networks of one task.", flag_values=values)
    flags.DEFINE_string("pattern", None, "List names like it, e.g. 'resnet*'.", values)
    flags.DEFINE_string(
        "diagram", None, "File to draw the named network to: .png, .svg or .pdf.", values
    )


def _models(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
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
    from convoy.pipeline.artifacts import write_bytes
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


def _explain_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", None, "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_string("layer", None, "Whose maps; default: each stage's last.", values)
    flags.DEFINE_string("class", None, "Explain this class; default: the best.", values)
    flags.DEFINE_bool("random", False, "MODEL is a network's name: random weights.", values)
    text = "MODEL is a network's name: imagenet, a file of published weights, its address."
    flags.DEFINE_string("weights", None, text, values)
    side = "Side of the square that occludes, pixels of the input."
    flags.DEFINE_integer("window", None, side, flag_values=values)
    flags.DEFINE_integer("stride", None, "Pixels between its places.", flag_values=values)


def _explain(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 2 or not values.output:
        raise UsageError("expected a folder of trained weights, one picture, and -o DIR")
    if values.random and values.weights is not None:
        raise UsageError("--random and --weights: give one of them, both set all weights")
    from convoy.pipeline.tools.explain import run

    report = run.run(
        words[0],
        words[1],
        pathlib.Path(values.output),
        layer=values.layer,
        class_name=values["class"].value,
        random=values.random,
        weights=values.weights,
        window=values.window,
        stride=values.stride,
    )
    if "class" in report:
        print(f"{report['class']} {report['score']:.4f}")
    if "note" in report:
        print(report["note"])
    for path in report["pictures"]:
        print(path)
    return report


def _benchmark_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("batch", 20, "Pictures per batch.", lower_bound=1, flag_values=values)
    side = "Input in pixels of names without @SIZE; default: each network's own."
    flags.DEFINE_integer("size", None, side, lower_bound=1, flag_values=values)
    text = "Runs of each; medians are shown."
    flags.DEFINE_integer("rounds", 5, text, lower_bound=1, flag_values=values)
    policies = ["float32", "mixed_bfloat16", "mixed_float16"]
    flags.DEFINE_enum("precision", "float32", policies, "Of arithmetic.", flag_values=values)


def _benchmark(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if not words:
        raise UsageError("expected at least one NAME or NAME@SIZE")
    from convoy.pipeline.tools import benchmark

    rows = benchmark.run(
        words,
        batch=values.batch,
        size=values.size,
        rounds=values.rounds,
        precision=values.precision,
    )
    print(benchmark.text(rows))
    failed = [row["error"] for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} networks failed: {failed[0]}")
    return {"benchmark": rows}


VERBS = {
    "benchmark": Verb(
        "time networks forward and backward on this machine, beside keras.applications",
        "[--batch N] [--size N] NAME[@SIZE]...",
        (
            "convoy benchmark --batch 20 vgg16 inception_v3@399 resnet200",
            "convoy benchmark --batch 4 --size 64 resnet50_v1 --precision mixed_bfloat16 --json",
        ),
        _benchmark,
        _benchmark_flags,
    ),
    "explain": Verb(
        "look inside: filters, feature maps, occlusion map and Grad-CAM of one picture",
        "MODEL IMAGE -o DIR [--weights imagenet|PATH|URL] [--layer NAME] [--class NAME]",
        (
            "convoy explain runs/folder_classification a.jpg -o out --layer stage3_block6_relu",
            "convoy explain resnet50 a.jpg -o out --weights imagenet --class tabby --json",
        ),
        _explain,
        _explain_flags,
    ),
    "models": Verb(
        "list the networks; show the layers of one, at any input size, and draw it",
        "[NAME[@SIZE]] [--diagram FILE] | [--task T] [--pattern P]",
        (
            "convoy models --pattern resnet*",
            "convoy models inception_v3@399 --diagram inception_v3.png --json",
        ),
        _models,
        _models_flags,
    ),
}
