"""Kill -9 or SIGTERM at any moment: the next run goes on and ends with the same bits."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

from convoy.pipeline import errors
from convoy.pipeline.components import trainer
from tests.training import train_once


@pytest.fixture(scope="module")
def uninterrupted(class_records, tmp_path_factory) -> pathlib.Path:
    workdir = tmp_path_factory.mktemp("uninterrupted")
    trainer.run({"examples": class_records}, train_once.params(model=DROPOUT), workdir)
    return workdir


DROPOUT = {"name": "mobilenet_v1", "input_size": [64, 64], "width": 0.25, "dropout": 0.3}


def _arrays(workdir: pathlib.Path) -> dict[str, np.ndarray]:
    newest = sorted((workdir / "checkpoints").glob("step-*.npz"))[-1]
    with np.load(newest) as file:
        return dict(file.items())


def _wait_for(pattern: str, folder: pathlib.Path, process: subprocess.Popen) -> None:
    """Until a file of that pattern exists; the process must not end before."""
    while not list(folder.glob(pattern)):
        assert process.poll() is None, "the process ended before it was to be stopped"
        time.sleep(0.01)


def test_kill_9_and_resume_gives_the_same_bits(class_records, uninterrupted, tmp_path):
    command = [sys.executable, "-m", "tests.training.train_once", str(class_records), str(tmp_path)]
    command += [
        "--model",
        '{"name": "mobilenet_v1", "input_size": [64, 64], "width": 0.25, "dropout": 0.3}',
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _wait_for("checkpoints/step-000000002.npz", tmp_path, process)
    process.kill()
    process.wait()
    stopped_at = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.npz"))[-1]
    assert stopped_at < "step-000000006.npz"
    trainer.run({"examples": class_records}, train_once.params(model=DROPOUT), tmp_path)
    expected, resumed = _arrays(uninterrupted), _arrays(tmp_path)
    assert expected.keys() == resumed.keys()
    assert any("seed" in name for name in expected), "dropout's random state is not saved"
    for name, value in expected.items():
        np.testing.assert_array_equal(value, resumed[name], err_msg=name)


def test_a_finished_training_run_again_changes_nothing(class_records, uninterrupted):
    before = _arrays(uninterrupted)
    trainer.run({"examples": class_records}, train_once.params(model=DROPOUT), uninterrupted)
    for name, value in _arrays(uninterrupted).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (signal.SIGTERM, errors.STOPPED),
        pytest.param(signal.SIGINT, errors.INTERRUPTED, marks=pytest.mark.slow),
    ],
)
def test_a_signal_saves_and_exits_with_its_code(tmp_path, kind, code):
    recipe = {
        "name": "stopped",
        "task": "multilabel",
        "run_dir": str(tmp_path / "run"),
        "data": {"format": "voc", "path": str(tmp_path / "digits")},
        "model": {"name": "lenet5"},
        "train": {"batch_size": 4, "epochs": 500, "log_steps": 1, "checkpoint_minutes": 1e-6},
    }
    from convoy.data.sources import digits

    digits.build(tmp_path / "digits", images=(8, 4))
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    command = [sys.executable, "-m", "convoy.pipeline.cli", "train", str(path), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for("run/artifacts/trainer/*/checkpoints/step-000000002.npz", tmp_path, process)
    process.send_signal(kind)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code == {"SIGTERM": 143, "SIGINT": 130}[kind.name], err
    assert "Traceback" not in err
    assert "run again to go on" in err
    assert f'"exit_code": {code}' in out.splitlines()[-1]
    assert not [p for p in (tmp_path / "run/artifacts/trainer").iterdir() if p.suffix == ""]
