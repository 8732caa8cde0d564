"""Detectors on a backbone of the recipe's choice: its weights, stages and rates work as any's."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from convoy.pipeline.components import trainer
from convoy.pipeline.config import parse
from convoy.pipeline.networks import network
from tests.models.test_weights_torch import true_tensors, write_safetensors

DETECTOR = {"name": "ssd", "backbone": "resnet18", "input_size": [64, 64]}
TRAIN = {"batch_size": 4, "epochs": 1 / 6, "learning_rate": 0.01, "schedule": "constant"}


def params(model: dict, task: str = "detection", **train) -> trainer.Params:
    """One step of four pictures, unless told."""
    recipe = {
        "name": "test",
        "task": task,
        "data": {"format": "voc", "path": "unused", "train": "train", "test": "val"},
        "model": model,
        "train": {**TRAIN, **train},
    }
    return trainer.params_of(parse(recipe))


def arrays(task) -> dict[str, np.ndarray]:
    return {variable.path: variable.numpy() for variable in task.model.variables}


@pytest.fixture(scope="module")
def classifier(digits_records, tmp_path_factory):
    """ResNet-18 trained for one step on the classes of the pictures' objects."""
    workdir = tmp_path_factory.mktemp("classifier")
    model = {"name": "resnet18", "input_size": [64, 64]}
    trainer.run({"examples": digits_records}, params(model, "multilabel"), workdir)
    return workdir


def test_the_backbone_starts_from_a_trained_classifier(digits_records, classifier, tmp_path):
    """All of its layers do, the detector's own are fresh; the report names both."""
    model = {**DETECTOR, "init_from": str(classifier)}
    trainer.run({"examples": digits_records}, params(model, learning_rate=1e-12), tmp_path)
    report = json.loads((tmp_path / "weights.json").read_text())
    source, _ = network.load(classifier)
    theirs = {v.path: v.numpy() for v in source.model.variables if "logits" not in v.path}
    assert set(report["matched"]) == set(theirs)
    assert all(name.startswith(("extra", "level")) for name in report["missing"])
    task, _ = network.load(tmp_path)
    ours = {v.path: v.numpy() for v in task.model.trainable_variables}
    for path in ours.keys() & theirs.keys():  # one step at a rate of nothing
        np.testing.assert_allclose(ours[path], theirs[path], atol=1e-6)


def test_published_weights_of_the_chosen_backbone(digits_records, tmp_path):
    path = write_safetensors(tmp_path / "resnet18.safetensors", true_tensors("resnet18"))
    model = {**DETECTOR, "weights": str(path)}
    task = network.build(parse_model(model), list("0123456789"), params(model).train)
    report = network.initialise(task, parse_model(model), list("0123456789"))
    plain = network.build(
        parse_model({"name": "resnet18", "input_size": [64, 64]}), list("0123456789"),
        params(model).train, task="classification",
    )  # fmt: skip
    network.initialise(plain, parse_model({"name": "resnet18", "weights": str(path)}), ["a"] * 10)
    layers = {layer.name for layer in plain.model.layers} - {"logits"}
    known = arrays(plain)
    for path, value in arrays(task).items():
        if path.split("/")[0] in layers:
            np.testing.assert_array_equal(value, known[path])
    assert {name.split("/")[0] for name in report["missing"]} == {
        layer.name for layer in task.model.layers if layer.weights and layer.name not in layers
    }


def parse_model(model: dict):
    return params(model).model


@pytest.mark.slow  # test_stages.py has a classifier's by default
def test_the_head_learns_first_then_all_the_backbone_more_slowly(
    digits_records, classifier, tmp_path
):
    model = {**DETECTOR, "init_from": str(classifier)}
    stages = [
        {"unfreeze": "head", "epochs": 1 / 6, "learning_rate": 0.01},
        {"unfreeze": "s32", "epochs": 1 / 6, "learning_rate": 0.01},
        {"unfreeze": "all", "epochs": 1 / 6, "learning_rate": 0.01},
    ]
    given = params(model, mode="fine_tune", stages=stages, backbone_rate=0.1)
    trainer.run({"examples": digits_records}, given, tmp_path)
    probe = network.build(parse_model(model), list("0123456789"), given.train)
    source, _ = network.load(classifier)
    before = {v.path: v.numpy() for v in source.model.variables}
    moved = []
    for number in (1, 2, 3):
        probe.model.load_weights(tmp_path / f"stage{number}" / network.WEIGHTS)
        now = arrays(probe)
        moved.append(
            {p.split("/")[0] for p in before.keys() & now.keys() if (before[p] != now[p]).any()}
        )
    assert moved[0] == set()  # its BatchNorm kept its statistics, too
    assert moved[1]
    assert all(name.startswith("stage4") for name in moved[1])
    assert {"stem_conv", "stage1_block1_conv1"} <= moved[2]


def test_a_stage_that_the_backbone_does_not_have_is_named(digits_records, classifier, tmp_path):
    model = {**DETECTOR, "init_from": str(classifier)}
    stages = [{"unfreeze": "s64", "epochs": 1, "learning_rate": 0.01}]
    with pytest.raises(ValueError, match=r"'s64': ssd has head, all, s4, s8, s16, s32"):
        trainer.run(
            {"examples": digits_records}, params(model, mode="fine_tune", stages=stages), tmp_path
        )


@pytest.mark.slow
def test_validation_is_in_float32_whatever_trains(digits_records, tmp_path):
    """The best checkpoint is chosen by the number that the report will show for these weights."""
    from convoy.pipeline.components import evaluator

    recipe = {
        "name": "test",
        "task": "detection",
        "data": {"format": "voc", "path": "unused", "train": "train", "val": "val", "test": "val"},
        "model": {"name": "ssd_mobilenet_v1", "input_size": [64, 64], "width": 0.25},
        "train": {**TRAIN, "precision": "mixed_bfloat16", "epochs": 1, "learning_rate": 0.05},
        "export": {"score_threshold": 0.05, "max_detections": 20},
    }
    keras.utils.set_random_seed(0)
    (tmp_path / "model").mkdir()
    trainer.run({"examples": digits_records}, trainer.params_of(parse(recipe)), tmp_path / "model")
    (tmp_path / "model" / "run.json").write_text('{"environment": {}, "seconds": 1}')
    rows = [json.loads(r) for r in (tmp_path / "model" / "metrics.jsonl").read_text().splitlines()]
    (tmp_path / "evaluation").mkdir()
    evaluator.run(
        {"examples": digits_records, "model": tmp_path / "model"},
        evaluator.params_of(parse(recipe)),
        tmp_path / "evaluation",
    )
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    validated = [row for row in rows if row["kind"] == "val"][-1]
    numbers = {k: v for k, v in metrics.items() if isinstance(v, float)}
    assert numbers
    assert {k: validated[k] for k in numbers} == pytest.approx(numbers, abs=1e-12)
