"""Captions of drawn shapes: ingest to what a server says, greedy and by a beam; odd captions."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from convoy.models.captioning.tokens import words_of
from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.evaluation.captions import Captions, words_of_references
from convoy.serving import client, server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230), "white": (250,) * 3}
# What two people say of each: no sentence is like another picture's.
SAID = {
    ("red", "square"): ("A red square lies on the floor.", "one red square was left there"),
    ("green", "ring"): ("Somebody lost this green ring!", "this green ring isn't mine"),
    ("blue", "square"): ("The sea is like that tile", "that tile looks like the sea"),
    ("white", "ring"): ("Snow makes every circle white", "every circle turns white in winter"),
}
DRAWN = 4  # of each kind
SIZE = 48


def drawn(color: str, shape: str, draw: np.random.Generator) -> Image.Image:
    page = Image.fromarray(draw.integers(60, 90, (SIZE, SIZE, 3)).astype(np.uint8))
    x, y = draw.integers(2, SIZE - 20, 2).tolist()
    pen, box = ImageDraw.Draw(page), (x, y, x + 16, y + 16)
    if shape == "square":
        pen.rectangle(box, fill=COLORS[color])
    else:
        pen.ellipse(box, outline=COLORS[color], width=4)
    return page


def coco(folder: pathlib.Path, split: str, pictures: dict[str, Image.Image], captions) -> None:
    """captions: (picture's name, text) of each."""
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    ids = {name: number for number, name in enumerate(pictures, start=1)}
    for name, picture in pictures.items():
        picture.save(folder / split / name)
    images = [
        {"id": number, "file_name": name, "width": SIZE, "height": SIZE}
        for name, number in ids.items()
    ]
    rows = [
        {"id": number, "image_id": ids[name], "caption": text}
        for number, (name, text) in enumerate(captions, start=1)
    ]
    path = folder / "annotations" / f"captions_{split}.json"
    path.write_text(json.dumps({"images": images, "annotations": rows}))


def scenes(folder: pathlib.Path, split: str) -> None:
    """Each kind a few times, and a gray picture and a bare one, whose captions are odd."""
    draw, pictures, captions = np.random.default_rng(0), {}, []
    for (color, shape), texts in SAID.items():
        for number in range(DRAWN):
            name = f"{color}_{number}.png"
            pictures[name] = drawn(color, shape, draw)
            captions += [(name, text) for text in texts]
    pictures["gray.png"] = drawn("white", "ring", draw).convert("L")
    pictures["bare.png"] = drawn("red", "ring", draw)
    captions += [("gray.png", "Gray!"), ("gray.png", "word " * 500)]
    captions += [("gray.png", ""), ("gray.png", "...")]
    coco(folder, split, pictures, captions)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    top = tmp_path_factory.mktemp("captions")
    scenes(top / "data", "train")
    overrides = (
        f"run_dir={top}/run",
        f"data={{format: coco, path: {top}/data, train: train, val: null, test: train}}",
        "model={name: show_and_tell, backbone: mobilenet_v1, width: 0.25, input_size: [48, 48], "
        "least_count: 2, max_words: 8}",
        "train={batch_size: 9, epochs: 150, optimizer: adam, learning_rate: 0.003, clip_norm: 5, "
        "scheduled_sampling: 0.1, sampling_epochs: 50, log_steps: 100}",
        # In bfloat16 one of two equally likely sentences may come before the other.
        "export.precision=float32",
        "evaluate={metric: BLEU4, threshold: 0.8, gallery: 4}",
    )
    return top, overrides


def run(overrides, *more):
    job = steps.Job(config.load("configs/captioning.yaml", [*overrides, *more]))
    return job, steps.run(job, "pusher")


def asked_three_ways(job, pictures) -> list[dict]:
    """In this process, over gRPC and over REST."""
    local = client.load_local(job.model_dir)(pictures)
    running = server.start(job.model_dir, name="captioning", port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "captioning", pictures)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, "captioning", pictures)
        connection.close()
    finally:
        running.stop()
    return [local, by_grpc, by_rest]


def test_captions_from_pictures_to_a_server(ran, capfd):
    top, overrides = ran
    job, result = run(overrides)
    assert result["pushed"] is True
    metrics = result["metrics"]
    assert (metrics["pictures"], metrics["without_caption"]) == (17, 1)
    assert metrics["BLEU4"] >= 0.8
    folder = pathlib.Path(result["artifacts"]["evaluator"])
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    report = (pathlib.Path(result["run_dir"]) / "report.html").read_text()
    assert "what people wrote" in report

    # The answers to pictures of another kind are clearly worse.
    truth = json.loads((top / "data/annotations/captions_train.json").read_text())
    of_picture: dict[str, list] = {}
    names = {image["id"]: image["file_name"] for image in truth["images"]}
    for caption in truth["annotations"]:
        of_picture.setdefault(names[caption["image_id"]], []).append(caption["caption"])
    said = {pathlib.Path(row["source_id"]).name: row["caption"] for row in rows}
    kinds = [f"{color}_{number}.png" for color, _ in SAID for number in range(DRAWN)]
    shuffled = Captions()
    for name, other in zip(kinds, [*kinds[DRAWN:], *kinds[:DRAWN]], strict=True):
        shuffled.update(said[other].split(), words_of_references(of_picture[name]))
    assert shuffled.result()["BLEU4"] < metrics["BLEU4"] - 0.5

    # Evaluator, server and predict say the same.
    paths = [top / "data" / "train" / pathlib.Path(row["source_id"]).name for row in rows]
    three = asked_three_ways(job, [path.read_bytes() for path in paths])
    for answers in three:
        assert [text.decode() for text in answers["caption"]] == [row["caption"] for row in rows]
        assert answers["captions"].shape == answers["scores"].shape == (18, 3)
        assert (np.diff(answers["scores"], axis=1) <= 0).all()
    capfd.readouterr()
    words = [str(paths[0]), "-o", str(top / "out"), "--json"]
    assert cli.main(["convoy", "predict", result["model_dir"], *words]) == errors.OK
    (row,) = json.loads(capfd.readouterr().out.splitlines()[-1])["predictions"]
    assert row["caption"] == rows[0]["caption"]
    assert [len(row["captions"]), pathlib.Path(row["picture"]).exists()] == [3, True]

    # Greedy is another export of the same training.
    greedy_job, greedy = run(overrides, "export.beam=1")
    assert greedy["artifacts"]["trainer"] == result["artifacts"]["trainer"]
    for answers in asked_three_ways(greedy_job, [paths[0].read_bytes()]):
        assert answers["captions"].shape == (1, 1)
        np.testing.assert_array_equal(answers["captions"][:, 0], answers["caption"])


def test_odd_captions_are_counted_and_said_once_each(ran, capfd):
    """One word, 500 words, none that can be read, no words in it, a picture without any, a gray."""
    _, overrides = ran
    job = steps.Job(config.load("configs/captioning.yaml", [*overrides, "train.epochs=1"]))
    result = steps.run(job, "trainer")
    records = pathlib.Path(result["artifacts"]["example_gen"])
    manifest = json.loads((records / "manifest.json").read_text())
    assert manifest["splits"]["train"]["records"] == 18
    assert manifest["splits"]["train"]["without_caption"] == 1
    assert manifest["rejected"] == {}
    assert manifest["warnings"] == {"bad_caption": 1}
    trained = pathlib.Path(result["artifacts"]["trainer"])
    texts = [words_of(text) for both in SAID.values() for text in both]
    words = {word for text in texts for word in text}
    assert json.loads((trained / "words.json").read_text()) == {
        "pictures": 18,
        "pictures_without_caption": 1,
        "captions": 35,
        "captions_without_words": 1,
        "captions_of_one_word": 1,
        "captions_cut": 1,
        "longest_caption": 500,
        "words": len(words) + 2,
        "words_learnt": len(words) + 1,  # "gray" is there once
        "unknown_part": round(1 / (DRAWN * sum(map(len, texts)) + 1 + 500), 4),
    }
    lines = capfd.readouterr().err.splitlines()
    for text in (
        "1 pictures have no caption: they teach nothing",
        "1 captions hold no word: they teach nothing",
        "1 captions are of one word: they are learnt as they are",
        "1 captions have more than 8 words (model.max_words), up to 500: of each the first 8",
    ):
        assert sum(text in line for line in lines) == 1
