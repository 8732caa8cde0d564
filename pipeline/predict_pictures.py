"""`convoy predict`: a pushed model on pictures; draws what it found and writes it as JSON."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from pipeline.artifacts import write_json
from serving import client


def run(model: str, pictures: Sequence[str], output: pathlib.Path, score: float) -> list[dict]:
    """One row a picture: {"image", "picture", "json", ...predictions} or {"image", "error"}."""
    predict = client.load_local(pathlib.Path(model))
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for picture in pictures:
        try:
            rows.append(_one(predict, pathlib.Path(picture), output, score))
        except (OSError, ValueError) as error:
            rows.append({"image": picture, "error": f"{picture}: {error}"})
    write_json(output / "predictions.json", rows)
    return rows
