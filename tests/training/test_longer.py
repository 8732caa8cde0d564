"""A longer training goes on from a shorter one; what is finished stays as it is."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
import pytest

from convoy.pipeline import steps
from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.config import parse
from convoy.pipeline.networks import network
from convoy.pipeline.training import longer, loop

PICTURES, BATCH = 60, 16  # in the training split of `class_records`: 4 steps cover an epoch


class Trainings:
    """Trainings of one store, by the number of epochs."""

    def __init__(self, records: pathlib.Path, store: pathlib.Path, **train):
        self.records, self.store, self.train = records, store, train
        self.said: list[str] = []

    def __call__(self, epochs: float, **train) -> Artifact:
        recipe = parse(
            {
                "name": "test",
                "task": "classification",
                "run_dir": "unused",
                "data": {"format": "folder", "path": "unused", "val": "val"},
                "model": {"name": "lenet5", "dropout": 0.2},
                "train": {
                    **{"batch_size": BATCH, "epochs": epochs, "learning_rate": 0.05},
                    **{"log_steps": 1, "ema": 0.9, **self.train, **train},
                },
            }
        )
        job = steps.Job(recipe, store=self.store, tell=self.said.append)
        job.done["example_gen"] = Artifact(self.records, "known", cached=True)
        return steps.make(job, "trainer")


def state(training: Artifact) -> dict[str, np.ndarray]:
    newest = max((training.path / "checkpoints").glob("step-*.npz"))
    with np.load(newest) as file:
        return dict(file.items())


def rows(training: Artifact, kind: str = "train") -> list[dict]:
    lines = (training.path / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def files(training: Artifact) -> dict[str, int]:
    """Path -> time of its last change."""
    paths = [path for path in training.path.rglob("*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in paths}


def test_at_a_constant_rate_it_is_the_unbroken_training_to_the_last_bit(class_records, tmp_path):
    trained = Trainings(class_records, tmp_path / "grown", schedule="constant")
    short = trained(1)
    before = files(short)
    long = trained(2)
    assert long.key != short.key
    assert trained.said[-2] == (
        f"trainer: goes on from epoch {4 * BATCH / PICTURES:.4f} of the finished training "
        f"{short.key}, at the learning rate that a training of 2 epochs has there"
    )
    unbroken = Trainings(class_records, tmp_path / "unbroken", schedule="constant")(2)
    assert unbroken.key == long.key  # how it came about is no part of what it is
    expected, grown = state(unbroken), state(long)
    assert expected.keys() == grown.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, grown[name], err_msg=name)
    assert [row["step"] for row in rows(long)] == [*range(1, 9)]
    assert files(short) == before
    assert [trained(1).cached, trained(2).cached] == [True, True]
    assert trained(0.5).key not in (short.key, long.key)  # from the beginning
    assert "goes on" not in trained.said[-1]
    assert len(rows(trained(0.5))) == 2
    assert files(short) == before


@pytest.mark.slow
def test_a_cosine_goes_on_where_the_longer_one_is(class_records, tmp_path):
    """The shorter one came down over 4 steps; from step 4 the rate is that of one over 8."""
    trained = Trainings(class_records, tmp_path / "store", schedule="cosine")
    trained(1)
    rates = [row["lr"] for row in rows(trained(2))]
    shorter = [0.05 * (1 + math.cos(math.pi * step / 4)) / 2 for step in (1, 2, 3, 4)]
    longer_ones = [0.05 * (1 + math.cos(math.pi * step / 8)) / 2 for step in (5, 6, 7, 8)]
    np.testing.assert_allclose(rates, [*shorter, *longer_ones], rtol=1e-5, atol=1e-9)


def test_the_best_weights_so_far_stay_the_best(class_records, tmp_path):
    """A score that cannot be beaten: the longer training ends with the shorter one's weights."""
    trained = Trainings(class_records, tmp_path / "store", schedule="constant")
    short = trained(1)
    unbeaten = [
        {**json.loads(line), "top1": 2.0}
        for line in (short.path / "metrics.jsonl").read_text().splitlines()
    ]
    (short.path / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in unbeaten))
    long = trained(1.5)
    assert [row["step"] for row in rows(long, "val")] == [4, 6]
    assert (long.path / longer.BEST).read_bytes() == (short.path / longer.BEST).read_bytes()
    (task, _), (before, _) = network.load(long.path), network.load(short.path)
    for mine, theirs in zip(task.model.get_weights(), before.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_changed_limit_of_hours_begins_nothing_anew(class_records, tmp_path, monkeypatch):
    """A killed training goes on under another limit, and one that was cut short by the limit."""
    trained = Trainings(class_records, tmp_path / "store", schedule="cosine")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_validate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            trained(2, max_hours=5.0, checkpoint_minutes=1e-9)  # killed in step 4, with 3 saved
    (killed,) = (tmp_path / "store" / "trainer").glob("*.partial")
    long = trained(2, max_hours=7.0)
    assert trained.said[-2].startswith(
        f"trainer: goes on from epoch {3 * BATCH / PICTURES:g} of the unfinished training "
        f"{killed.stem}, "
    )
    unbroken = Trainings(class_records, tmp_path / "unbroken", schedule="cosine")(2)
    for name, value in state(unbroken).items():
        np.testing.assert_array_equal(value, state(long)[name], err_msg=name)
    short = trained(3, max_hours=1e-9)  # goes on from 2 epochs, and stops at once
    assert rows(short)[-1]["step"] == 8
    whole = trained(3)
    assert [row["step"] for row in rows(whole)] == [*range(1, 13)]


def test_which_trainings_begin_another_one():
    """(epochs, hours) of the other, whether it is whole, of this one."""
    begins = longer.goes_on
    assert begins((1, 9), True, (2, 1))
    assert begins((2, 1), True, (2, 3))
    assert not begins((2, 3), True, (2, 1))  # it is longer than it may be
    assert begins((2, 3), False, (2, 1))
    assert not begins((1, 3), False, (2, 3))  # its schedule is another


@pytest.fixture
def shorter(tmp_path) -> pathlib.Path:
    """The files of a finished training."""
    folder = tmp_path / "0123abcd"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "step-000000008.npz").write_bytes(b"old")
    (folder / "checkpoints" / "step-000000010.npz").write_bytes(b"new")
    (folder / "best.weights.h5").write_bytes(b"best")
    (folder / "model.weights.h5").write_bytes(b"result")
    (folder / "metrics.jsonl").write_text('{"epoch": 9.5}\n{"epoch": 10.0}\n')
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events").write_bytes(b"curve")
    return folder


def names(folder: pathlib.Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


TAKEN = [
    "best.weights.h5",
    "checkpoints/step-000000010.npz",
    "metrics.jsonl",
    "tensorboard/events",
]


def test_what_is_taken_over(shorter, tmp_path):
    """All that a killed training goes on from; the result is made anew."""
    workdir = tmp_path / "work"
    workdir.mkdir()
    said = longer.begin(shorter, workdir, (20.0, 1.0))
    assert said.startswith("goes on from epoch 10 of the finished training 0123abcd, at the ")
    assert names(workdir) == TAKEN


def test_a_copy_that_was_cut_short_is_made_again(shorter, tmp_path):
    workdir = tmp_path / "work"
    (workdir / "checkpoints").mkdir(parents=True)
    (workdir / "metrics.jsonl").write_text("")
    (workdir / "checkpoints" / ".step-000000010.npz.7.tmp").write_bytes(b"ne")
    assert longer.begin(shorter, workdir, (20.0, 1.0))
    assert names(workdir) == sorted(["checkpoints/.step-000000010.npz.7.tmp", *TAKEN])
    assert (workdir / "metrics.jsonl").read_text() == (shorter / "metrics.jsonl").read_text()


def test_a_killed_longer_training_goes_on_from_its_own_checkpoint(shorter, tmp_path):
    workdir = tmp_path / "work"
    (workdir / "checkpoints").mkdir(parents=True)
    (workdir / "checkpoints" / "step-000000012.npz").write_bytes(b"further")
    assert longer.begin(shorter, workdir, (20.0, 1.0)) == ""
    assert names(workdir) == ["checkpoints/step-000000012.npz"]


def test_a_training_whose_checkpoints_were_removed_is_nothing_to_go_on_from(shorter, tmp_path):
    for path in (shorter / "checkpoints").iterdir():
        path.unlink()
    assert longer.begin(shorter, tmp_path, (20.0, 1.0)) == ""


def test_a_fine_tuning_of_one_stage_grows_and_of_stages_does_not(shorter, tmp_path):
    top = tmp_path / "tuned"
    top.mkdir()
    shorter.rename(top / "stage1")
    workdir = tmp_path / "work"
    workdir.mkdir()
    assert "of the finished training tuned," in longer.begin(top, workdir, (20.0, 1.0))
    assert names(workdir) == [f"stage1/{name}" for name in TAKEN]
    train = {"mode": "fine_tune", "stages": [], "epochs": 3.0, "ema": None}
    assert longer.size({"train": train}) == (3.0, longer.UNLIMITED)
    assert longer.size({"train": {**train, "max_hours": 0.5}}) == (3.0, 0.5)
    assert longer.without({"seed": 1, "train": {**train, "max_hours": 0.5}}) == {
        "seed": 1,
        "train": {"mode": "fine_tune", "stages": [], "ema": None},
    }
    assert longer.size({"train": {**train, "stages": [{"epochs": 1}]}}) is None
    assert longer.size({"train": {**train, "mode": "extract"}}) is None
