"""What components read beside each other's artifacts: raw data, weights, what is pushed.

Each function takes a job and the artifacts that the component declares, and returns inputs that are
added to them, or take their place.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

from convoy.pipeline import versions
from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.job import Job
from convoy.pipeline.networks import trained
from convoy.pipeline.validation import data_checks

Inputs = Mapping[str, Artifact | pathlib.Path]


def inputs(job: Job, name: str, declared: Inputs) -> Inputs:
    """Of a component."""
    return OUTSIDE[name](job, declared) if name in OUTSIDE else {}


def source(job: Job, _: Inputs) -> Inputs:
    """The data set; the embedded one is built where it is not there."""
    data = job.recipe.data
    if data.format.startswith("tfds:"):
        from convoy.data.sources import tfds

        return {"source": pathlib.Path(tfds.folder(data.path, data.format.partition(":")[2]))}
    if not data.path:
        raise ConfigError("data.path is empty: it must name the folder of the data set")
    path = pathlib.Path(data.path)
    if data.format == "digits":
        if job.plan and not path.exists():
            return {"source": Artifact(path, "to be built", cached=False)}
        from convoy.data.sources import digits

        digits.build(path, seed=job.recipe.seed)
    if not path.exists():
        raise FileNotFoundError(
            f"data.path {path}: no such folder (looked in {pathlib.Path.cwd()})"
        )
    return {"source": path}


def weights(job: Job, _: Inputs) -> Inputs:
    """Trained networks that the recipe starts from: other weights are another result."""
    networks = job.recipe.model.features or (job.recipe.model,)
    paths = [trained.find(part.init_from) for part in networks if part.init_from]
    named = [part.weights for part in networks if part.weights not in (None, "imagenet")]
    files = [pathlib.Path(name).expanduser() for name in named]
    paths += [path for path in files if path.exists()]  # not: an address
    return {f"init{number}": path for number, path in enumerate(paths)}


def schema(job: Job, declared: Inputs) -> Inputs:
    """The schema that is edited by hand, and the statistics of the last valid data."""
    statistics, inferred = declared["statistics"], declared["schema"]
    return data_checks.inputs(job.run_dir, job.recipe.validate, statistics, inferred, job.plan)


def pushed(job: Job, declared: Inputs) -> Inputs:
    """The newest pushed version that is of another training than this one.

    A training is not compared with itself. What it was compared with when it was pushed stays its
    comparison, so that a rerun is all cache.
    """
    version = versions.newest(job.model_dir, but=declared["model"].key)
    return {} if version is None else {"pushed": versions.folders(job.model_dir)[version]}


def raw(job: Job, declared: Inputs) -> Inputs:
    """The data set, and the file by which proposals are made: another file, other proposals."""
    found = source(job, declared)
    if job.recipe.ingest.edge_model:
        path = pathlib.Path(job.recipe.ingest.edge_model).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"ingest.edge_model {path}: no such file")
        found = {**found, "edge_model": path}
    return found


OUTSIDE = {
    "example_gen": raw,
    "example_validator": schema,
    "feature_gen": weights,
    "trainer": weights,
    "evaluator": pushed,
}
