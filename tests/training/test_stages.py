"""Fine-tuning in stages: what learns, how fast, and that a stopped one ends with the same bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.input.input import Stream
from convoy.pipeline.config import Model, Stage
from convoy.pipeline.networks import network
from convoy.pipeline.training import stages
from tests.models.weightless import weightless
from tests.training import train_once

MODEL = {"name": "mobilenet_v1", "input_size": [32, 32], "width": 0.25, "dropout": 0.3}
STAGES = [
    {"unfreeze": "head", "epochs": 3 * 16 / 60, "learning_rate": 0.05},
    {"unfreeze": "s16", "epochs": 3 * 16 / 60, "learning_rate": 0.01},
    {"unfreeze": "all", "epochs": 2 * 16 / 60, "learning_rate": 0.005},
]


class Killed(RuntimeError):
    """Stands for the end of a process."""


def _run(records, workdir, die_at=None, **train):
    """One fine-tuning from the same fresh weights; dies in the given evaluation."""
    given = {"backbone_rate": 0.1, "stages": STAGES, **train}
    given["stages"] = tuple(Stage(**stage) for stage in given["stages"])
    params = train_once.params(model=MODEL, eval_epochs=16 / 60)
    learning = params.train.model_copy(update={"mode": "fine_tune", **params.pace, **given})
    params = params.model_copy(update={"train": learning})
    task = network.build(params.model, list("0123"), params.train, params.seed)
    stream = Stream(
        records=records,
        split="train",
        fields=("labels",),
        preprocess=task.info.preprocess,
        encode=task.encode,
        augment=params.augment,
        seed=params.seed,
        batch_size=16,
    )
    count = iter(range(1, 100))

    def validate() -> dict[str, float]:
        number = next(count)
        if number == die_at:
            raise Killed
        return {"top1": 0.1}

    before = {v.path: v.numpy() for v in task.model.variables}
    learnt = stages.train(
        task,
        stream,
        params.train,
        workdir,
        model=params.model,
        strategy=tf.distribute.get_strategy(),
        validate=validate if die_at else None,
        metric="top1",
    )
    return task, before, learnt


@pytest.fixture(scope="module")
def done(class_records, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("stages")
    return workdir, *_run(class_records, workdir)


def _arrays(folder) -> dict[str, np.ndarray]:
    newest = sorted((folder / "checkpoints").glob("step-*.npz"))[-1]
    with np.load(newest) as file:
        return dict(file.items())


def _changed(before: dict, after: dict) -> set[str]:
    """Layers of which any variable moved, statistics included."""
    both = [path for path in before.keys() & after.keys() if "seed_generator" not in path]
    return {path.split("/")[0] for path in both if (before[path] != after[path]).any()}


def test_each_stage_moves_only_what_it_unfreezes(class_records, done):
    workdir, task, before, learnt = done
    probe = network.build(Model(**MODEL), list("0123"), train_once.params(model=MODEL).train)
    at = dict(before)
    head, deep = {"logits"}, {f"block{i}_" for i in range(6, 14)}  # s16 begins at block 6
    for number, stage in enumerate(STAGES, start=1):
        probe.model.load_weights(workdir / f"stage{number}" / network.WEIGHTS)
        now = {v.path: v.numpy() for v in probe.model.variables}
        moved = _changed(at, now)
        if stage["unfreeze"] == "head":
            assert moved == head
        elif stage["unfreeze"] == "s16":
            assert moved - head
            assert {name for name in moved - head if not name.startswith(tuple(deep))} == set()
            assert {"block6_depthwise", "block6_depthwise_norm"} <= moved
        else:
            assert {"stem_conv", "stem_conv_norm", "block5_pointwise"} <= moved
        at = now
    assert learnt == task.info.params
    assert all(layer.trainable for layer in task.model.layers)


def test_the_optimizer_keeps_nothing_of_what_is_frozen(done):
    workdir = done[0]
    held = [name for name in _arrays(workdir / "stage1") if "optimizer" in name]
    assert any("logits" in name for name in held)
    assert not [name for name in held if "block" in name or "stem" in name]
    held = [name for name in _arrays(workdir / "stage2") if "optimizer" in name]
    assert any("block6" in name for name in held)
    assert not [name for name in held if "block5" in name]


def test_steps_are_counted_on_over_the_stages(done):
    lines = (done[0] / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["stage"] for row in rows] == [1, 1, 1, 2, 2, 2, 3, 3]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.slow  # test_resume.py kills a training of one stage by default
@pytest.mark.parametrize("die_at", [2, 4])
def test_killed_anywhere_it_ends_with_the_same_bits(class_records, tmp_path, die_at, request):
    """Evaluations 1 to 3 are of stage 1; 4 comes before stage 2 has saved anything."""
    whole = request.getfixturevalue("evaluated")
    with pytest.raises(Killed):
        _run(class_records, tmp_path, die_at=die_at, stages=STAGES[:2])
    _run(class_records, tmp_path, die_at=99, stages=STAGES[:2])
    for stage in ("stage1", "stage2"):
        expected, found = _arrays(whole / stage), _arrays(tmp_path / stage)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(value, found[name], err_msg=f"{stage} {name}")


@pytest.fixture(scope="module")
def evaluated(class_records, tmp_path_factory):
    """Uninterrupted, with the evaluations that the killed ones have."""
    workdir = tmp_path_factory.mktemp("evaluated")
    _run(class_records, workdir, die_at=99, stages=STAGES[:2])
    return workdir


@pytest.mark.slow  # tests/pipeline/test_optimizers.py has the arithmetic
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_the_backbone_learns_at_its_part_of_the_rate(class_records, tmp_path, optimizer):
    """A first update is linear in the rate, for the head it is the same."""
    one = [{"epochs": 16 / 60, "learning_rate": 0.01}]
    moves = {}
    for rate in (1.0, 0.25):
        folder = tmp_path / str(rate)
        folder.mkdir()
        task, before, _ = _run(
            class_records,
            folder,
            stages=one,
            backbone_rate=rate,
            ema=None,
            optimizer=optimizer,
        )
        moves[rate] = {v.path: v.numpy() - before[v.path] for v in task.model.trainable_variables}
    for path, move in moves[1.0].items():
        part = 1.0 if path.startswith("logits") else 0.25
        np.testing.assert_allclose(
            moves[0.25][path], part * move, atol=2e-6 * max(1, np.abs(move).max()), err_msg=path
        )
    assert np.abs(moves[1.0]["stem_conv/kernel"]).max() > 1e-5


def test_the_best_stage_is_kept(class_records, tmp_path, capsys):
    """By the score on data.val; the next stage starts from the best of the one before."""
    params = train_once.params(model={"name": "lenet5"}, eval_epochs=16 / 60, ema=None)
    two = [{"epochs": 32 / 60, "learning_rate": 0.01}] * 2
    train = params.train.model_copy(update={"stages": tuple(Stage(**stage) for stage in two)})
    task = network.build(params.model, list("0123"), train, params.seed)
    stream = Stream(
        class_records, "train", ("labels",), task.info.preprocess, task.encode, batch_size=16
    )
    scores, seen = iter([0.3, 0.8, 0.5, 0.6]), []

    def validate() -> dict[str, float]:
        seen.append(task.model.get_weights())
        return {"top1": next(scores)}

    strategy = tf.distribute.get_strategy()
    options = {"model": params.model, "strategy": strategy, "validate": validate, "metric": "top1"}
    stages.train(task, stream, train, tmp_path, **options)
    for kept, best in zip(task.model.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(kept, best)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("stage ")]
    count = f"{task.info.params:,}"
    assert told == [
        f"stage {n} of 2: all learns, {count} of {count} parameters; 0.533333 epochs, "
        "learning rate 0.01"
        for n in (1, 2)
    ]


def test_places_are_the_networks_own():
    model = Model(**MODEL)
    built = network.build(model, list("01"), train_once.params(model=MODEL).train).model
    with pytest.raises(ValueError, match=r"'s64': mobilenet_v1 has head, all, s4, s8, s16, s32"):
        stages.frozen(built, model, "s64")
    assert stages.frozen(built, model, "all") == stages.frozen(built, model, "s4") == frozenset()
    still = stages.frozen(built, model, "head")
    assert {layer.name for layer in built.layers} - still >= {"logits"}
    assert "block13_pointwise" in still


def test_vggs_full_layers_are_its_head():
    built = weightless("vgg11", num_classes=4, input_size=(32, 32))
    still = stages.frozen(built, Model(name="vgg11", input_size=(32, 32)), "head")
    learning = {layer.name for layer in built.layers if layer.weights} - still
    assert learning == {"fc1", "fc2", "logits"}
