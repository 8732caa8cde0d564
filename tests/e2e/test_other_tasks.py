"""The whole pipeline for sentences, several classes a picture, and a class with its box."""

from __future__ import annotations

import http.client
import json
import pathlib

import numpy as np
import pytest
import yaml
from PIL import Image

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input import input
from convoy.data.sources import digits
from convoy.pipeline import cli, config, errors, steps, tasks
from convoy.pipeline.evaluation.predict import one_by_one
from convoy.pipeline.networks import network
from convoy.serving import client, server
from tests.e2e import drawn

pytestmark = pytest.mark.e2e
GOOD = ("fine", "great", "moving", "funny", "warm")
BAD = ("dull", "empty", "awful", "boring", "cold")


def written(top: pathlib.Path, **content) -> pathlib.Path:
    common = {
        "name": "tiny",
        "run_dir": str(top / "run"),
        "evaluate": {"gallery": 2},
        "export": {"precision": "float32"},
    }
    path = top / "recipe.yaml"
    path.write_text(yaml.safe_dump(common | content))
    return path


def sentences(folder: pathlib.Path) -> None:
    """80 a class that one word tells apart, one file a class."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for ending, words in (("pos", GOOD), ("neg", BAD)):
        lines = []
        for i in range(80):
            first, second = rng.choice(["the film", "this story", "its cast", "a plot"], 2)
            lines.append(f"{first} and {second} number {i}, it's {rng.choice(words)} !")
        (folder / f"reviews.{ending}").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> dict:
    top = tmp_path_factory.mktemp("text")
    sentences(top / "data")
    recipe = written(
        top,
        task="text",
        data={"format": "text", "path": str(top / "data")},
        model={"name": "text_cnn_rand", "dropout": 0.5, "max_words": 16},
        train={
            "batch_size": 16,
            "epochs": 6,
            "optimizer": "adadelta",
            "learning_rate": 1.0,
            "schedule": "constant",
        },
        export={"precision": "auto"},
    )
    return steps.run(steps.Job(config.load(recipe)), "pusher")


def test_sentences_are_learnt_and_pushed(text):
    assert text["pushed"] is True
    assert text["metrics"]["top1"] > 0.95
    report = (pathlib.Path(text["run_dir"]) / "report.html").read_text()
    assert "<h2>Examples</h2>" in report
    assert "it&#39;s" in report
    assert "<h2>Gallery</h2>" not in report


def test_the_vocabulary_travels_with_the_weights(text):
    task, labels = network.load(text["artifacts"]["trainer"])
    assert labels == ["neg", "pos"]
    words = (pathlib.Path(text["artifacts"]["trainer"]) / "vocabulary.txt").read_text().split()
    assert {*GOOD, *BAD, "n't", "it's", "'s"} - {*words} == {"n't", "it's"}
    assert words.index("number") < words.index(GOOD[0])  # in every sentence, and in some
    assert len(words) == task.model.get_layer("vectors").words


def test_a_server_takes_sentences(text):
    """The network in memory, the folder, gRPC, and plain strings over REST say the same."""
    asked = ["It's GREAT, the film", "so boring and cold", ""]
    task, _ = network.load(text["artifacts"]["trainer"], precision="float32")
    expected = task.decode(task.model(task.opened(asked)))["scores"].numpy()
    payload = [sentence.encode() for sentence in asked]
    local = client.load_local(text["model_dir"])(payload)
    np.testing.assert_allclose(local["scores"], expected, atol=0.02)
    assert local["class_name"].tolist()[:2] == [b"pos", b"neg"]
    running = server.start(text["model_dir"], name="tiny", port=0, rest_api_port=0, poll_s=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "tiny", payload, input_name="text")
        np.testing.assert_array_equal(by_grpc["scores"], local["scores"])
        connection = http.client.HTTPConnection("127.0.0.1", running.rest_port)
        found = client.rest(
            connection, "POST", "/v1/models/tiny:predict", {"instances": [*map(str, asked)]}
        )
        connection.close()
    finally:
        running.stop()
    rows = [row["scores"] for row in found["predictions"]]
    np.testing.assert_allclose(rows, local["scores"], atol=1e-6)


def test_predict_prints_sentences(text, tmp_path, capsys):
    (tmp_path / "many.txt").write_text("a warm story\n\nan awful plot\n")
    words = ["a great cast", str(tmp_path / "many.txt"), "-o", str(tmp_path), "--json"]
    assert cli.main(["convoy", "predict", text["model_dir"], *words]) == errors.OK
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:3]] == ["pos", "pos", "neg"]
    rows = json.loads(printed[-1])["predictions"]
    assert [row["text"] for row in rows] == ["a great cast", "a warm story", "an awful plot"]


def test_predict_reads_text_in_any_encoding(text, tmp_path, capsys):
    """A file as Windows or Latin-1 writes it, a very long sentence, other scripts, no word at all.

    0x85 is an ellipsis there, and an end of line to str.splitlines().
    """
    (tmp_path / "old.txt").write_bytes("a warm caf\xe9\x85 and more\r\n".encode("latin-1"))
    sentences = ["great " * 5000, "素晴らしい映画", "?!…", "\udce9t\udce9 is dull"]
    words = [str(tmp_path / "old.txt"), *sentences, "-o", str(tmp_path), "--json"]
    assert cli.main(["convoy", "predict", text["model_dir"], *words]) == errors.OK
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["predictions"]
    assert [row["text"] for row in rows[:1]] == ["a warm café… and more"]
    assert [row["text"] for row in rows[3:]] == ["?!…", "été is dull"]
    assert (rows[0]["class"], rows[1]["class"], rows[4]["class"]) == ("pos", "pos", "neg")
    (tmp_path / "blank.txt").write_text("\n \n")
    words = [str(tmp_path / "blank.txt"), "", "-o", str(tmp_path)]
    assert cli.main(["convoy", "predict", text["model_dir"], *words]) == errors.FAILURE
    assert "expected sentences, or text files" in capsys.readouterr().err


@pytest.fixture(scope="module")
def devkit(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("devkit") / "digits"
    digits.build(path, images=(16, 6))
    return path


@pytest.mark.parametrize(
    ("task", "metrics", "changes"),
    [
        pytest.param(
            "multilabel",
            {"voc_mAP", "chance_mAP", "exact_match", "F1"},
            {"model": {"name": "lenet5"}, "train": {"label_loss": "softmax"}},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "localization",
            {"top1", "iou50", "loc_top1", "box_error"},
            {"model": {"name": "mobilenet_v1", "input_size": [48, 64], "width": 0.25}},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_pictures_through_the_pipeline(devkit, tmp_path, capsys, task, metrics, changes):
    train = {"batch_size": 8, "epochs": 1, "log_steps": 2, **changes.pop("train", {})}
    recipe = written(
        tmp_path,
        task=task,
        data={"format": "voc", "path": str(devkit), "val": "val"},
        augment={"flip_horizontal": 0.5, "shift": 0.1},
        train=train,
        **changes,
    )
    result = steps.run(steps.Job(config.load(recipe)), "pusher")
    assert result["pushed"] is True
    assert metrics <= result["metrics"].keys()
    picture = next(devkit.rglob("*.jpg"))
    words = [str(picture), "-o", str(tmp_path / "out"), "--json"]
    assert cli.main(["convoy", "predict", result["model_dir"], *words]) == errors.OK
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["predictions"]
    assert len(row["scores"]) == 10
    drawn = Image.open(row["picture"])
    if task == "localization":
        ymin, xmin, ymax, xmax = row["box"]
        assert 0 <= ymin <= ymax <= drawn.height
        assert 0 <= xmin <= xmax <= drawn.width
        assert row["class"] in "0123456789"
    else:
        assert sum(row["scores"]) == pytest.approx(1.0, abs=1e-4)
        chosen = [str(k) for k in np.argsort(-np.array(row["scores"])) if row["scores"][k] > 0.3]
        assert row["classes"] == chosen
    evaluated = pathlib.Path(result["artifacts"]["evaluator"], "predictions.jsonl").read_text()
    records = input.shards(pathlib.Path(result["artifacts"]["example_gen"]), "val")
    samples = [decode(record) for shard in records for record in tfrecord.read(shard)]
    answers = client.load_local(result["model_dir"])([sample.image for sample in samples])
    assert len(evaluated.splitlines()) == len(samples)
    for line, (_, answer) in zip(evaluated.splitlines(), one_by_one(samples, answers), strict=True):
        for name, values in tasks.of(task).row(answer).items():
            np.testing.assert_allclose(json.loads(line)[name], values, atol=0.02, err_msg=name)


@pytest.mark.slow
def test_properties_of_pictures(tmp_path, capsys):
    """Colour and tone of flat pictures, of which some are not known, are learnt and served."""
    colors = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
    folder, rng = tmp_path / "data", np.random.default_rng(0)
    folder.mkdir()
    lines = ["file,color,tone,split"]
    for i in range(72):
        color, dark = [*colors][i % 3], bool(i // 3 % 2)
        pixels = rng.normal(np.array(colors[color]) * (0.4 if dark else 1.0), 12, (32, 32, 3))
        Image.fromarray(np.uint8(np.clip(pixels, 0, 255))).save(folder / f"{i}.png")
        known = "" if i % 7 == 0 else "dark" if dark else "light"
        lines.append(f"{i}.png,{color},{known},{'val' if i % 4 == 3 else 'train'}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    recipe = written(
        tmp_path,
        task="attributes",
        data={"format": "csv", "path": str(folder), "attributes": ["color", "tone"]},
        model={"name": "mobilenet_v1", "input_size": [32, 32], "width": 0.25},
        train={"batch_size": 18, "epochs": 80, "optimizer": "adamw", "learning_rate": 0.003},
    )
    result = steps.run(steps.Job(config.load(recipe)), "pusher")
    assert result["metrics"]["accuracy"] >= 0.9
    assert 0.3 < result["metrics"]["most_frequent"] < 0.7
    report = (pathlib.Path(result["run_dir"]) / "report.html").read_text()
    assert "<h3>Properties</h3>" in report
    words = [str(folder / "3.png"), "-o", str(tmp_path / "out"), "--json"]
    assert cli.main(["convoy", "predict", result["model_dir"], *words]) == errors.OK
    (row,) = json.loads(capsys.readouterr().out.splitlines()[-1])["predictions"]
    assert {*row["properties"]} == {"color", "tone"}
    assert row["properties"]["color"] == "red"


def test_the_worst_sentences_are_listed(text, tmp_path):
    assert drawn.worst(text["run_dir"], tmp_path / "worst")["errors"]
