"""Another task's network on a folder: modes side by side, pruned, exported and served."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Train
from convoy.pipeline.networks import network, trained


@pytest.fixture(scope="module")
def top(tmp_path_factory) -> pathlib.Path:
    """Scanned digits: the first five classes to learn from, the last four as the new task."""
    top = tmp_path_factory.mktemp("transfer")
    scans, labels = load_digits(return_X_y=True)
    for task, names, count in (("old", range(5), 30), ("new", range(5, 9), 20)):
        for name in names:
            for i, scan in enumerate(scans[labels == name][:count].reshape(-1, 8, 8)):
                part = "train" if i < count * 3 // 4 else "val"
                path = top / task / part / str(name) / f"{i:02d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.uint8(np.kron(scan, np.ones((4, 4))) * 15)).save(path)
    return top


def _recipe(top: pathlib.Path, name: str, data: str, model: dict, **train) -> pathlib.Path:
    content = {
        "name": name,
        "task": "classification",
        "run_dir": str(top / name),
        "data": {"format": "folder", "path": str(top / data)},
        "model": {"name": "mobilenet_v1", "input_size": [32, 32], "width": 0.25, **model},
        "train": {"batch_size": 15, "epochs": 4, "learning_rate": 0.02, **train},
        "evaluate": {"gallery": 2},
        "export": {"precision": "float32"},
    }
    path = top / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def source(top) -> pathlib.Path:
    """The run folder of the old task."""
    steps.run(steps.Job(config.load(_recipe(top, "source", "old", {}, epochs=8))), "trainer")
    return top / "source"


@pytest.fixture(scope="module")
def recipe(top, source) -> pathlib.Path:
    return _recipe(
        top,
        "moved",
        "new",
        {"init_from": str(source)},
        mode="fine_tune",
        head="logistic",
        backbone_rate=0.5,
        stages=[
            {"unfreeze": "head", "epochs": 1, "learning_rate": 0.02},
            {"epochs": 2, "learning_rate": 0.01},
        ],
    )


def _run(capsys, *words: str) -> tuple[int, dict, str]:
    code = cli.main(["convoy", *words, "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out.splitlines()[-1]), captured.err


@pytest.mark.parametrize("names", ["01234", "43210", "abcde"])
def test_a_head_of_other_classes_is_kept_fresh(source, names):
    """As many classes are not the same ones: the source's second class is not ours."""
    recipe = config.load(source / "config.yaml")
    model = recipe.model.model_copy(update={"init_from": str(source)})
    task = network.build(model, list(names), recipe.train, seed=1)
    fresh = [weight.numpy() for weight in task.model.get_layer("logits").weights]
    report = network.initialise(task, model, list(names))
    theirs = network.load(source)[0].model
    for layer in task.model.layers:
        if layer.name != "logits":
            for mine, other in zip(
                layer.weights, theirs.get_layer(layer.name).weights, strict=True
            ):
                np.testing.assert_array_equal(mine, other)
    expected = fresh if names != "01234" else theirs.get_layer("logits").get_weights()
    for mine, other in zip(task.model.get_layer("logits").weights, expected, strict=True):
        np.testing.assert_array_equal(mine, other)
    told = [] if names == "01234" else ["logits/kernel", "logits/bias"]
    assert report["mismatched"] == [f"{name}, of other classes: 0, 1, 2, ..." for name in told]


@pytest.mark.slow
def test_modes_side_by_side(top, recipe, capsys):
    code, result, err = _run(capsys, "compare", str(recipe), "--modes", "extract,scratch")
    assert code == errors.OK, err
    rows = {row["mode"]: row for row in result["rows"]}
    assert list(rows) == ["extract", "scratch"]
    assert rows["extract"]["learnt"] == 4 * 257
    assert rows["scratch"]["learnt"] == rows["scratch"]["params"] == 214_100
    assert rows["extract"]["top1"] > 0.4  # chance is 0.25
    assert all(row["training_seconds"] > 0 and row["input"] == "32x32" for row in rows.values())
    page = pathlib.Path(result["report"]).read_text()
    assert "1,028" in page
    assert "214,100" in page
    assert json.loads((top / "moved/compare/compare.json").read_text()) == result["rows"]
    assert len(list((top / "moved/artifacts/example_gen").glob("*/manifest.json"))) == 1
    scratch = config.load(top / "moved/compare/scratch/config.yaml")
    assert (scratch.model.init_from, scratch.train.stages) == (None, ())
    with pytest.raises(FileNotFoundError, match=r"convoy compare. left .*moved/compare/extract"):
        trained.find(top / "moved")
    code, again, err = _run(capsys, "compare", str(recipe), "--modes", "extract,scratch")
    assert again["rows"] == result["rows"]
    assert err.count("trainer: cached") == 2
    assert "feature_gen: cached" in err


def test_an_extracted_network_is_pushed_and_predicts(top, capsys):
    lenet = {"name": "lenet5", "input_size": [28, 28], "width": 1.0}
    steps.run(steps.Job(config.load(_recipe(top, "small", "old", lenet))), "trainer")
    model = {"features": [{"name": "lenet5", "init_from": str(top / "small")}] * 2, **lenet}
    path = _recipe(top, "joined", "new", model, mode="extract", head="svm", feature_scale="rcnn")
    code, result, err = _run(capsys, "run", str(path))
    assert code == errors.OK, err
    assert result["pushed"]
    picture = sorted((top / "new/val").rglob("*.png"))[0]
    code, told, err = _run(
        capsys, "predict", str(top / "joined/served/joined"), str(picture), "-o", str(top / "out")
    )
    assert code == errors.OK, err
    assert told["predictions"]


@pytest.mark.slow
def test_a_pruned_network_is_smaller_and_learns_on(top, recipe, capsys):
    steps.run(steps.Job(config.load(recipe)), "trainer")
    out = top / "smaller"
    words = ["prune", str(top / "moved"), "-o", str(out), "--keep", "0.6", "--epochs", "1"]
    code, result, err = _run(capsys, *words)
    assert code == errors.OK, err
    whole, pruned, tuned = result["rows"]
    assert [row["network"] for row in result["rows"]] == ["whole", "pruned", "pruned, fine-tuned"]
    assert whole["params"] == 214_100
    assert pruned["params"] < 0.6 * whole["params"]
    assert (pruned["params"], pruned["macs"]) == (tuned["params"], tuned["macs"])
    assert pruned["macs"] < 0.8 * whole["macs"]
    task, labels = network.load(trained.find(out))  # what was fine-tuned has its widths
    assert task.info.params == pruned["params"]
    assert labels == ["5", "6", "7", "8"]
    widths = json.loads((out / "pruned/network.json").read_text())["model"]["widths"]
    assert task.model.get_layer("block3_pointwise").filters == widths["block3_pointwise"]
    task = network.build(
        network.with_source_widths(config.load(out / "config.yaml").model), labels, Train()
    )
    assert network.initialise(task, config.load(out / "config.yaml").model, labels)["missing"] == []
    code, exported, err = _run(capsys, "export", str(out / "config.yaml"))
    assert "trainer: cached" in err
    assert code == errors.OK, err
    assert (pathlib.Path(exported["artifacts"]["exporter"]) / "saved_model").is_dir()


def test_prune_refuses_before_it_works(top, recipe, source, capsys):
    made = ["prune", str(source), "-o"]
    for flag, value, message in (
        ("--keep", "0", "--keep: expected a part in (0, 1], got 0"),
        ("--keep", "2", "--keep: expected a part in (0, 1], got 2"),
        ("--criterion", "size", "--criterion: expected activation or weights, got 'size'"),
        ("--epochs", "-1", "--epochs: expected 0 (no fine-tuning) or more, got -1"),
    ):
        code, result, _ = _run(capsys, *made, str(top / "refused"), flag, value)
        assert (code, result["error"]) == (errors.USAGE, message)
    code, result, _ = _run(capsys, *made, str(source))
    assert code == errors.USAGE
    assert "is the run that is pruned" in result["error"]
    other = top / "other"
    (other / "artifacts").mkdir(parents=True)
    code, result, _ = _run(capsys, *made, str(other))
    assert code == errors.USAGE
    assert f"{other}: is the folder of another run, with artifacts of its own" in result["error"]
    assert not (other / "pruned").exists()
    assert not (top / "refused").exists()
    assert not (source / "pruned").exists()
    code, result, _ = _run(capsys, *made, str(top / "bare"), "--epochs", "0")
    assert code == errors.OK
    code, result, err = _run(capsys, "prune", result["pruned"], "-o", str(top / "again"))
    assert (code, "Traceback" in err) == (errors.FAILURE, False)


def test_another_networks_weights_are_refused_as_a_whole(source):
    """Norms of the stem and the head's bias have the same names and shapes in both."""
    model = config.Model(name="mobilenet_v2", input_size=(32, 32), init_from=str(source))
    task = network.build(model, list("01234"), Train())
    before = task.model.get_weights()
    with pytest.raises(
        ValueError, match="holds mobilenet_v1, the recipe's network is mobilenet_v2"
    ):
        network.initialise(task, model, list("01234"))
    for mine, fresh in zip(task.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, fresh)


def test_a_run_folder_that_moved_is_still_found(source, tmp_path):
    trainer = trained.find(source)
    result = json.loads((source / "result.json").read_text())
    result["artifacts"]["trainer"] = str(tmp_path / "before" / trainer.name)
    write_json(tmp_path / "result.json", result)
    shutil.copytree(trainer, tmp_path / "artifacts" / "trainer" / trainer.name)
    assert trained.find(tmp_path) == tmp_path / "artifacts" / "trainer" / trainer.name


def test_modes_are_all_checked_before_the_first_one_trains(top, source, capsys):
    stages = [{"unfreeze": "s7", "epochs": 1, "learning_rate": 0.01}]
    model = {"init_from": str(source)}
    path = _recipe(top, "unchecked", "new", model, mode="fine_tune", stages=stages)
    code, result, _ = _run(capsys, "compare", str(path), "--modes", "scratch,fine_tune")
    assert code == errors.USAGE
    assert "unfreeze 's7'" in result["error"]
    assert not (top / "unchecked").exists()
    code, result, _ = _run(capsys, "compare", str(path), "--set", "task=multilabel")
    assert code == errors.USAGE
    assert "extract is for classification, the task is multilabel" in result["error"]


def test_wrong_words_are_named(top, recipe, capsys):
    code, result, _ = _run(capsys, "compare", str(recipe), "--modes", "extract,tune")
    assert code == errors.USAGE
    assert "expected some of extract, fine_tune, scratch, got ['tune']" in result["error"]
    code, result, _ = _run(capsys, "prune", str(top / "nothing"), "-o", str(top / "x"))
    assert code == errors.FAILURE
    assert "holds no trained network" in result["error"]
