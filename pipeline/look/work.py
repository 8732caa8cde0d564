"""What look's second process does: everything that needs TensorFlow, which is imported by need."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import pathlib
import signal
import tempfile
import time
from collections.abc import Callable

_LOADED: dict[str, Callable] = {}  # the one model that was asked last, by its folder
VARIANTS = 8  # of an augmented picture


def serve(pipe) -> None:
    """Answers questions (kind, values) of a pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's, which ends this
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    while True:
        try:
            kind, values = pipe.recv()
        except EOFError:
            return
        try:
            answer = KINDS[kind](*values)
        except Exception as error:  # told to people; the process goes on
            answer = {"error": f"{type(error).__name__}: {error}"}
        pipe.send(answer)


def predict(model: str, content: bytes, server: str = "") -> dict:
    """{"task", "labels", "line" as in predictions.jsonl, "said", "files", "took_ms", "by"}.

    model: a run or a model's folder; server: HOST:PORT/NAME of one that runs, which then answers.
    """
    from convoy.pipeline import tasks
    from convoy.pipeline.evaluation import operating
    from convoy.pipeline.tools import exported
    from convoy.serving import client

    folder = exported.find(model, lambda _: None)
    task, labels = client.report_of(folder)["task"], client.labels_of(folder)
    if not server and str(folder) not in _LOADED:
        _LOADED.clear()
        _LOADED[str(folder)] = client.load_local(folder)
        _LOADED[str(folder)]([content])  # so that the next answer is timed alone
    started = time.perf_counter()
    if server:
        address, _, name = server.partition("/")
        connection = client.rest_connection(address, 30.0)
        answers = client.predict_rest(connection, name, [content], input_name=_input_of(task))
        connection.close()
    else:
        answers = _LOADED[str(folder)]([content])
    took = time.perf_counter() - started
    answer = {name: value[0] for name, value in answers.items()}
    module = tasks.of(task)
    points = operating.of(folder)
    threshold = sum(points.values()) / len(points) if points else getattr(module, "SCORE", 0.0)
    files = getattr(module, "files", lambda _: {})(answer)
    return {
        "task": task,
        "labels": labels,
        "line": json.loads(json.dumps(module.row(answer))),
        "said": module.summary(_with_names(answer, labels)),
        "files": {name: base64.b64encode(png).decode() for name, png in files.items()},
        "threshold": threshold,
        "took_ms": round(1000 * took, 2),
        "by": f"the server at {server}" if server else f"{folder}, in this machine's memory",
    }


def _with_names(answer: dict, labels: list[str]) -> dict:
    import numpy as np

    return {"class_names": np.array([name.encode() for name in labels], object), **answer}


def _input_of(task: str) -> str:
    from convoy.models import tasks

    return tasks.REQUESTS[tasks.row(task).request]


def augment(recipe: str, folder: str, split: str, stored: bytes) -> dict:
    """{"pictures": [PNG in base64]}: one record as the loss sees it, VARIANTS times."""
    from convoy.data import labels, tfrecord
    from convoy.pipeline import config
    from convoy.pipeline.tools import preview

    given = pathlib.Path(folder)
    loaded = config.load(recipe)
    training = loaded.data.train
    # A batch of one record alone; it counts as one of the training split, whichever it is of.
    train = loaded.train.model_copy(update={"batch_size": VARIANTS, "balance": None})
    changed = loaded.model_copy(update={"train": train})
    with tempfile.TemporaryDirectory(prefix="convoy-look-") as aside:
        place = pathlib.Path(aside) / "records"
        place.mkdir()
        manifest = json.loads((given / "manifest.json").read_text())
        for name in ("labels", "segmentation_labels", "keypoints"):
            if (given / f"{name}.txt").is_file():
                (place / f"{name}.txt").write_bytes((given / f"{name}.txt").read_bytes())
        shard = f"{training}-00000-of-00001.tfrecord"
        with open(place / shard, "wb") as file:
            for record in _renamed(stored, labels.read(given / "labels.txt")):
                tfrecord.write(file, record)
        about = {**manifest["splits"].get(training, {}), "shards": [shard], "records": VARIANTS}
        about |= {"file_bytes": (place / shard).stat().st_size}
        manifest["splits"] = {training: about}
        (place / "manifest.json").write_text(json.dumps(manifest))
        output = pathlib.Path(aside) / "drawn"
        preview.run(changed, place, output, batches=1)
        return {"pictures": [_encoded(path) for path in sorted(output.glob("*.png"))]}


def _renamed(stored: bytes, names: tuple[str, ...]) -> list[bytes]:
    """VARIANTS of one record, each with a name of its own: what is random is drawn by the name."""
    from convoy.data import example

    sample = example.decode(stored)
    ids = [sample.source_id, *(f"{sample.source_id} ({n})" for n in range(2, VARIANTS + 1))]
    return [example.encode(dataclasses.replace(sample, source_id=name), names) for name in ids]


def _encoded(path: pathlib.Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


KINDS = {"predict": predict, "augment": augment}
