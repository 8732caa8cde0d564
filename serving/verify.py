"""Does the exported SavedModel answer like the network, where nothing of Convoy is installed?"""

from __future__ import annotations

import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

import numpy as np

from convoy.serving.compare import difference

SCRIPT = pathlib.Path(__file__).with_name("v1_check.py")


class VerificationError(RuntimeError):
    """The SavedModel does not load or does not answer as it must."""


def verify(
    path: str | os.PathLike,
    reference: Callable[[Sequence[bytes]], dict[str, np.ndarray]] | None,
    samples: Sequence[bytes],
    *,
    tolerance: float = 0.02,
    iou_threshold: float = 0.45,
    timeout_s: float = 300.0,
) -> dict[str, np.ndarray]:
    """Answers of the SavedModel for `samples`, from a fresh process with TensorFlow's V1 loader.

    reference: e.g. `serving.export.in_memory(task, ...)`; None = only that it answers at all.
    The answers hold a further entry `modules`: the top-level modules of that process.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, answer = pathlib.Path(folder, "request.json"), pathlib.Path(folder, "answer.npz")
        encoded = [base64.b64encode(sample).decode() for sample in samples]
        request.write_text(json.dumps({"samples": encoded}))
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT), str(path), str(request), str(answer)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        if done.returncode != 0:
            raise VerificationError(
                f"{path}: the SavedModel does not answer in a fresh process:\n{done.stderr[-2000:]}"
            )
        with np.load(answer) as arrays:
            answers = dict(arrays)
    if reference is not None:
        check(reference(samples), answers, tolerance, iou_threshold)
    return answers


def check(expected, answers, tolerance: float, iou_threshold: float = 0.45) -> None:
    """Raises VerificationError where the scores are further apart than `tolerance`."""
    apart = difference(expected, answers, iou_threshold)
    if apart > tolerance:
        raise VerificationError(
            f"scores of the SavedModel in a fresh process differ by {apart:.4g} from the network "
            f"in memory, expected at most {tolerance}"
        )
