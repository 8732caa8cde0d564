"""Meta-architectures and feature extractors side by side."""

from __future__ import annotations

from absl import flags

from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_list("meta", [], "Names of detectors; default: model.name.", values)
    flags.DEFINE_list("backbones", [], "Names of networks that they stand on.", values)
    flags.DEFINE_bool("time_only", False, "Train nothing: random weights.", flag_values=values)
    text = "Folder of the page and the runs; default: RUN_DIR/grid."
    flags.DEFINE_string("output", None, text, values, short_name="o")


def _run(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if values.time_only:
        arguments.unused(values, ["weights"], "with --time_only weights are random")
    recipe = recipes.load(words, values, beam)
    metas, backbones = (list(dict.fromkeys(v)) for v in (values.meta, values.backbones))
    metas = metas or [recipe.model.name]
    if not backbones:
        raise UsageError("--backbones: expected names of networks, such as mobilenet_v1,resnet101")
    from convoy.pipeline.tools import grid

    result = grid.run(
        recipe,
        metas,
        backbones,
        time_only=values.time_only,
        out=values.output,
        tell=recipes.say,
    )
    rows = result["rows"]
    print(grid.text(rows, grid.columns_of(recipe, values.time_only)))
    print(result["report"])
    if all("error" in row for row in rows):
        raise ValueError(f"no combination of {len(rows)} was made: {rows[0]['error']}")
    return result


VERB = Verb(
    "RECIPE [--meta A,B...] --backbones X,Y... [--time_only] [-o DIR]",
    (
        f"convoy grid {recipes.VOC} --meta ssd --backbones mobilenet_v1,resnet18 -o grid",
        f"convoy grid {recipes.VOC} --meta ssd --backbones vgg16,resnet101 --time_only --json",
    ),
    _run,
    _flags,
    passes_flags=True,
)
