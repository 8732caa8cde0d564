"""From samples and predictions to the parts of the HTML report."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.sample import Sample
from pipeline.evaluation import confusion, overlay, plots, voc
from pipeline.evaluation.gate import Verdict
from pipeline.evaluation.matching import match
from pipeline.evaluation.report import Parts, write_report

SCORE = 0.5  # of the confusion matrix and the gallery, where no operating point is known


def write_summary(
    path: pathlib.Path,
    *,
    title: str,
    labels: Sequence[str],
    samples: Sequence[Sample],
    predictions,
    metrics: Mapping[str, Any],
    verdict: Verdict,
    examples: pathlib.Path,
    model: pathlib.Path,
    recipe: str,
    gallery: int,
) -> dict[str, float]:
    """Writes the report; returns the score of best F1 of each class (detection; else nothing)."""
    manifest = json.loads((examples / "manifest.json").read_text())
    run = json.loads((model / "run.json").read_text())
    lines = (model / "metrics.jsonl").read_text().splitlines()
    figures = {
        "Training": plots.png(plots.training_curves([json.loads(line) for line in lines])),
        "Classes in the records": plots.png(plots.class_histogram(_histogram(manifest))),
    }
    shown = _spread(len(samples), gallery)
    points: dict[str, float] = {}
    if isinstance(predictions, np.ndarray):
        matrix = np.array(metrics["confusion"])
        figures["Confusion"] = plots.png(plots.confusion_matrix(matrix, labels))
        pictures = overlay.classification_gallery(
            [samples[i] for i in shown], predictions[shown], labels, gallery
        )
        note = "Each picture with its true class and what was predicted."
    else:
        matches = match(samples, predictions, len(labels))
        best = confusion.operating_points(matches, labels)
        points = {name: point["threshold"] for name, point in best.items() if point}
        thresholds = [points.get(name, SCORE) for name in labels]
        curves = [voc.pr_curve(matches, k) for k in range(len(labels))]
        table = confusion.detection_confusion(samples, predictions, labels, score=thresholds)
        figures["Precision and recall"] = plots.png(plots.pr_curves(curves, labels))
        figures["Confusion"] = plots.png(plots.confusion_matrix(table, labels))
        pictures = overlay.gallery(
            [samples[i] for i in shown],
            [predictions[i] for i in shown],
            labels,
            thresholds,
            gallery,
        )
        note = "Truth on the left; on the right detections above each class's score of best F1."
    write_report(
        path,
        Parts(
            title=title,
            verdict=verdict,
            metrics={k: v for k, v in metrics.items() if v is None or isinstance(v, (int, float))},
            per_class=metrics["per_class"],
            manifest=manifest,
            figures=figures,
            gallery=pictures,
            gallery_note=note,
            recipe=recipe,
            environment={**run["environment"], "training seconds": run["seconds"]},
        ),
    )
    return points


def _histogram(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """split -> class -> objects, or pictures where there are no objects."""
    key = "objects_by_class"
    if not any(split["objects"] for split in manifest["splits"].values()):
        key = "images_by_class"
    return {name: split[key] for name, split in manifest["splits"].items()}


def _spread(count: int, wanted: int) -> list[int]:
    """Indices of `wanted` samples spread evenly over all."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(wanted, count))})
