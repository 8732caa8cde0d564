"""Write the SavedModel: of a recipe, or of a run that is there, whatever its gate said.

With --to, the files of a run's network for other runtimes, each with its proof.
"""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError

PROOF = ("pictures", "max_loss")


def _flags(values: flags.FlagValues) -> None:
    recipes.define(values)
    text = "Files for onnx, openvino, litert, litert_float16, litert_int8; of a run."
    flags.DEFINE_list("to", [], text, flag_values=values)
    text = "Of the test split: each file is compared on them."
    flags.DEFINE_integer("pictures", 50, text, lower_bound=1, flag_values=values)
    text = "What a file of 8 or 16 bits may lose of the metric."
    flags.DEFINE_float("max_loss", 0.02, text, lower_bound=0, flag_values=values)


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if values["to"].present and not any(values.to):
        raise UsageError("--to: expected one or more of the runtimes, as onnx,litert; got none")
    if not values.to:
        arguments.unused(values, PROOF, "it is of --to")
    if len(words) != 1 or not pathlib.Path(words[0]).is_dir():
        if values.to:
            raise UsageError(f"--to: expected one run's folder, got {' '.join(words) or 'none'}")
        return recipes.upto("exporter")(words, values, beam)
    arguments.unused(values, ("weights", "dry_run"), "a run is trained already")
    if beam:
        raise UsageError(f"{beam[0]} is not used: a run's records are there already")
    for change in values.set:
        if not change.strip().startswith("export."):
            raise UsageError(f"--set {change}: a run is trained already; expected export.key=value")
    if values.to:
        _check_kinds(values.to)
    from convoy.pipeline.tools import exported

    run = pathlib.Path(words[0])
    if not exported.is_run(run):
        raise UsageError(f"{run}: expected a recipe file, or a run's folder, which has config.yaml")
    if values.to:
        return _others(run, values)
    model = exported.of_run(run, values.set, tell=recipes.say)
    print(f"exporter: {model}")
    return {"run_dir": str(run.absolute()), "model": str(model), "pushed": False}


def _check_kinds(names: list[str]) -> None:
    from convoy.serving.runtimes import kinds

    try:
        kinds.check(names)
    except ValueError as error:
        raise UsageError(f"--to: {error}") from error


def _others(run: pathlib.Path, values: flags.FlagValues) -> dict:
    from convoy.pipeline.errors import Refused
    from convoy.pipeline.tools import other_runtimes

    how = {"pictures": values.pictures, "max_loss": values.max_loss, "tell": recipes.say}
    try:
        result = other_runtimes.run(run, values.to, values.set, **how)
    except Refused as error:
        print(error.result["page"])
        raise
    print(result["page"])
    for name, path in result["files"].items():
        print(f"{name}: {path}")
    return result


VERB = Verb(
    "RECIPE|RUN [--set section.key=value]... [--weights imagenet|PATH|URL] [--to onnx,litert]",
    (f"convoy export {recipes.VOC} --dry_run", "convoy export runs/birds --to onnx,openvino"),
    _run,
    _flags,
    passes_flags=True,
)
