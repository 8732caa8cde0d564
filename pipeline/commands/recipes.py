"""Verbs that run a recipe's pipeline up to one step."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable

from absl import flags

from convoy.models import tasks as table
from convoy.pipeline import config, errors, hooks, rollback, steps
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
        return _run(recipe, step, values.dry_run)

    return run


def run_to(step: str, recipe: str) -> dict:
    """Runs a recipe file as it is up to one step."""
    return _run(config.load(recipe), step, False)


def _run(recipe: config.Recipe, step: str, plan: bool) -> dict:
    """The result, of which people and hooks are told."""
    result = _told(recipe, plan, lambda: _pipeline(recipe, step, plan))
    for name, value in result["metrics"].items():
        print(f"{name} {value:.4f}" if value is not None else f"{name} -")
    if "measured_with" in result:
        print(f"measured with {result['measured_with']}")
    for name, path in result["artifacts"].items():
        print(f"{name}: {path}")
    if "validation" in result:
        print(result["validation"]["summary"])
    if result["pushed"]:
        again = not (result["new"] or result["returned_from"])
        word = "serves already, nothing new is pushed" if again else "pushed"
        print(f"{word}: {result['pushed_path']}")
    return result


def _pipeline(recipe: config.Recipe, step: str, plan: bool) -> dict:
    if "trainer" in steps.needed(step):
        check_weights(recipe)
    job = steps.Job(recipe, plan=plan, tell=say)
    try:
        return steps.run(job, step)
    except Refused:
        if "evaluator" in job.done:
            what = {"text": "TEXT"}.get(table.row(recipe.task).request, "FILES")
            run_dir = shlex.quote(str(job.run_dir))
            say(f"to try it all the same: convoy predict {run_dir} {what} -o out")
        raise


def _told(recipe: config.Recipe, plan: bool, work: Callable[[], dict]) -> dict:
    """Works, and calls the recipe's hooks; what they do changes nothing of what comes out."""
    try:
        result = work()
    except Exception as error:
        if not plan:
            hooks.failed(recipe, error, getattr(error, "exit_code", errors.FAILURE), say)
        raise
    if not plan:
        hooks.pushed(recipe, result, say)
    return result


def _push(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if not values.rollback:
        arguments.unused(values, ("reason",), "it is of --rollback")
        return upto("pusher")(words, values, beam)
    arguments.unused(values, ("weights", "dry_run"), "with --rollback nothing is trained")
    if beam:
        raise UsageError(f"{beam[0]} is not used: with --rollback nothing is ingested")
    recipe = load(words, values, beam)
    base = steps.Job(recipe).model_dir
    result = _told(recipe, False, lambda: rollback.back(base, values.reason or "", say))
    print(f"version {result['version']} is served again: {result['path']}")
    print(f"version {result['withdrawn']} is withdrawn, and its training is not pushed again")
    return result


def _push_flags(values: flags.FlagValues) -> None:
    define(values)
    text = "Serve the version before the newest again; the newest is withdrawn for good."
    flags.DEFINE_bool("rollback", False, text, flag_values=values)
    flags.DEFINE_string("reason", None, "Why --rollback, for the record.", flag_values=values)


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


def _recipe_verb(step: str, second: str) -> Verb:
    verb = {"example_gen": "ingest", "statistics_gen": "statistics", "trainer": "train"}
    verb |= {"schema_gen": "schema"}
    verb |= {"evaluator": "evaluate", "infra_validator": "verify"}
    name = verb[step]
    return Verb(
        "RECIPE [--set section.key=value]... [--weights imagenet|PATH|URL]",
        (f"convoy {name} {VOC} --set data.path=VOCdevkit", f"convoy {name} {second}"),
        upto(step),
        define,
        passes_flags=True,
    )


VERBS = {
    "statistics": _recipe_verb("statistics_gen", FOLDER),
    "schema": _recipe_verb("schema_gen", FOLDER),
    "train": _recipe_verb("trainer", f"{FOLDER} --json"),
    "evaluate": _recipe_verb("evaluator", FOLDER),
    "verify": _recipe_verb("infra_validator", FOLDER),
    "push": Verb(
        "RECIPE [--set section.key=value]... [--weights W] | RECIPE --rollback [--reason TEXT]",
        (f"convoy push {VOC} --json", f"convoy push {VOC} --rollback --reason=cats_are_dogs"),
        _push,
        _push_flags,
        passes_flags=True,
    ),
    "run": Verb(
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
