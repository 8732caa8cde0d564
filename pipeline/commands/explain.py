"""Look inside a network."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", None, "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_string("layer", None, "Whose maps; default: each stage's last.", values)
    flags.DEFINE_string("class", None, "Explain this class; default: the best.", values)
    flags.DEFINE_bool("random", False, "MODEL is a network's name: random weights.", values)
    text = "MODEL is a network's name: imagenet, a file of published weights, its address."
    flags.DEFINE_string("weights", None, text, values)
    side = "Side of the square that occludes, pixels of the input."
    flags.DEFINE_integer("window", None, side, flag_values=values)
    flags.DEFINE_integer("stride", None, "Pixels between its places.", flag_values=values)
    text = "Only: residual blocks as steps of an ODE, means over one or more IMAGEs."
    flags.DEFINE_bool("dynamics", False, text, values)
    text = "Only: one HTML page to walk through the layers of one IMAGE in 3-D."
    flags.DEFINE_bool("interactive", False, text, values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if values.dynamics and values.interactive:
        raise UsageError("--dynamics and --interactive: give one of them")
    if values.dynamics:
        return _dynamics(words, values)
    if values.interactive:
        return _interactive(words, values)
    if len(words) != 2 or not values.output:
        raise UsageError("expected a run or a model, one picture, and -o DIR")
    if values.random and values.weights is not None:
        raise UsageError("--random and --weights: give one of them, both set all weights")
    from convoy.pipeline.tools.explain import run

    report = run.run(
        words[0],
        _picture(words[1]),
        pathlib.Path(values.output),
        layer=values.layer,
        class_name=values["class"].value,
        random=values.random,
        weights=values.weights,
        window=values.window,
        stride=values.stride,
    )
    if "class" in report:
        print(f"{report['class']} {report['score']:.4f}")
    if "note" in report:
        print(report["note"])
    for path in report["pictures"]:
        print(path)
    return report


def _check_alone(flag: str, values: flags.FlagValues) -> None:
    """Raises UsageError for flags of the other pictures."""
    if values.random and values.weights is not None:
        raise UsageError("--random and --weights: give one of them, both set all weights")
    for name in ("layer", "class", "window", "stride"):
        if values[name].value is not None:
            raise UsageError(f"--{flag}: --{name} is of the other pictures, leave it out")


def _interactive(words: list[str], values: flags.FlagValues) -> dict:
    if len(words) != 2 or not values.output:
        raise UsageError("expected a run or a model, one picture, and -o DIR")
    _check_alone("interactive", values)
    from convoy.pipeline.tools.explain import walk

    options = {"random": values.random, "weights": values.weights}
    report = walk.write(words[0], _picture(words[1]), pathlib.Path(values.output), **options)
    if "class" in report:
        print(f"{report['class']} {report['score']:.4f}")
    print(f"{report['page']}: {len(report['planes'])} planes, {report['bytes'] / 1e6:.1f} MB")
    return report


def _dynamics(words: list[str], values: flags.FlagValues) -> dict:
    if len(words) < 2 or not values.output:
        raise UsageError("expected a run or a model, pictures, and -o DIR")
    _check_alone("dynamics", values)
    from convoy.pipeline.tools import asked
    from convoy.pipeline.tools.explain import dynamics

    output = pathlib.Path(values.output)
    options = {"random": values.random, "weights": values.weights}
    report = dynamics.run(words[0], asked.expand(words[1:]), output, **options)
    for row in report["blocks"]:
        print(" ".join(f"{name} {_short(value)}" for name, value in row.items()))
    for path in report["pictures"]:
        print(path)
    return report


def _picture(word: str) -> str:
    """The one that a file, a folder or a glob names. Raises UsageError."""
    from convoy.pipeline.tools import asked

    pictures = asked.expand([word])
    if len(pictures) > 1:
        raise UsageError(f"{word}: expected one picture, it names {len(pictures)}: {pictures[0]}, "
                         f"{pictures[1]}, ...")  # fmt: skip
    return str(pictures[0])


def _short(value) -> str:
    return "-" if value is None else value if isinstance(value, str) else f"{value:.4f}"


VERB = Verb(
    "MODEL IMAGE -o DIR [--weights imagenet|PATH|URL] [--layer NAME] [--class NAME] "
    "[--dynamics | --interactive]",
    (
        "convoy explain runs/folder_classification a.jpg -o out --layer stage3_block6_relu",
        "convoy explain resnet50 a.jpg -o out --weights imagenet --class tabby --json",
    ),
    _run,
    _flags,
)
