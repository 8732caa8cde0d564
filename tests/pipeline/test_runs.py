"""`convoy runs`: rows out of run folders, and what differs between two trainings."""

from __future__ import annotations

import json
import pathlib

import pytest

from convoy.pipeline import cli
from convoy.pipeline.tools import runs


def write(path: pathlib.Path, value) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def training(run: pathlib.Path, key: str, when: str, top1: float, rate: float, **gate) -> None:
    """The files that a trainer, an evaluator and an ingest leave, as far as they are read."""
    store = run / "artifacts"
    write(store / "example_gen" / "e1" / "manifest.json", {"inputs_sha256": "0123456789abcdef"})
    write(store / "trainer" / key / "network.json", {"model": {"name": "lenet5"}})
    params = {"seed": 0, "train": {"learning_rate": rate, "epochs": 3}}
    write(store / "trainer" / key / "run.json", {"params": params})
    judged = store / "evaluator" / f"of_{key}"
    inputs = {"examples": str(store / "example_gen" / "e1"), "model": str(store / "trainer" / key)}
    asked = {"task": "classification", "evaluate": {"metric": None}}
    write(judged / "run.json", {"started": when, "inputs": inputs, "params": asked})
    write(judged / "metrics.json", {"top1": top1, "per_class": {}})
    write(judged / "gate.json", {"blessed": True, "summary": f"Blessed: {key}", **gate})


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """runs/a with two trainings, of which the first is pushed as 1 and 3; runs/b with one."""
    for name in ("a", "b"):
        run = tmp_path / "runs" / name
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(f"name: {name}\n")
    a, b = tmp_path / "runs" / "a", tmp_path / "runs" / "b"
    training(a, "k2", "2026-01-03T00:00:00", 0.75, 0.02, blessed=False, summary="Refused: worse")
    training(a, "k1", "2026-01-02T00:00:00", 0.5, 0.01)
    training(b, "k3", "2026-01-04T00:00:00", 1.0, 0.01)
    for number in (1, 3):
        source = a / "served" / "a" / str(number) / "assets.extra" / "source.json"
        write(source, {"trainer": "k1", "export": "x"})
    (a / "artifacts" / "evaluator" / "half.partial").mkdir()
    write(a / "artifacts" / "evaluator" / "half.partial" / "run.json", {})
    write(a / "result.json", {"model_dir": str(a / "served" / "a")})
    return tmp_path / "runs"


def test_rows(folder):
    first, second = runs.rows(folder / "a")
    assert (first["trainer"], second["trainer"]) == ("k1", "k2")
    assert first["pushed"] == [1, 3]
    assert second["pushed"] == []
    assert (first["metric"], first["value"]) == ("top1", 0.5)
    assert (first["network"], first["data"]) == ("lenet5", "01234567")
    assert (second["blessed"], second["verdict"]) == (False, "Refused: worse")


def test_a_training_that_is_gone_is_said(folder):
    training_of = folder / "a" / "artifacts" / "trainer" / "k2"
    for path in training_of.iterdir():
        path.unlink()
    training_of.rmdir()
    assert runs.rows(folder / "a")[1]["verdict"] == "gone: Refused: worse"


def test_a_store_that_two_runs_share_is_listed_once(folder):
    """The result names another run's artifacts, by a path of its own."""
    (folder / "link").symlink_to(folder / "b")
    artifact = folder / "link" / "artifacts" / "evaluator" / "of_k3"
    write(folder / "b" / "result.json", {"artifacts": {"evaluator": str(artifact)}})
    assert [row["trainer"] for row in runs.rows(folder / "b")] == ["k3"]
    write(folder / "a" / "result.json", {"artifacts": {"evaluator": str(artifact)}})
    assert [row["trainer"] for row in runs.rows(folder / "a")] == ["k1", "k2", "k3"]


def test_the_verb_lists_and_compares(folder, capsys):
    assert cli.main(["convoy", "runs", str(folder)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == list(runs.COLUMNS)
    assert [line.split()[0] for line in lines] == ["a", "a", "b"]
    assert lines[0].endswith("0.5000  1,3     Blessed: k1")
    assert cli.main(["convoy", "runs", str(folder), "--diff=a:k1,a", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["differs"] == {
        "metrics.top1": [0.5, 0.75],
        "train.learning_rate": [0.01, 0.02],
    }
    assert cli.main(["convoy", "runs", str(folder), "--diff=b,b"]) == 0
    assert "no difference" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nowhere"], 1, "nowhere: no such folder"),
        (["EMPTY"], 1, "expected a run's folder"),
        (["RUNS", "--diff=a"], 2, "--diff: expected two"),
        (["RUNS", "--diff=a,c"], 1, "no run is called 'c'; there are a, b"),
        (["RUNS", "--diff=a:k,b"], 1, "2 trainings of a begin so; they are k1, k2"),
        (["RUNS", "--diff=a:x,b"], 1, "0 trainings of a begin so"),
    ],
)
def test_errors(folder, tmp_path, capsys, words, code, message):
    (tmp_path / "empty").mkdir()
    named = {"RUNS": str(folder), "EMPTY": str(tmp_path / "empty")}
    assert cli.main(["convoy", "runs", *(named.get(word, word) for word in words)]) == code
    assert message in capsys.readouterr().err
