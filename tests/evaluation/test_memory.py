"""An evaluation's memory is bounded: it holds no pictures, and of a detection a few numbers."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE_BYTES = 100_000  # 900 MB more of them at 10,000 pictures than at 1,000
MORE_MB = {"classification": 10, "detection": 110}  # 128 bytes for each of 900,000 detections


def peak_mb(task: str, pictures: int) -> float:
    command = [sys.executable, "-m", "tests.evaluation.memory"]
    done = subprocess.run(
        [*command, task, str(pictures), str(IMAGE_BYTES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    numbers = json.loads(done.stdout)
    assert numbers["shown"] == 12
    return numbers["peak_mb"]


@pytest.mark.slow
@pytest.mark.parametrize("task", MORE_MB)
def test_ten_times_the_pictures_take_little_more(task):
    assert peak_mb(task, 10_000) < peak_mb(task, 1_000) + MORE_MB[task]
