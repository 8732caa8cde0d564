"""Raw pictures -> records -> trained -> evaluated -> exported -> verified -> pushed -> used."""

from __future__ import annotations

import io
import json
import pathlib
import re
import signal

import numpy as np
import pytest
import yaml
from PIL import Image

from convoy.data.sources import digits
from convoy.pipeline import cli, config, demo, errors, steps
from convoy.pipeline.components import evaluator, exporter
from convoy.pipeline.tools import runs

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPONENTS = list(steps.NAMES[:-1])


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> pathlib.Path:
    """A recipe that runs in seconds; its detector is not meant to be good."""
    top = tmp_path_factory.mktemp("e2e")
    digits.build(top / "digits", images=(16, 6))
    path = top / "recipe.yaml"
    content = {
        "name": "tiny",
        "task": "detection",
        "run_dir": str(top / "run"),
        "data": {"format": "voc", "path": str(top / "digits"), "val": "val"},
        "ingest": {"copies": 1, "augment": {"rotate_deg": 5, "brightness": 0.1}},
        "model": {"name": "ssd_mobilenet_v1", "input_size": [64, 80], "width": 0.25},
        "train": {"batch_size": 8, "epochs": 2, "learning_rate": 0.01, "log_steps": 2},
        "evaluate": {"gallery": 2},
        "export": {"precision": "float32", "max_detections": 20},
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def first(recipe) -> dict:
    return steps.run(steps.Job(config.load(recipe)), "pusher")


def _run(capsys, *words: str) -> tuple[int, dict, str]:
    """Exit code, the JSON line, and standard error of one command."""
    code = cli.main(["convoy", *words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out.splitlines()[-1]), captured.err


def test_every_component_left_its_outputs(first):
    assert first["pushed"] is True
    assert first["cached"] == []
    run_dir, artifacts = pathlib.Path(first["run_dir"]), first["artifacts"]
    assert sorted(artifacts) == sorted(COMPONENTS)
    manifest = json.loads((pathlib.Path(artifacts["example_gen"]) / "manifest.json").read_text())
    assert manifest["splits"]["train"]["records"] == 32  # 16 pictures and a copy of each
    assert manifest["splits"]["val"]["records"] == 6
    assert {"AP", "AP50", "AR100", "voc07_mAP", "voc_mAP"} <= first["metrics"].keys()
    assert (run_dir / "report.html").stat().st_size > 10_000
    assert config.load(run_dir / "config.yaml").name == "tiny"
    version = pathlib.Path(first["model_dir"]) / "1"
    assert (version / "saved_model.pb").is_file()
    assert (version / "assets.extra" / "labels.txt").read_text().split() == list("0123456789")


def test_the_run_is_listed(first):
    (row,) = runs.rows(pathlib.Path(first["run_dir"]))
    assert row["pushed"] == [1]
    assert row["blessed"] is True
    assert (row["metric"], row["value"]) == ("AP50", first["metrics"]["AP50"])
    assert row["network"] == "ssd_mobilenet_v1"
    assert len(row["data"]) == runs.DATA_LETTERS


def _files(result: dict) -> dict[str, int]:
    """{file of an artifact or of a pushed version: time of its last change, ns}; no locks."""
    folders = [pathlib.Path(path).parent for path in result["artifacts"].values()]
    folders.append(pathlib.Path(result["model_dir"]))
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    paths = [path for path in paths if not path.name.endswith("lock")]
    return {str(path): path.stat().st_mtime_ns for path in paths}


def test_run_again_is_all_cache_and_pushes_nothing_new(first, recipe, capsys):
    before = _files(first)
    assert {pathlib.Path(path).parents[1].name for path in before} >= {"trainer", "exporter"}
    code, result, _ = _run(capsys, "run", str(recipe))
    assert code == errors.OK
    assert _files(result) == before  # nothing made, written or removed
    assert result["cached"] == COMPONENTS
    assert result["metrics"] == first["metrics"]
    assert (result["version"], result["new"]) == (1, False)


def test_a_shorter_training_is_made_and_compared_with_the_pushed_model(first, recipe, capsys):
    code, result, err = _run(
        capsys, "run", str(recipe), "--set", "train.epochs=1", "--set", "evaluate.min_gain=0.9"
    )
    assert code == errors.REFUSED
    assert "of the pushed model" in result["error"]
    assert result["exit_code"] == errors.REFUSED
    assert "example_gen: cached" in err
    assert "trainer: done" in err
    assert not (pathlib.Path(first["model_dir"]) / "2").exists()


def test_the_gate_refuses_below_the_threshold(first, recipe, capsys):
    code, result, _ = _run(capsys, "push", str(recipe), "--set", "evaluate.threshold=0.99")
    assert code == errors.REFUSED
    assert "below the threshold 0.9900" in result["error"]


def test_predict_draws_and_reports_a_file_that_is_no_picture(first, recipe, tmp_path, capsys):
    picture = sorted((recipe.parent / "digits").rglob("*.jpg"))[0]
    code, result, _ = _run(
        capsys, "predict", first["model_dir"], str(picture), "-o", str(tmp_path), "--score", "0"
    )
    assert code == errors.OK
    drawn = Image.open(result["predictions"][0]["picture"])
    assert drawn.size == Image.open(picture).size
    assert not np.array_equal(np.asarray(drawn.convert("RGB")), np.asarray(Image.open(picture)))
    (tmp_path / "note.txt").write_text("no picture")
    code, result, _ = _run(
        capsys, "predict", first["model_dir"], str(tmp_path / "note.txt"), "-o", str(tmp_path)
    )
    assert code == errors.FAILURE
    assert "note.txt" in result["error"]


def test_what_is_measured_in_several_views_says_so(first, recipe, capsys):
    words = ["evaluate", str(recipe), "--set", "evaluate.tta=[flip, 1.25]"]
    code, result, err = _run(capsys, *words)
    assert code == errors.OK, err
    assert "trainer: cached" in err
    assert "evaluator: done" in err
    how = "test-time augmentation (flip, 1.25)"
    assert result["measured_with"] == how
    assert "measured_with" not in first
    folder = pathlib.Path(result["artifacts"]["evaluator"])
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["measured_with"] == how
    assert exporter._numbers(folder)["measured_with"] == how  # which goes into the model's card
    assert f"on val, with {how}</h1>" in (folder / "report.html").read_text()
    verdict = json.loads((folder / "gate.json").read_text())["summary"]
    assert f"Measured with {how}, which the served model does without." in verdict
    # A pushed model is looked at in the same way.
    params = evaluator.params_of(config.load(recipe, ["evaluate.tta=[flip, 1.25]"]))
    records = pathlib.Path(first["artifacts"]["example_gen"])
    version = pathlib.Path(first["model_dir"]) / "1"
    labels = (records / "labels.txt").read_text().split()
    numbers, _ = evaluator._measure_pushed(version, records, labels, params)
    assert numbers["AP"] == pytest.approx(metrics["AP"], abs=1e-6)
    assert numbers["AP"] != first["metrics"]["AP"]


def test_a_large_picture_is_predicted_in_tiles(first, recipe, tmp_path, capsys):
    """More is found of it, at each place, than one look answers."""
    pictures = [Image.open(path) for path in sorted((recipe.parent / "digits").rglob("*.jpg"))[:4]]
    large = Image.new("RGB", (4 * 320, 240))
    for n, picture in enumerate(pictures):
        large.paste(picture.resize((320, 240)), (320 * n, 0))
    large.save(tmp_path / "large.png")
    words = ["predict", first["model_dir"], str(tmp_path / "large.png"), "-o", str(tmp_path)]
    code, result, err = _run(
        capsys, *words, "--score", "0", "--tiles", "240x320,64", "--tta", "flip"
    )
    assert code == errors.OK, err
    boxes = [found["box"] for found in result["predictions"][0]["detections"]]
    assert len(boxes) > 20  # of one look
    assert np.min(boxes) >= 0
    assert (np.max(boxes, axis=0) <= [240, 1280, 240, 1280]).all()
    assert Image.open(result["predictions"][0]["picture"]).size == (1280, 240)


def _ran(recipe) -> steps.Job:
    """The job with its records, which are there."""
    job = steps.Job(config.load(recipe))
    steps.run(job, "example_gen")
    return job


def test_the_demo_asks_for_the_fullest_picture(first, recipe):
    """Of the six of the split that it is judged by, against the XML files."""
    asked = demo._fullest(_ran(recipe))
    devkit = recipe.parent / "digits"
    names = next(devkit.rglob("Main/val.txt")).read_text().split()
    pictures = {name: next(devkit.rglob(f"{name}.jpg")).read_bytes() for name in names}
    objects = {
        name: next(devkit.rglob(f"{name}.xml")).read_text().count("<object>") for name in names
    }
    (name,) = [name for name, data in pictures.items() if data == asked]
    assert objects[name] == max(objects.values()) > min(objects.values())


def test_the_demo_serves_and_draws_what_was_pushed(first, recipe, monkeypatch, capsys):
    monkeypatch.setattr(demo, "RECIPE", str(recipe))
    monkeypatch.setattr(demo, "SCORE", 0.0)  # two epochs find nothing that is sure
    assert demo.main() == errors.OK
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    said = {word: rest for word, rest in lines if word != "found"}
    assert float(said["AP50"]) == pytest.approx(first["metrics"]["AP50"], abs=5e-5)
    assert said["model"] == str(pathlib.Path(first["model_dir"]) / "1")
    detections = [rest for word, rest in lines if word == "found"]
    assert len(detections) == 20
    assert all(re.fullmatch(r"\d 0\.\d\d at \[-?\d+(, -?\d+){3}\]", text) for text in detections)
    drawn = np.asarray(Image.open(said["picture"]).convert("RGB"), int)
    asked = demo._fullest(_ran(recipe))
    plain = np.asarray(Image.open(io.BytesIO(asked)).convert("RGB"), int)
    assert (np.abs(drawn - plain).max(-1) > 60).mean() > 0.01  # boxes and their names


def test_a_demo_that_the_gate_refuses_says_so(first, recipe, monkeypatch, capsys, tmp_path):
    content = yaml.safe_load(recipe.read_text())
    content["evaluate"]["threshold"] = 0.99
    path = tmp_path / "strict.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(demo, "RECIPE", str(path))
    assert demo.main() == errors.REFUSED
    assert "below the threshold 0.9900" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_demo_finds_digits(tmp_path, monkeypatch, capsys):
    content = yaml.safe_load((ROOT / demo.RECIPE).read_text())
    content["run_dir"] = str(tmp_path / "run")
    content["data"]["path"] = str(tmp_path / "digits")
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(demo, "RECIPE", str(path))
    assert demo.main() == errors.OK
    out = capsys.readouterr().out
    assert float(re.search(r"^AP50 +(\S+)", out, re.MULTILINE)[1]) >= 0.8
    assert "found " in out


def test_dagster_loads_the_same_steps(first, recipe, monkeypatch):
    monkeypatch.setenv("CONVOY_RECIPE", str(recipe))
    import importlib

    from dagster import AssetKey, materialize

    from convoy.pipeline import definitions

    definitions = importlib.reload(definitions)
    graph = definitions.definitions.resolve_asset_graph()
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == set(steps.NAMES)
    assert graph.get(AssetKey("evaluator")).parent_keys == {AssetKey("trainer")}
    assert graph.get(AssetKey("trainer")).parent_keys == {AssetKey("example_validator")}
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        done = materialize([*definitions.assets, definitions.blessed])
    finally:  # Dagster gives it what is set for SIGINT, and leaves it so
        signal.signal(signal.SIGTERM, terminated)
    assert done.success
    pushed = done.asset_materializations_for_node("pusher")[0].metadata
    assert pushed["path"].value == str(pathlib.Path(first["model_dir"]) / "1")
    assert done.get_asset_check_evaluations()[0].passed
