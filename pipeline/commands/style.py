"""Paint one picture in the style of another."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", None, "Picture to write, .png or .jpg.", values, short_name="o")
    text = "imagenet, a file of published weights, its address, or a run's folder."
    flags.DEFINE_string("weights", "imagenet", text, values)
    flags.DEFINE_string("network", None, "Of a file of weights; default: vgg19.", values)
    flags.DEFINE_integer("size", 512, "Pixels of the longer side, 32 to 1024.", flag_values=values)
    flags.DEFINE_integer("iterations", 500, "Of L-BFGS.", flag_values=values)
    flags.DEFINE_string("start", "content", "Or noise.", values)
    flags.DEFINE_float("content_weight", 1.0, "Of the content's loss.", flag_values=values)
    flags.DEFINE_float("style_weight", 1000.0, "Of the style's loss.", flag_values=values)
    flags.DEFINE_string("content_layer", None, "Default: conv4_2, or by the stages.", values)
    flags.DEFINE_list("style_layers", None, "Default: conv1_1 to conv5_1, or stages.", values)
    text = "Iterations from one picture on the way to the next; 0: none."
    flags.DEFINE_integer("every", 50, text, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Of the noise.", flag_values=values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 2 or not values.output:
        raise UsageError("expected a picture for the content, one for the style, and -o OUT.png")
    from convoy.pipeline.tools.style import run

    report = run.run(
        words[0],
        words[1],
        pathlib.Path(values.output),
        weights=values.weights,
        name=values.network,
        size=values.size,
        iterations=values.iterations,
        start=values.start,
        content_weight=values.content_weight,
        style_weight=values.style_weight,
        every=values.every,
        content_layer=values.content_layer,
        style_layers=values.style_layers,
        seed=values.seed,
    )
    for path in (*report["steps"], report["picture"]):
        print(path)
    return report


VERB = Verb(
    "CONTENT STYLE -o OUT [--weights imagenet|PATH|RUN] [--size PX] [--iterations N]",
    (
        "convoy style street.jpg waves.jpg -o painted.png --size 512",
        "convoy style street.jpg waves.jpg -o painted.png --weights runs/transfer --json",
    ),
    _run,
    _flags,
)
