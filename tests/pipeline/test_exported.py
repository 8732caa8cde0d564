"""What a folder that somebody names stands for; with real models: tests/e2e/test_refused.py."""

from __future__ import annotations

import json
import pathlib

import pytest

from convoy.pipeline.networks import saved, trained
from convoy.pipeline.tools import exported, served_folder


def model(path: pathlib.Path, trainer: str = "") -> pathlib.Path:
    (path / "assets.extra").mkdir(parents=True)
    (path / "saved_model.pb").write_text("")
    (path / "assets.extra/source.json").write_text(json.dumps({"trainer": trainer}))
    return path


@pytest.fixture
def run(tmp_path) -> pathlib.Path:
    """A run that pushed two versions."""
    top = tmp_path / "run"
    (top / "artifacts/trainer/abc").mkdir(parents=True)
    (top / "artifacts/trainer/abc/network.json").write_text("{}")
    (top / "config.yaml").write_text("name: birds\n")
    for number in ("2", "10"):
        model(top / "served/birds" / number, "abc")
    (top / "served/birds/11").mkdir()  # of a push that is under way
    (top / "result.json").write_text(json.dumps({"model_dir": str(top / "served/birds")}))
    return top


@pytest.mark.parametrize("named", ["", "served", "served/birds", "served/birds/10"])
def test_a_pushed_model_by_any_of_its_names(run, named):
    assert exported.find(run / named, print) == run / "served/birds/10"
    assert trained.find(run / named) == run / "artifacts/trainer/abc"


def test_a_run_whose_folder_moved(run):
    moved = run.rename(run.with_name("moved"))
    assert exported.find(moved, print) == moved / "served/birds/10"


def test_a_newer_training_that_was_refused_is_said(run):
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").write_text(json.dumps({**result, "refused": "AP50 is low."}))
    told: list[str] = []
    assert exported.find(run, told.append) == run / "served/birds/10"
    assert told == [
        f"{run}/served/birds/10 was pushed before; the run's newest training was not: AP50 is low."
    ]


def test_folders_that_stand_for_no_model(run, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        exported.find(tmp_path / "none", print)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="expected a run's folder, a SavedModel"):
        exported.find(tmp_path / "empty", print)
    with pytest.raises(FileNotFoundError, match=r"has not been evaluated.*convoy evaluate"):
        exported.of_run(run, tell=print)
    with pytest.raises(FileNotFoundError, match="training without an export"):
        exported.find(_alone(tmp_path), print)
    model(run / "served/cats/1")
    with pytest.raises(ValueError, match=r"several models: give one of .*birds, .*cats"):
        exported.find(run / "served", print)


def _alone(top: pathlib.Path) -> pathlib.Path:
    trainer = top / "else/trainer/abc"
    trainer.mkdir(parents=True)
    (trainer / "network.json").write_text("{}")
    return trainer


def test_a_model_without_its_run_around_it_names_its_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"training abc is in no .*give the run's folder"):
        trained.find(model(tmp_path / "else/1", "abc"))
    assert saved.find(tmp_path / "none") is None


def test_what_is_served_of_each_name(run, tmp_path):
    base = run / "served/birds"
    assert served_folder.of(str(run), "latest", print)[:2] == (base, "latest")
    assert served_folder.of(str(base), "all", print)[:2] == (base, "all")
    assert served_folder.of(str(run / "served"), "latest", print)[:2] == (run / "served", "latest")
    assert served_folder.of(str(base / "2"), "latest", print)[:2] == (base, "2")
    with pytest.raises(ValueError, match="is version 2 alone, got --versions all"):
        served_folder.of(str(base / "2"), "all", print)
    (tmp_path / "waiting").mkdir()  # for models to come
    given = served_folder.of(str(tmp_path / "waiting"), "latest", print)
    assert given[:2] == (tmp_path / "waiting", "latest")
    given = served_folder.of(str(model(tmp_path / "mine")), "latest", print)
    assert (given.base / "1").resolve() == tmp_path / "mine"
    assert given.base.name == "mine"
