"""One recipe being run: where its files lie, and what it has made so far."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.config import Recipe


@dataclasses.dataclass
class Job:
    """One recipe being run."""

    recipe: Recipe
    plan: bool = False  # only say what would run
    tell: Callable[[str], None] = lambda _: None
    done: dict[str, Artifact] = dataclasses.field(default_factory=dict)
    store: pathlib.Path | None = None  # of artifacts, another run's; None = RUN_DIR/artifacts
    wait_s: float = 0.0  # for another run in the same folder

    @property
    def run_dir(self) -> pathlib.Path:
        return pathlib.Path(self.recipe.run_dir or f"runs/{self.recipe.name}").absolute()

    @property
    def artifacts(self) -> pathlib.Path:
        """The store."""
        return self.store or self.run_dir / "artifacts"

    @property
    def model_dir(self) -> pathlib.Path:
        """TF Serving's base path of this model: it holds the version folders."""
        top = self.recipe.push.model_dir
        return (pathlib.Path(top).absolute() if top else self.run_dir / "served") / self.recipe.name

    @property
    def follows(self) -> bool:
        """Whether TF_CONFIG makes this process a worker that is not the chief."""
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        return int(config.get("task", {}).get("index", 0)) > 0
