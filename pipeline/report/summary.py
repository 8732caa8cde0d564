"""From an evaluation to the parts of the HTML report."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from convoy.pipeline.evaluation.gate import Verdict
from convoy.pipeline.report import plots
from convoy.pipeline.report.report import Parts, write_report
from convoy.pipeline.tasks import Shown


def write_summary(
    path: pathlib.Path,
    *,
    title: str,
    metrics: Mapping[str, Any],
    shown: Shown,
    verdict: Verdict,
    examples: pathlib.Path,
    model: pathlib.Path,
    recipe: str,
) -> None:
    """Writes the report. examples, model: folders of the records and of the training."""
    manifest = json.loads((examples / "manifest.json").read_text())
    run = json.loads((model / "run.json").read_text())
    lines = (model / "metrics.jsonl").read_text().splitlines()
    # Of five classes or fewer each is among the best five.
    certain = ("top5",) if len(metrics["per_class"]) <= 5 else ()
    figures = {
        "Training": plots.png(
            plots.training_curves([json.loads(line) for line in lines], without=certain)
        ),
        "Classes in the records": plots.png(plots.class_histogram(_histogram(manifest))),
    }
    write_report(
        path,
        Parts(
            title=title,
            verdict=verdict,
            metrics={
                k: v
                for k, v in metrics.items()
                if k not in certain and (v is None or isinstance(v, (int, float)))
            },
            per_class=metrics["per_class"],
            manifest=manifest,
            figures={**figures, **shown.figures},
            tables=shown.tables,
            gallery=shown.gallery,
            gallery_note=shown.note,
            examples=shown.examples,
            recipe=recipe,
            environment={**run["environment"], "training seconds": run["seconds"]},
        ),
    )


def _histogram(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """split -> class -> objects, or pictures where there are no objects."""
    key = "objects_by_class"
    if not any(split["objects"] for split in manifest["splits"].values()):
        key = "images_by_class"
    return {name: split[key] for name, split in manifest["splits"].items()}
