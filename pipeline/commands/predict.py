"""Ask a pushed model about pictures or sentences."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError

LEAST_TILE = 32  # pixels


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", ".", "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_float("score", 0.5, "Draw detections from this score on.", flag_values=values)
    text = "SIZE,OVERLAP in pixels: cut large pictures, put the boxes together."
    flags.DEFINE_string("tiles", None, text, values)
    text = "flip and scales, e.g. flip,1.25: look several times, give one answer."
    flags.DEFINE_list("tta", [], text, values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) < 2:
        raise UsageError("expected a model folder and at least one picture, or sentence")
    from convoy.pipeline.tools import predict_pictures

    model, *pictures = words
    output = pathlib.Path(values.output)
    seen = {"tiles": _tiles(values.tiles), "tta": _tta(values.tta)}
    rows = predict_pictures.run(model, pictures, output, values.score, tell=print, **seen)
    failed = [row for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} pictures failed: {failed[0]['error']}")
    return {"output": values.output, "predictions": rows}


def _tiles(text: str | None) -> tuple[int, int] | None:
    """Text such as 640,128 -> (640, 128)."""
    if text is None:
        return None
    words = text.split(",")
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(words) != 2 or len(numbers) != 2:
        raise UsageError(f"--tiles: expected SIZE,OVERLAP in pixels such as 640,128, got {text!r}")
    size, overlap = numbers
    if size < LEAST_TILE:
        raise UsageError(f"--tiles {text}: expected a SIZE of at least {LEAST_TILE} pixels")
    if overlap >= size:
        raise UsageError(
            f"--tiles {text}: expected an OVERLAP smaller than the SIZE; about the size of the "
            "objects is best"
        )
    return size, overlap


def _tta(words: list[str]) -> tuple[str | float, ...]:
    from convoy.pipeline.evaluation import views

    try:
        return views.check_words(words)
    except ValueError as error:
        raise UsageError(f"--tta: {error}, got {','.join(words)}") from None


VERB = Verb(
    "run a pushed model on pictures and draw what it finds; or on sentences",
    "MODEL IMAGE... -o DIR [--tiles SIZE,OVERLAP] [--tta flip,SCALE...] | MODEL TEXT...",
    (
        "convoy predict runs/demo/served/demo street.jpg -o out",
        "convoy predict served/cells/3 slide.png -o out --tiles 640,128 --tta flip --json",
    ),
    _run,
    _flags,
)
