"""Networks: `build`, `list_models`, `describe`. Knows nothing of data, pipeline or Beam."""

from convoy.models.registry import (
    backbone_of,
    build,
    build_task,
    describe,
    list_models,
    takes_of,
    tasks_of,
)

__all__ = ["backbone_of", "build", "build_task", "describe", "list_models", "takes_of", "tasks_of"]
