"""Until models.spec.Task has `answer`: the answers of serving.signatures by the old classes."""

from __future__ import annotations

import types

from convoy.models.spec import Detector, Localizer
from convoy.serving import signatures


def adapted(task):
    """A task with `answer(decoded, matrices, sizes, names)`."""

    def answer(decoded, matrices, sizes, names):
        if isinstance(task, Detector):
            return signatures.detections(decoded, matrices, sizes, names)
        if "chosen" in decoded:
            return signatures.several(decoded, names)
        answers = signatures.classification(decoded, names)
        if isinstance(task, Localizer):
            boxes = decoded["box"][:, None]
            answers["box"] = signatures.to_source(boxes, matrices, sizes)[:, 0]
        return answers

    return types.SimpleNamespace(
        model=task.model,
        decode=task.decode,
        answer=answer,
        tokens=getattr(task, "tokens", None),
    )
