"""Verbs that run a recipe's pipeline up to one step."""

from __future__ import annotations

import json
import sys

from absl import flags

from convoy.pipeline import config, steps
from convoy.pipeline.commands import arguments
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import Refused, UsageError

VOC = "configs/voc_detection.yaml"
FOLDER = "configs/folder_classification.yaml"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def define_changes(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string("set", [], "section.key=value, as in the recipe.", flag_values=values)
    text = "Start from: imagenet, a file or its address; model.weights."
    flags.DEFINE_string("weights", None, text, flag_values=values)


def define(values: flags.FlagValues) -> None:
    define_changes(values)
    flags.DEFINE_bool("dry_run", False, "Only say what would run.", flag_values=values)


def upto(step: str):
    """A verb that runs a recipe's pipeline up to one step."""

    def run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
        if "trainer" not in steps.needed(step):
            arguments.unused(values, ("weights",), "nothing is trained")
        recipe = load(words, values, beam)
        if "trainer" in steps.needed(step):
            check_weights(recipe)
        return _run(steps.Job(recipe, plan=values.dry_run, tell=say), step)

    return run


def run_to(step: str, recipe: str) -> dict:
    """Runs a recipe file as it is up to one step."""
    return _run(steps.Job(config.load(recipe), tell=say), step)


def _run(job: steps.Job, step: str) -> dict:
    """The result, of which people are told."""
    try:
        result = steps.run(job, step)
    except Refused:
        if "evaluator" in job.done:
            say(f"to try it all the same: convoy predict {job.run_dir} PICTURES -o out")
        raise
    for name, value in result["metrics"].items():
        print(f"{name} {value:.4f}" if value is not None else f"{name} -")
    if "measured_with" in result:
        print(f"measured with {result['measured_with']}")
    for name, path in result["artifacts"].items():
        print(f"{name}: {path}")
    if "validation" in result:
        print(result["validation"]["summary"])
    if result["pushed"]:
        print(f"pushed: {result['pushed_path']}")
    return result


def load(words: list[str], values: flags.FlagValues, beam: list[str]) -> config.Recipe:
    if len(words) != 1:
        raise UsageError(f"expected one recipe file, got {words or 'none'}")
    changes = list(values.set)
    if values.weights == "":
        raise UsageError("--weights: expected imagenet, a file, or its address")
    if values.weights:  # quoted: an address or a path is never YAML
        changes.append(f"model.weights={json.dumps(values.weights)}")
    recipe = config.load(words[0], changes)
    if values.weights and recipe.model.features:
        raise UsageError("--weights: each of model.features has weights of its own; --set them")
    if not beam:
        return recipe
    changed = recipe.ingest.model_copy(update={"beam": (*recipe.ingest.beam, *beam)})
    return recipe.model_copy(update={"ingest": changed})


def check_weights(recipe: config.Recipe) -> None:
    """Raises UsageError, FileNotFoundError for model.weights that cannot be loaded in the end."""
    parts = [part for part in recipe.model.features or (recipe.model,) if part.weights]
    if not parts:
        return
    from convoy.pipeline.networks import pretrained

    try:
        for part in parts:
            pretrained.check(part.weights, part.name, part.width, part.backbone)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _recipe_verb(step: str, summary: str, second: str) -> Verb:
    verb = {"example_gen": "ingest", "statistics_gen": "statistics", "trainer": "train"}
    verb |= {"schema_gen": "schema"}
    verb |= {"evaluator": "evaluate", "infra_validator": "verify"}
    name = verb.get(step, "push")
    return Verb(
        summary,
        "RECIPE [--set section.key=value]... [--weights imagenet|PATH|URL]",
        (f"convoy {name} {VOC} --set data.path=VOCdevkit", f"convoy {name} {second}"),
        upto(step),
        define,
        passes_flags=True,
    )


VERBS = {
    "statistics": _recipe_verb("statistics_gen", "count what the records hold", FOLDER),
    "schema": _recipe_verb("schema_gen", "infer what the records must look like", FOLDER),
    "train": _recipe_verb("trainer", "train a network; run again to resume", f"{FOLDER} --json"),
    "evaluate": _recipe_verb("evaluator", "metrics, report and the gate's verdict", FOLDER),
    "verify": _recipe_verb("infra_validator", "serve the export and send real requests", FOLDER),
    "push": _recipe_verb("pusher", "push the blessed model as the next version", f"{VOC} --json"),
    "run": Verb(
        "all of it, from raw pictures to a pushed model; unchanged steps are not repeated",
        "RECIPE [--set section.key=value]... [--weights imagenet|PATH|URL]",
        (
            f"convoy run {VOC} --set data.path=VOCdevkit --weights imagenet",
            f"convoy run {FOLDER} --set data.path=pictures --set train.epochs=20 --json",
        ),
        upto("pusher"),
        define,
        passes_flags=True,
    ),
}
