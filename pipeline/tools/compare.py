"""One recipe in several modes of transfer learning, on the same records: `convoy compare`.

RUN_DIR/compare holds one run folder per mode, report.html and compare.json: mode, network, input,
parameters that learnt, parameters, multiply-accumulates, accuracy, training time. Records and
features are made once, in RUN_DIR/artifacts.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

from convoy.models import tasks
from convoy.pipeline import steps
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.config import Recipe
from convoy.pipeline.config import parse as checked
from convoy.pipeline.validation import recipe_checks

MODES = ("extract", "fine_tune", "scratch")


def run(recipe: Recipe, modes: Sequence[str], tell: Callable[[str], None]) -> dict:
    """Trains and evaluates in each mode; returns what `--json` prints."""
    top = steps.Job(recipe).run_dir
    rows = []
    recipes = {mode: in_mode(recipe, mode, top / "compare" / mode) for mode in modes}
    for variant in recipes.values():  # all, before the first of them trains
        recipe_checks.run(variant)
    for mode, variant in recipes.items():
        tell(f"--- {mode}")
        job = steps.Job(variant, tell=tell, store=top / "artifacts")
        done = steps.run(job, "evaluator")
        rows.append(row(job, mode, done["metrics"]))
    folder = top / "compare"
    write_json(folder / "compare.json", rows)
    write_bytes(folder / "report.html", page(recipe.name, rows).encode())
    return {"run_dir": str(top), "report": str(folder / "report.html"), "rows": rows}


def in_mode(recipe: Recipe, mode: str, run_dir: pathlib.Path) -> Recipe:
    """The recipe in another mode; what belongs to the other modes alone is left out."""
    raw = recipe.model_dump(mode="json")
    raw["run_dir"] = str(run_dir)
    raw["train"]["mode"] = mode
    if mode != "fine_tune":
        raw["train"].update(stages=[], backbone_rate=1.0)
    if mode == "extract":
        raw["model"]["head"] = "own"  # which is left out: a linear layer takes its place
    else:
        if "extract" in tasks.row(recipe.task).modes:
            raw["train"]["head"] = "linear"  # the others are fitted to features
        raw["model"].update(features=[], feature_layer=None)
        first = recipe.model.features[0] if recipe.model.features else None
        if first:  # of several networks the first one is trained
            raw["model"].update(first.model_dump(mode="json", exclude={"features"}))
            raw["model"]["input_size"] = first.input_size or recipe.model.input_size
            raw["model"]["feature_layer"] = None
    if mode == "scratch":
        raw["model"].update(init_from=None, weights=None, widths={})
    return checked(raw, f"{recipe.name}, mode {mode}")


def row(job: steps.Job, mode: str, metrics: dict) -> dict:
    """A line of the table; seconds are those of when it was computed, cached or not."""
    trainer = job.done["trainer"].path
    training = json.loads((trainer / "training.json").read_text())
    folders = [trainer] + [job.done[name].path for name in ("feature_gen",) if name in job.done]
    metric = job.recipe.evaluate.metric or tasks.row(job.recipe.task).gate
    size = json.loads((trainer / "network.json").read_text())["model"]["input_size"]
    return {
        "mode": mode,
        "network": training["network"],
        "input": "x".join(map(str, size)) if size else "default",
        "learnt": training["learnt"],
        "params": training["params"],
        "macs": training["macs"],
        metric: metrics.get(metric),
        "training_seconds": round(sum(_seconds(path) for path in folders), 1),
    }


def _seconds(folder: pathlib.Path) -> float:
    return json.loads((folder / "run.json").read_text())["seconds"]


def page(title: str, rows: Sequence[dict]) -> str:
    """The table as one HTML page."""
    from convoy.pipeline.report import pages

    columns = [name for name in rows[0] if name != "mode"]
    return pages.render(
        "compare.html",
        name=title,
        columns=[name.replace("_", " ") for name in columns],
        rows={line["mode"]: [line.get(name) for name in columns] for line in rows},
    )
