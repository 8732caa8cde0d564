"""`convoy predict`: a pushed model on pictures; draws what it found and writes it as JSON."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from data.images import load
from pipeline.artifacts import write_json
from pipeline.evaluation.overlay import caption, draw
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


def _one(predict, path: pathlib.Path, output: pathlib.Path, score: float) -> dict:
    picture = load(str(path))
    answers = {name: value[0] for name, value in predict([picture.image]).items()}
    drawn = output / f"{path.stem}.png"
    if "boxes" in answers:
        found = int(answers["num_detections"])
        names = [name.decode() for name in answers["class_names"][:found]]
        labels = sorted(set(names))
        row = {
            "detections": [
                {"box": box.tolist(), "score": float(confidence), "class": name}
                for box, confidence, name in zip(
                    answers["boxes"], answers["scores"], names, strict=False
                )
            ]
        }
        shown = answers["scores"][:found] >= score
        classes = np.array([labels.index(name) for name in names], np.int64)
        image = draw(
            picture.image,
            answers["boxes"][:found][shown],
            classes[shown],
            answers["scores"][:found][shown],
            labels,
        )
    else:
        name = answers["class_name"].decode()
        row = {"class": name, "scores": answers["scores"].tolist()}
        image = caption(picture.image, f"{name} {answers['scores'].max():.2f}")
    image.save(drawn)
    return {"image": str(path), "picture": str(drawn), **row}
