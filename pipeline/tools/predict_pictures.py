"""`convoy predict`: a pushed model on pictures; draws what it found and writes it as JSON.

Of a model for sentences: on sentences, or on the lines of text files.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from convoy.data.images.images import load
from convoy.data.sample import BadSample
from convoy.data.sources import text_lines
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.report.overlay import caption, draw
from convoy.serving import client


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
        if not rows:
            raise ValueError("expected sentences, or text files that hold some; all are empty")
        write_json(output / "predictions.json", rows)
        return rows
    taken = {pathlib.Path(picture).resolve() for picture in pictures}  # never drawn over
    for picture in pictures:
        path = pathlib.Path(picture)
        try:
            rows.append(_one(predict, path, _free(output, path.stem, taken), score))
        except BadSample as error:  # its detail begins with the file's name
            rows.append({"image": picture, "error": error.detail})
        except (OSError, ValueError) as error:
            rows.append({"image": picture, "error": f"{picture}: {error}"})
    write_json(output / "predictions.json", rows)
    return rows


def _free(output: pathlib.Path, stem: str, taken: set[pathlib.Path]) -> pathlib.Path:
    """STEM.png, or STEM_2.png and so on where that is a picture asked about or drawn before."""
    names = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
    free = next(p for p in (output / f"{name}.png" for name in names) if p.resolve() not in taken)
    taken.add(free.resolve())
    return free


def _one(predict, path: pathlib.Path, drawn: pathlib.Path, score: float) -> dict:
    picture = load(str(path))
    answers = {name: value[0] for name, value in predict([picture.image]).items()}
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
        data = pathlib.Path(word).read_bytes() if pathlib.Path(word).is_file() else None
    except OSError:  # a sentence longer than a file's name may be
        data = None
    if data is None:
        data = word.encode("utf-8", "surrogateescape")  # as it was typed
    found = text_lines.lines(text_lines.decoded(data)[0])
    return [line.strip() for line in found if line.strip()]
