"""Does the exported SavedModel answer like the network, where nothing of Convoy is installed?"""

from __future__ import annotations

import base64
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from convoy.models import tasks
from convoy.serving import questions
from convoy.serving.questions import Question

PAYLOAD = "samples"  # the entry of the request that holds pictures or sentences
SCRIPT = pathlib.Path(__file__).with_name("v1_check.py")


class VerificationError(RuntimeError):
    """The SavedModel does not load or does not answer as it must."""


def verify(
    path: str | os.PathLike,
    reference: Callable[[Sequence[bytes | Question]], dict[str, np.ndarray]] | None,
    samples: Sequence[bytes | Question],
    *,
    tolerance: float = 0.02,
    timeout_s: float = 300.0,
) -> dict[str, np.ndarray]:
    """Answers of the SavedModel for `samples`, from a fresh process with TensorFlow's V1 loader.

    reference: e.g. `serving.export.in_memory(task, ...)`; None = only that it answers at all.
    The answers hold a further entry `modules`: the top-level modules of that process.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = pathlib.Path(folder, "request.json"), pathlib.Path(folder, "answer.npz")
        arrays = questions.inputs(samples, PAYLOAD)
        encoded = [base64.b64encode(sample).decode() for sample in arrays.pop(PAYLOAD)]
        given = {
            name: [[base64.b64encode(text).decode() for text in row] for row in values]
            if name in questions.STRINGS
            else values.tolist()
            for name, values in arrays.items()
        }
        request.write_text(json.dumps({"samples": encoded, "given": given}))
        process = subprocess.run(
            [sys.executable, "-I", str(SCRIPT), str(path), str(request), str(answer)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if process.returncode != 0:
            raise VerificationError(
                f"{path}: the SavedModel does not answer in a fresh process:\n"
                f"{process.stderr[-2000:]}"
            )
        with np.load(answer) as arrays:
            answers = dict(arrays)
    if reference is not None:
        check(reference(samples), answers, tolerance, difference_of(pathlib.Path(path)))
    return answers


def difference_of(path: pathlib.Path) -> Callable:
    """`models.spec.Task.difference` of an exported model's task."""
    report = json.loads((path / "assets.extra" / "export_report.json").read_text())
    return importlib.import_module(tasks.row(report["task"]).module).difference


def check(expected, answers, tolerance: float, difference: Callable) -> None:
    """Raises VerificationError where the answers are further apart than `tolerance`."""
    distance = difference(expected, answers)
    if distance > tolerance:
        raise VerificationError(
            f"answers of the SavedModel in a fresh process differ by {distance:.4g} from the "
            f"network in memory, expected at most {tolerance}"
        )
