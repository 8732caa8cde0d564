"""Ask a trained model about pictures or sentences."""

from __future__ import annotations

import pathlib
import re

from absl import flags

from convoy.pipeline.commands import recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError
from convoy.pipeline.evaluation import views


def _flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", ".", "Folder for pictures and JSON.", values, short_name="o")
    text = "Draw objects from this score on; default: each class's own, as measured."
    flags.DEFINE_float("score", None, text, 0.0, 1.0, flag_values=values)
    text = "SIZE,OVERLAP in pixels, e.g. 640,128 or 480x640,96: cut large pictures."
    flags.DEFINE_string("tiles", None, text, values)
    text = "flip and scales, e.g. flip,1.25: look several times, give one answer."
    flags.DEFINE_list("tta", [], text, values)


def _run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) < 2:
        raise UsageError(
            "expected a run or a model, and at least one picture, video, folder, glob, or sentence"
        )
    from tqdm import tqdm  # its write leaves the bar whole

    from convoy.pipeline.tools import predict_pictures

    model, *pictures = words
    output = pathlib.Path(values.output)
    seen = {"tiles": _tiles(values.tiles), "tta": _tta(values.tta), "note": recipes.say}
    rows = predict_pictures.run(model, pictures, output, values.score, tell=tqdm.write, **seen)
    failed = [row for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} failed: {failed[0]['error']}")
    return {"output": values.output, "predictions": rows}


def _tiles(text: str | None) -> views.Tile | None:
    """Of text such as 640,128, or 480x640,96: height x width."""
    if text is None:
        return None
    parts = re.fullmatch(r"(\d+)(?:x(\d+))?,(\d+)", text.replace(" ", ""))
    if not parts:
        raise UsageError(
            "--tiles: expected SIZE,OVERLAP in pixels such as 640,128, or of HEIGHTxWIDTH as "
            f"480x640,96, got {text!r}"
        )
    height, width, overlap = parts.groups()
    try:
        return views.tile((int(height), int(width or height)), int(overlap))
    except ValueError as error:
        raise UsageError(f"--tiles {text}: {error}") from None


def _tta(words: list[str]) -> tuple[str | float, ...]:
    try:
        return views.check_words(words)
    except ValueError as error:
        raise UsageError(f"--tta: {error}, got {','.join(words)}") from None


VERB = Verb(
    "RUN|MODEL IMAGE|VIDEO|DIR|GLOB... -o DIR [--tiles SIZE,OVERLAP] [--tta flip,SCALE] | RUN TEXT",
    (
        "convoy predict runs/demo photos/ -o out",
        "convoy predict served/cells/3 slide.png -o out --tiles 640,128 --tta flip --json",
    ),
    _run,
    _flags,
)
