"""Two recipes that push into one folder: nothing twice, each compared with the other."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from convoy.pipeline import config, errors, steps, versions
from convoy.pipeline.components import pusher

pytestmark = pytest.mark.slow


@pytest.fixture
def recipes(tmp_path) -> dict[str, config.Recipe]:
    """A and B: the same name and folder, another seed, each with a run folder of its own."""
    scans, labels = load_digits(return_X_y=True)
    for name in range(2):
        for i, scan in enumerate(scans[labels == name][:12].reshape(-1, 8, 8)):
            part = tmp_path / "pictures" / ("train" if i < 8 else "val") / str(name)
            part.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.uint8(np.kron(scan, np.ones((4, 4))) * 15)).save(part / f"{i}.png")
    found = {}
    for name, seed in (("A", 1), ("B", 2)):
        content = {
            "name": "shared",
            "task": "classification",
            "seed": seed,
            "run_dir": str(tmp_path / name),
            "data": {"format": "folder", "path": str(tmp_path / "pictures")},
            "model": {"name": "lenet5"},
            "train": {"batch_size": 8, "epochs": 1},
            "evaluate": {"gallery": 0, "min_gain": -1.0},  # the gate lets each pass
            "export": {"precision": "float32"},
            "push": {"model_dir": str(tmp_path / "served")},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        found[name] = config.load(path)
    return found


def test_nights_of_two_recipes(recipes, tmp_path):
    def night(name: str) -> dict:
        job = steps.Job(recipes[name])
        result = steps.run(job, "pusher")
        inputs = json.loads((job.done["evaluator"].path / "run.json").read_text())["inputs"]
        against = pathlib.Path(inputs["pushed"]).name if "pushed" in inputs else None
        return {
            **{key: result[key] for key in ("version", "new", "newest")},
            "against": against,
            "ran": [step for step in steps.NAMES[:-1] if step not in result["cached"]],
            "gain": steps.verdict(job)["gain"],
        }

    first = night("A")
    assert (first["version"], first["new"], first["against"]) == (1, True, None)
    again = night("A")
    assert (again["version"], again["new"], again["ran"]) == (1, False, [])
    other = night("B")
    assert (other["version"], other["new"], other["against"]) == (2, True, "1")
    again = night("B")  # nothing ran, and its gate speaks of the comparison that it was pushed by
    assert again == {**other, "new": False, "ran": []}
    third = night("A")
    assert (third["against"], third["ran"]) == ("2", ["evaluator"])
    assert not third["new"]
    returns = third["gain"] > 0
    assert third["version"] == third["newest"] - (0 if returns else 1)
    versions = sorted(path.name for path in (tmp_path / "served" / "shared").iterdir())
    assert versions == [".lock", *(["2", "3"] if returns else ["1", "2"])]


def pushes_between(job, model: pathlib.Path) -> None:
    """Another run pushes `model` into the job's folder once, after the job's gate has decided."""
    said = job.tell

    def tell(line: str) -> None:
        said(line)
        if line.startswith("infra_validator:") and not job.model_dir.joinpath("1").exists():
            pusher.push(model, job.model_dir, keep=9)

    job.tell = tell


def test_what_another_run_pushes_meanwhile_is_compared_with(recipes, tmp_path):
    """The gate decides again before the push, and what it refuses then is not pushed."""
    elsewhere = recipes["B"].push.model_copy(update={"model_dir": str(tmp_path / "elsewhere")})
    other = steps.Job(recipes["B"].model_copy(update={"push": elsewhere}))
    steps.run(other, "pusher")
    model = other.done["exporter"].path / "saved_model"

    job = steps.Job(recipes["A"])
    pushes_between(job, model)
    result = steps.run(job, "pusher")
    assert (result["pushed"], result["version"]) == (True, 2)
    gate = json.loads((job.done["evaluator"].path / "gate.json").read_text())
    assert gate["against"] == versions.identity(job.model_dir / "1")
    assert gate["gain"] is not None

    strict = recipes["A"].evaluate.model_copy(update={"min_gain": 2.0})
    push = recipes["A"].push.model_copy(update={"model_dir": str(tmp_path / "strict")})
    recipe = recipes["A"].model_copy(update={"evaluate": strict, "push": push})
    job = steps.Job(recipe)
    pushes_between(job, model)
    with pytest.raises(errors.Refused, match="is not enough"):
        steps.run(job, "pusher")
    assert versions.versions(job.model_dir) == [1]
    kept = json.loads((job.run_dir / "result.json").read_text())
    assert kept["pushed"] is False
    assert "is not enough" in kept["refused"]
    assert kept["metrics"]["top1"] is not None


def test_a_changed_pace_goes_on_with_the_same_training(recipes):
    job = steps.Job(recipes["A"])
    trained = steps.run(job, "trainer")["artifacts"]["trainer"]
    paced = {"checkpoint_minutes": 1.0, "log_steps": 3, "keep": 5}
    train = recipes["A"].train.model_copy(update=paced)
    again = steps.run(steps.Job(recipes["A"].model_copy(update={"train": train})), "trainer")
    assert again["artifacts"]["trainer"] == trained
    assert "trainer" in again["cached"]


def test_a_folder_that_cannot_be_pushed_to_is_named_before_work_is_done(recipes, tmp_path):
    (tmp_path / "file").write_text("no folder")
    push = recipes["A"].push.model_copy(update={"model_dir": str(tmp_path / "file")})
    job = steps.Job(recipes["A"].model_copy(update={"push": push}))
    with pytest.raises(errors.UsageError, match=r"push\.model_dir .*can be written to"):
        steps.run(job, "pusher")
    assert not job.artifacts.exists()
