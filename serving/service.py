"""What both protocols of a server answer from."""

from __future__ import annotations

import dataclasses

from convoy.serving.limits import Limits
from convoy.serving.manager import Manager
from convoy.serving.metrics import Metrics


@dataclasses.dataclass(frozen=True)
class Service:
    """The models, what a request may hold, and where calls are counted."""

    manager: Manager
    limits: Limits
    metrics: Metrics
