"""`convoy predict`: a pushed model on pictures; draws what it found and writes it as JSON.

Of a model for sentences: on sentences, or on the lines of text files.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np

from data.images import load
from pipeline.artifacts import write_json
from pipeline.evaluation.overlay import caption, draw
from serving import client


def run(model: str, pictures: Sequence[str], output: pathlib.Path, score: float) -> list[dict]:
    """One row a picture: {"image", "picture", ...predictions} or {"image", "error"}.

    One row a sentence: {"text", "class", "scores"}.
    """
    predict = client.load_local(pathlib.Path(model))
    output.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = []
    if client.input_of(model) == "text":
        for sentence in (line for word in pictures for line in _lines(word)):
            answers = {name: value[0] for name, value in predict([sentence.encode()]).items()}
            rows.append({"text": sentence, **_class(answers)})
        write_json(output / "predictions.json", rows)
        return rows
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
    elif "class_names" in answers:
        names = [name.decode() for name in answers["class_names"][: answers["num_labels"]]]
        row = {"classes": names, "scores": answers["scores"].tolist()}
        image = caption(picture.image, ", ".join(names) or "no class")
    elif "box" in answers:
        row = {**_class(answers), "box": answers["box"].tolist()}
        best = answers["scores"].max(keepdims=True)
        image = draw(picture.image, answers["box"][None], [0], best, [row["class"]])
    else:
        row = _class(answers)
        image = caption(picture.image, f"{row['class']} {answers['scores'].max():.2f}")
    image.save(drawn)
    return {"image": str(path), "picture": str(drawn), **row}


def _class(answers) -> dict:
    return {"class": answers["class_name"].decode(), "scores": answers["scores"].tolist()}


def _lines(word: str) -> list[str]:
    """A sentence, or those of a text file."""
    try:
        found = pathlib.Path(word).read_text() if pathlib.Path(word).is_file() else word
    except OSError:  # a sentence longer than a file's name may be
        found = word
    return [line.strip() for line in found.splitlines() if line.strip()]
