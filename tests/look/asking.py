"""Asking the application without a server, and small things to ask it about."""

from __future__ import annotations

import asyncio
import io
import json
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from convoy.data import example, labels, tfrecord
from convoy.data.sample import Sample
from convoy.pipeline.look import places
from convoy.pipeline.look.app import application
from convoy.pipeline.look.context import Context

LABELS = ("ant", "bee", "<b>cat</b>")
HOST = "127.0.0.1:8600"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Asked:
    """An application over a folder; what it is still making is waited for."""

    def __init__(self, folder: pathlib.Path, **context):
        self.context = Context(places.of(str(folder)), **context)
        self.app = application(self.context)

    def get(self, path: str, **headers: str) -> Reply:
        for _ in range(100):
            reply = self.once("GET", path, b"", headers)
            if reply.status != 202:
                return reply
        raise AssertionError(f"{path}: never ready")

    def post(self, path: str, body: bytes = b"", **headers: str) -> Reply:
        return self.once("POST", path, body, {"x_convoy": "1", **headers})

    def once(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        return asyncio.run(self._ask(method, path, body, {"host": HOST, **headers}))

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        route, _, query = path.partition("?")
        named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {
            **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1"},
            **{"method": method, "scheme": "http", "path": route, "raw_path": route.encode()},
            **{"query_string": query.encode(), "headers": named, "root_path": ""},
            **{"client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8600)},
        }
        sent: list[dict] = []
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive():
            return next(given, {"type": "http.disconnect"})

        async def send(message):
            sent.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:  # Starlette raises what it has answered, for its own log
            if not sent:
                raise
        fields = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Reply(sent[0]["status"], fields, b"".join(m.get("body", b"") for m in sent[1:]))


def jpeg(shade: int = 128, size=(40, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 90)).save(buffer, "JPEG")
    return buffer.getvalue()


def sample(name: str, split: str, shade: int, objects) -> Sample:
    """objects: (class, box)."""
    boxes = np.float32([box for _, box in objects]).reshape(-1, 4)
    classes = np.array([k for k, _ in objects], np.int64)
    flags = dict.fromkeys(("difficult", "truncated", "crowd"), np.zeros(len(boxes), bool))
    return Sample(name, split, jpeg(shade), 30, 40, boxes=boxes, classes=classes, **flags)


# By hand: sides are roots of areas: 10 and 20 px, 6, 24.
SAMPLES = (
    sample("a/1.jpg", "train", 10, [(0, [0, 0, 10, 10]), (1, [5, 5, 25, 25])]),
    sample("a/2<i>.jpg", "train", 20, [(2, [0, 0, 6, 6])]),
    sample("a/1.jpg#aug1", "train", 30, [(0, [0, 0, 10, 10])]),
    sample("b/3.jpg", "val", 10, [(1, [0, 0, 24, 24])]),  # the picture of a/1.jpg
    sample("b/4.jpg", "val", 50, []),
)


def write_records(folder: pathlib.Path, samples=SAMPLES, names=LABELS) -> pathlib.Path:
    folder.mkdir(parents=True, exist_ok=True)
    told: dict[str, dict] = {}
    for split in dict.fromkeys(each.split for each in samples):
        own = [each for each in samples if each.split == split]
        name = f"{split}-00000-of-00001.tfrecord"
        with open(folder / name, "wb") as file:
            for each in own:
                tfrecord.write(file, example.encode(each, names))
        told[split] = {"records": len(own), "objects": 0, "shards": [name]}
    manifest = {"schema_version": example.SCHEMA_VERSION, "splits": told, "labels": list(names)}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "rejected": {"bad_box": 1}}))
    row = {"source_id": "c/5<script>.jpg", "reason": "bad_box", "detail": "no", "split": "val"}
    (folder / "rejected.jsonl").write_text(json.dumps(row) + "\n")
    labels.write(folder / "labels.txt", names)
    return folder


LINES = (  # of "val": a right box and a false one; nothing
    {"source_id": "b/3.jpg", "boxes": [[0, 0, 24, 24], [20, 20, 30, 40]],
     "scores": [0.9, 0.6], "classes": [1, 0]},
    {"source_id": "b/4.jpg", "boxes": [], "scores": [], "classes": []},
)  # fmt: skip


def write_run(
    folder: pathlib.Path, lines=LINES, task: str = "detection", name="k1"
) -> pathlib.Path:
    """What a run leaves of an evaluation, by hand; its records are SAMPLES."""
    store = folder / "artifacts"
    records = store / "example_gen" / "e1"
    if not records.is_dir():
        write_records(records)
    (folder / "config.yaml").write_text("name: birds\n")
    training, evaluation = store / "trainer" / f"t{name}", store / "evaluator" / name
    for made in (training, evaluation):
        made.mkdir(parents=True)
    (training / "network.json").write_text('{"model": {"name": "tiny"}}')
    params = {"task": task, "split": "val", "evaluate": {"metric": None}}
    about = {"started": f"2026-01-01T00:00:0{len(name)}", "params": params}
    about["inputs"] = {"examples": str(records), "model": str(training)}
    files = {"run": about, "metrics": {"AP50": 0.5, "AP": float("nan"), "top1": 0.25}}
    files |= {"gate": {"blessed": False, "summary": "Refused: <b>AP50</b> is low."}}
    files |= {"operating_points": {"bee": 0.5}}
    for file, content in files.items():
        (evaluation / f"{file}.json").write_text(json.dumps(content))
    rows = "".join(json.dumps(line) + "\n" for line in lines)
    (evaluation / "predictions.jsonl").write_text(rows)
    return folder
