"""Suggest a detector's anchors by k-means of the user's boxes."""

from __future__ import annotations

import json

from absl import flags

from convoy.pipeline import steps
from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    text = "How many shapes; otherwise as many as the network has, from 3 to 12."
    flags.DEFINE_integer("count", None, text, lower_bound=1, flag_values=values)


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    recipe = recipes.load(words, values, beam)
    job = steps.Job(recipe, tell=recipes.say)
    steps.run(job, "statistics_gen")
    statistics = job.done["statistics_gen"]
    labels = json.loads((statistics.path / "statistics.json").read_text())["labels"]
    from convoy.pipeline.tools import suggest_anchors

    result = suggest_anchors.run(recipe, statistics, labels, values.count)
    print(suggest_anchors.text(result))
    return result


VERB = Verb(
    "RECIPE [--count N]",
    (
        f"convoy anchors {recipes.VOC} --set model.name=yolov3_tiny --set data.path=VOCdevkit",
        f"convoy anchors {recipes.VOC} --set data.path=VOCdevkit --count 5 --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
