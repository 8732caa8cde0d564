"""Meta-architectures x feature extractors, trained or only timed on one recipe: `convoy grid`.

DIR (RUN_DIR/grid) holds one run folder per combination, grid.json, grid.png and grid.html: accuracy
against time per picture. Each combination is the recipe with its model.name and model.backbone,
trained and evaluated by the ordinary steps in a process of its own; records and artifacts lie in
RUN_DIR/artifacts, so that a grid that was stopped goes on. A combination that cannot be built or
trained is a row with its reason.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from convoy import models
from convoy.models import tasks
from convoy.pipeline import config, steps
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.components import timer
from convoy.pipeline.config import Recipe
from convoy.pipeline.store import execute
from convoy.pipeline.tools import compare, own_process
from convoy.pipeline.tools.benchmark import aligned
from convoy.pipeline.validation import recipe_checks

ROW = "row.json"


def run(
    recipe: Recipe,
    metas: Sequence[str],
    backbones: Sequence[str],
    *,
    time_only: bool,
    out: str | None,
    tell: Callable[[str], None],
) -> dict:
    """All combinations, metas outside; returns what `--json` prints."""
    top = steps.Job(recipe).run_dir
    folder = pathlib.Path(out).absolute() if out else top / "grid"
    if not time_only:  # before the first combination: what is wrong with the data ends it all
        steps.make(steps.Job(recipe, tell=tell), "example_gen")
    rows = []
    for meta in metas:
        for backbone in backbones:
            tell(f"--- {meta} + {backbone}")
            row = _row(recipe, meta, backbone, folder, top / "artifacts", time_only)
            if "error" in row:
                tell(f"left out: {row['error']}")
            rows.append({"meta": meta, "backbone": backbone, **row})
            _write(recipe, folder, rows, time_only)
    return {"run_dir": str(top), "report": str(folder / "grid.html"), "rows": rows}


def combination(recipe: Recipe, meta: str, backbone: str, run_dir: pathlib.Path) -> Recipe:
    """The recipe with another network. Raises ConfigError."""
    raw = recipe.model_dump(mode="json")
    raw["run_dir"] = str(run_dir)
    raw["model"].update(name=meta, backbone=backbone, features=[], feature_layer=None, widths={})
    raw["push"]["model_dir"] = ""  # it is not compared with what is pushed
    raw["evaluate"]["tta"] = []  # the time is that of one look
    return config.parse(raw, f"{recipe.name}, {meta} + {backbone}")


def measure(recipe: Recipe, store: pathlib.Path, time_only: bool, tell: Callable) -> dict:
    """One row: of a network that is trained and evaluated first, or has random weights."""
    if time_only:
        recipe_checks.run(recipe)
        params, code = timer.params_of(recipe), steps.code(timer, recipe)
        timed = execute("timer", timer.run, inputs={}, params=params, store=store, code=code)
        return _timing(timed.path)
    job = steps.Job(recipe, tell=tell, store=store)
    metrics = steps.run(job, "evaluator")["metrics"]
    trained = compare.row(job, "", metrics)
    timed = _timing(steps.make(job, "timer").path)
    columns = (metric_of(recipe), "training_seconds")
    return {**timed, **{name: trained[name] for name in columns}, "run_dir": str(job.run_dir)}


def metric_of(recipe: Recipe) -> str:
    """What the gate looks at."""
    return recipe.evaluate.metric or tasks.row(recipe.task).gate


def _timing(path: pathlib.Path) -> dict:
    timing = json.loads((path / "timing.json").read_text())
    columns = ("ms", "network_ms", "params", "macs", "machine")
    size = "x".join(map(str, timing["input"]))
    return {"input": size, **{name: timing[name] for name in columns}}


def _row(
    recipe: Recipe,
    meta: str,
    backbone: str,
    folder: pathlib.Path,
    store: pathlib.Path,
    time_only: bool,
) -> dict:
    """What `measure` gives in a process of its own, or {"error"}. Raises Interrupted."""
    run_dir = folder / f"{meta}-{backbone}".replace("/", "_")
    try:
        for name in (meta, backbone):
            models.describe(name)
        changed = combination(recipe, meta, backbone, run_dir)
    except ValueError as error:
        return {"error": str(error)}
    arguments = {
        "recipe": changed.model_dump(mode="json"),
        "store": str(store),
        "time_only": time_only,
    }
    made = own_process.call("convoy.pipeline.tools.grid", arguments, run_dir / ROW)
    if "error" in made:
        made["error"] = made["error"].removeprefix(f"recipe {changed.name}: ")
    return made


def _write(recipe: Recipe, folder: pathlib.Path, rows: list[dict], time_only: bool) -> None:
    """The figure and the tables of the rows so far."""
    from convoy.pipeline.report import pages, plots, speed

    folder.mkdir(parents=True, exist_ok=True)
    metric = metric_of(recipe)
    good = [row for row in rows if "error" not in row]
    drawn = [row for row in good if time_only or row[metric] is not None]
    picture = b""
    if drawn:
        picture = plots.png(speed.bars(drawn) if time_only else speed.scatter(drawn, metric))
        write_bytes(folder / "grid.png", picture)
    columns = columns_of(recipe, time_only)
    write_json(
        folder / "grid.json",
        {"recipe": recipe.name, "metric": metric, "time_only": time_only, "rows": rows},
    )
    pages.write(
        folder / "grid.html",
        "grid.html",
        name=recipe.name,
        time_only=time_only,
        machine=good[0]["machine"] if good else "this machine",
        figure=pages.uri(picture, "png") if picture else "",
        caption="time" if time_only else f"{metric} against time",
        columns=[name.replace("_", " ") for name in columns],
        rows={_name(row): [row.get(name) for name in columns] for row in good},
        errors={_name(row): [row["error"]] for row in rows if "error" in row},
    )


def columns_of(recipe: Recipe, time_only: bool) -> list[str]:
    """Of the tables, in their order."""
    measured = [] if time_only else [metric_of(recipe), "training_seconds"]
    return [*measured[:1], "ms", "network_ms", "input", "params", "macs", *measured[1:]]


def text(rows: Sequence[dict], columns: Sequence[str]) -> str:
    """The table for people; of a combination that was left out its reason alone."""
    from convoy.pipeline.report import pages

    lines = [["combination", *(name.replace("_", " ") for name in columns)]]
    for row in (row for row in rows if "error" not in row):
        lines.append([_name(row), *(str(pages.number(row.get(name))) for name in columns)])
    left_out = [f"{_name(row)}: {row['error']}" for row in rows if "error" in row]
    return "\n".join([aligned(lines), *left_out])


def _name(row: dict[str, Any]) -> str:
    return f"{row['meta']} + {row['backbone']}"


def _measured(recipe: dict, store: str, time_only: bool, tell: Callable[[str], None]) -> dict:
    """In the process of one combination."""
    return measure(config.parse(recipe), pathlib.Path(store), time_only, tell)


if __name__ == "__main__":
    sys.exit(own_process.answer(_measured))
