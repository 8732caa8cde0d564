"""What both protocols of a server answer from."""

from __future__ import annotations

import dataclasses

from convoy.serving.manager import Manager
from convoy.serving.metrics import Metrics


@dataclasses.dataclass(frozen=True)
class Service:
    """The models, what a request may hold, and where calls are counted."""

    manager: Manager
    max_pixels: int  # of a picture, see serving/limits.py; 0 = any
    metrics: Metrics
