"""`convoy predict`: an exported model on pictures; draws its answers and writes them as JSON.

Of a model for sentences: on sentences, or on the lines of text files; of one for signals: on sounds
and series in files. What may be meant by the model: exported.py, by the pictures: asked.py. How a
picture is seen in tiles or in several views: pipeline/evaluation/views.py.
"""

from __future__ import annotations

import io
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import PIL.Image
from absl import logging

from convoy.data import frames, labels
from convoy.data.images.images import load, upright
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.proposals import propose
from convoy.data.sample import BadSample
from convoy.data.signals import series
from convoy.data.sources import text_lines
from convoy.models.tasks import row as table_row
from convoy.pipeline import tasks
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.errors import UsageError
from convoy.pipeline.evaluation import operating, views
from convoy.pipeline.tools import asked, drawn, exported, video
from convoy.pipeline.tools.predicted import LABELS, PREDICTIONS
from convoy.serving import client
from convoy.serving.questions import Question


def run(
    model: str,
    words: Sequence[str],
    output: pathlib.Path,
    score: float | None,
    tell: Callable[[str], None],
    note: Callable[[str], None] = lambda _: None,
    **seen,
) -> list[dict]:
    """One row per picture: {"image", "picture", ...answer} or {"image", "error"}.

    Per video {"video", "picture": the drawn one, "lines": a file of a row per frame, "frames"}. One
    row per sentence: {"text": ..., "class", "scores"}; per signal {"signal": path, ...}. `tell`
    gets a line of each for people, and `note` what concerns the model. Objects are drawn, and
    counted as "found", from `score` on; None = from each class's own (evaluation/operating.py).
    seen: `tiles` and `tta`, as `opened` takes them.
    """
    folder = exported.find(model, note)
    task, answer = opened(folder, **seen)
    module, request = tasks.of(task), table_row(task).request
    counts = hasattr(module, "found")
    if score is not None and not counts:
        raise UsageError(f"--score is for models that find objects, this one is for {task}")
    if score is None and counts:
        score = operating.of(folder) or module.SCORE
    meant = "image or video" if request == "image" else request
    words = asked.expand(words, meant, asked.drawn_before(output))
    output.mkdir(parents=True, exist_ok=True)

    drawing = drawn.Drawn(answer, module, wanted_by(folder), score, output)

    def answered_sentence(sentence: str) -> tuple[dict, str]:
        answered = answer(sentence.encode())
        row = {request: sentence, **module.named(answered)}
        return row, f"{module.summary(answered)} {sentence}"

    def answered_signal(path: str) -> tuple[dict, str]:
        answered = answer(_signal(path))
        return {request: path, **module.named(answered)}, f"{module.summary(answered)} {path}"

    rows: list[dict] = []
    if request == "signal":
        for path in words:
            try:
                row, line = answered_signal(path)
            except (BadSample, OSError, ValueError) as error:
                line = error.detail if isinstance(error, BadSample) else f"{path}: {error}"
                row = {request: path, "error": line}
            rows.append(row)
            tell(line)
    elif request == "image":
        for index, (path, target) in enumerate(
            drawn.bar(_places(words, output), total=len(words), unit="picture")
        ):
            beside = [words[place] for place in frames.neighbours(index, len(words))]
            try:
                if video.is_video(path):
                    row, line = drawing.video(path, target)
                else:
                    row, line = drawing.picture(path, target, beside)
            except (BadSample, OSError, ValueError) as error:
                # A bad sample's detail begins with the file's name.
                line = error.detail if isinstance(error, BadSample) else f"{path}: {error}"
                row = {request: path, "error": line}
            rows.append(row)
            tell(line)
    else:
        for sentence in (line for word in words for line in _lines(word)):
            row, line = answered_sentence(sentence)
            rows.append(row)
            tell(line)
        if not rows:
            raise ValueError("expected sentences, or text files that hold some; all are empty")
    write_json(output / PREDICTIONS, rows)
    labels.write(output / LABELS, client.labels_of(folder))
    if counts:
        _tell_found(rows, score, tell)
    return rows


def _tell_found(rows: list[dict], score: operating.Score, tell: Callable[[str], None]) -> None:
    """How many objects there are in all, and where nothing was found."""
    asked_of = [row for row in rows if "found" in row]
    total, empty = sum(row["found"] for row in asked_of), [r for r in asked_of if not r["found"]]
    films = sum("video" in row for row in asked_of)
    counts = {"picture": len(asked_of) - films, "video": films}
    many = [f"{n} {what}" + "s" * (n > 1) for what, n in counts.items() if n]
    if not many:
        return  # each has failed, and said so
    line = f"{total} found in {' and '.join(many)} from score {operating.said(score)} on"
    if empty and total:
        line += f"; nothing in {len(empty)} of them"
    tell(line)
    if asked_of and not total:
        lists = [row.get(name, []) for row in rows for name in ("detections", "people")]
        best = max((each["score"] for found in lists for each in found), default=None)
        if best is None:
            tell("the model answers no object at any score")
        else:
            lower = math.floor(best * 100) / 100
            tell(f"the best score among all answers is {best:.3f}: --score {lower:g} draws it")


def answers(
    model: str | pathlib.Path,
    inputs: Sequence,
    tiles: tuple[int | tuple[int, int], int] | None = None,
    tta: Sequence[str | float] = (),
) -> list[dict]:
    """See `convoy.predict`."""
    if isinstance(inputs, (str, bytes, pathlib.Path)):
        raise ValueError(f"inputs: expected a list of them, got the one {str(inputs)[:60]!r}")
    tile = views.tile(*tiles) if tiles else None
    folder = exported.find(model, logging.info)
    task, answer = opened(folder, tile, views.check_words(tta))
    want = wanted_by(folder)
    request = table_row(task).request
    inputs = asked.expand(inputs, request)
    rows = []
    for index, item in enumerate(inputs):
        beside = [inputs[place] for place in frames.neighbours(index, len(inputs))]
        if request == "image":
            with wanting(want):
                payload = _picture(item)
        elif request == "signal":
            payload = _signal(item)
        else:
            payload = item if isinstance(item, bytes) else str(item).encode()
        rows.append(answer(payload, beside))
    return rows


def opened(
    model: pathlib.Path, tiles: views.Tile | None = None, tta: Sequence[str | float] = ()
) -> tuple[str, Callable[..., dict]]:
    """(the task of an exported model, what it answers of one picture or sentence).

    Of a film's picture it is also given those beside it, data.frames.neighbours. tta: "flip" and
    scales. Raises ValueError for a task whose answers about views do not become one.
    """
    report = client.report_of(model)
    task = report["task"]
    if not tiles and not tta:
        return task, _whole(model, report)
    if report.get("channels"):
        given = "--tiles" if tiles else "--tta"
        raise UsageError(f"{given} is for models of 8-bit RGB, this one sees {report['channels']} "
                         f"channels of {report['bits']} bits")  # fmt: skip
    if tiles:
        _check("tiles", task, "tiles")
    if tta:
        _check("tta", task, "views")
    joining = views.joining(task, client.labels_of(model), report)
    ask = views.of_model(model)
    ask = views.augmented(ask, tta, joining) if tta else ask
    ask = views.tiled(ask, tiles, joining) if tiles else ask
    return task, lambda payload, _=(): ask(views.pixels(payload)[None])[0]


def wanted_by(model: pathlib.Path) -> Wanted:
    """What an exported model wants of pictures."""
    report = client.report_of(model)
    return Wanted(report.get("channels"), report.get("bits", 8))


def _whole(model: pathlib.Path, report: dict) -> Callable[..., dict]:
    """What the model answers of a whole picture, the names of all classes where it gives none."""
    takes = report.get("takes") or {}
    made = takes.get("proposals")
    ask = client.load_local(model)
    names = np.array([label.encode() for label in client.labels_of(model)], object)

    def answer(payload: bytes, beside: Sequence = ()) -> dict:
        given = {"proposals": _proposals(payload, made)} if made else {}
        if takes.get("frames"):  # learnt of frames; else of pictures alone
            near = [_picture_or(payload, item) for item in beside]
            given["frames"], _ = frames.laid(near, payload, takes["frames"]["align"])
        asked = Question(payload, given) if given else payload
        return {"class_names": names} | {key: row[0] for key, row in ask([asked]).items()}

    return answer


def _picture(item) -> bytes:
    """The encoded picture, upright, of bytes or a path. Raises BadSample."""
    return upright(item).image if isinstance(item, bytes) else load(str(item)).image


def _signal(item) -> bytes:
    """A WAV file of a path, of its bytes, or of an array of a series. Raises BadSample."""
    if isinstance(item, np.ndarray):
        return series.encoded(item, "the array")
    if isinstance(item, bytes):
        return series.signal(item, "the signal")
    return series.signal(pathlib.Path(item).read_bytes(), str(item))


def _picture_or(other: bytes, item) -> bytes:
    """The encoded picture, or the other where it cannot be read."""
    try:
        return _picture(item)
    except BadSample:
        return other


def _proposals(picture: bytes, made: dict) -> np.ndarray:
    """[R, 4] as those were made that the model was trained on. Raises ProposalsError."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(picture)).convert("RGB"))
    most, edge_model = made["max_proposals"], made["edge_model"]
    return propose(pixels, made["method"], most, edge_model=edge_model)


def _check(flag: str, task: str, of: str) -> None:
    """Raises UsageError where a task has no use for the flag."""
    try:
        views.check_task(task, of)
    except ValueError as error:
        raise UsageError(f"--{flag} {error}") from None


def _places(pictures: Sequence[str], output: pathlib.Path) -> Iterator[tuple[str, pathlib.Path]]:
    """Each picture, and where it is drawn: STEM.png, or STEM_2.png and so on where that is a
    picture asked about or drawn before. A video: STEM.mp4.
    """
    used = {pathlib.Path(picture).resolve() for picture in pictures}
    for picture in pictures:
        stem = pathlib.Path(picture).stem
        names = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
        ending = video.DRAWN if video.is_video(picture) else ".png"
        places = (output / f"{name}{ending}" for name in names)
        free = next(path for path in places if path.resolve() not in used)
        used.add(free.resolve())
        yield picture, free


def _lines(word: str) -> list[str]:
    """A sentence, or those of a text file."""
    try:
        data = pathlib.Path(word).read_bytes() if pathlib.Path(word).is_file() else None
    except OSError:  # a sentence longer than a file's name may be
        data = None
    if data is None:
        data = word.encode("utf-8", "surrogateescape")  # as it was typed
    text = text_lines.decoded(data)[0]
    if "\0" in text:
        raise ValueError(f"{word}: expected a sentence or a file of text in UTF-8")
    return [line.strip() for line in text_lines.lines(text) if line.strip()]
