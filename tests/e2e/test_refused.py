"""A run that its gate refused: predicted with, exported, explained and served all the same."""

from __future__ import annotations

import json
import pathlib

import pytest
import yaml

import convoy
from convoy.data.sources import digits
from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.networks import trained
from convoy.pipeline.tools import exported, served_folder
from convoy.serving import client, server
from tests.e2e import drawn


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("refused")
    digits.build(top / "digits", images=(8, 4))
    content = {
        "name": "tiny",
        "task": "detection",
        "run_dir": str(top / "run"),
        "data": {"format": "voc", "path": str(top / "digits")},
        "model": {"name": "ssd_mobilenet_v1", "input_size": [64, 80], "width": 0.25},
        "train": {"batch_size": 8, "epochs": 1, "learning_rate": 0.01},
        "evaluate": {"gallery": 1, "threshold": 0.99},
        "export": {"precision": "float32", "max_detections": 20},
    }
    (top / "recipe.yaml").write_text(yaml.safe_dump(content))
    return top / "recipe.yaml"


@pytest.fixture(scope="module")
def run(recipe) -> pathlib.Path:
    with pytest.raises(errors.Refused, match=r"evaluate.threshold: 0\.\d+ would let it pass"):
        steps.run(steps.Job(config.load(recipe)), "pusher")
    return recipe.parent / "run"


def _run(capsys, *words: object) -> tuple[int, dict, str]:
    code = cli.main(["convoy", *map(str, words), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out.splitlines()[-1]), captured.err


def test_its_export_is_the_one_that_the_run_would_make(run, recipe, capsys):
    code, result, err = _run(capsys, "export", run)
    assert code == errors.OK, err
    assert "was not pushed. Refused: " in err
    model = pathlib.Path(result["model"])
    code, result, _ = _run(capsys, "export", recipe, "--set", "evaluate.threshold=0")
    assert code == errors.OK
    assert pathlib.Path(result["artifacts"]["exporter"]) == model.parent
    assert "exporter" in result["cached"]
    assert not list(run.glob("served/*/*"))


@pytest.mark.parametrize(
    "named",
    ["", "served", "artifacts/trainer/*[!k]", "artifacts/exporter/*[!k]", "*/*/*/saved_model"],
)
def test_every_name_of_it_is_the_same_model(run, named):
    (folder,) = [run] if not named else run.glob(named)
    model = exported.find(run, print)
    assert exported.find(folder, print).samefile(model)
    assert trained.find(folder).samefile(trained.find(run))


def test_it_is_predicted_with(run, recipe, tmp_path, capsys):
    pictures = sorted((recipe.parent / "digits").rglob("*.jpg"))
    model = exported.find(run, print)
    points = model / "assets.extra/operating_points.json"
    measured = points.read_text()
    assert json.loads(measured) == json.loads(
        next(run.glob("artifacts/evaluator/*/operating_points.json")).read_text()
    )
    try:
        points.write_text(json.dumps({str(digit): 0.0 for digit in range(10)}))
        code, result, err = _run(capsys, "predict", run, pictures[0].parent, "-o", tmp_path)
        assert code == errors.OK, err
        rows = result["predictions"]
        assert [row["image"] for row in rows] == [str(path) for path in pictures]
        assert all(row["found"] == len(row["detections"]) > 0 for row in rows)
        assert "was not pushed" in err
        points.write_text("{}")
        cli.main(["convoy", "predict", str(run), str(pictures[0]), "-o", str(tmp_path)])
        out = capsys.readouterr().out
        best = max(each["score"] for each in rows[0]["detections"])
        assert best < 0.5  # after one epoch: nothing is drawn
        assert "0 found in 1 picture from score 0.5 on" in out
        assert f"the best score among all answers is {best:.3f}" in out
    finally:
        points.write_text(measured)
    (answer,) = convoy.predict(run, [pictures[0]])
    assert answer["num_detections"] == len(rows[0]["detections"])


def test_it_is_served_as_a_first_version(run, recipe):
    given = served_folder.of(str(run), "latest", print)
    running = server.start(given.base, port=0, rest_api_port=0, poll_s=0)
    try:
        assert list(running.manager.names()) == ["run"]
        channel = client.grpc_channel(f"127.0.0.1:{running.grpc_port}")
        picture = next((recipe.parent / "digits").rglob("*.jpg")).read_bytes()
        assert "boxes" in client.predict_grpc(channel, "run", [picture])
        channel.close()
    finally:
        running.stop()


def test_it_is_explained(run, recipe, tmp_path, capsys):
    picture = next((recipe.parent / "digits").rglob("*.jpg"))
    code, result, err = _run(capsys, "explain", run / "served", picture, "-o", tmp_path)
    assert code == errors.OK, err
    assert result["pictures"]


def test_its_worst_pictures_are_drawn(run, tmp_path, capsys):
    """What the report counts is what it says; each kind's pictures fall in how bad they are."""
    result = drawn.worst(run, tmp_path)
    metrics = pathlib.Path(result["evaluation"]) / "metrics.json"
    objects = sum(row["objects"] for row in json.loads(metrics.read_text())["per_class"].values())
    assert 0 < result["errors"]["missed"] <= objects
    _, result, _ = _run(capsys, "worst", run, "-o", tmp_path / "one", "--kind=missed")
    assert list(result["kinds"]) == ["missed"]
    assert cli.main(["convoy", "worst", str(run), "-o", str(tmp_path), "--kind=x"]) == errors.USAGE
    assert "--kind x: of detection there are class, place" in capsys.readouterr().err
    assert cli.main(["convoy", "worst", str(tmp_path), "-o", str(tmp_path)]) == errors.FAILURE
