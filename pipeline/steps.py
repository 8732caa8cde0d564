"""The pipeline of a recipe: which component runs on what. Command line and Dagster call this.

raw data -> example_gen -> statistics_gen -> schema_gen -> example_validator -> trainer -> evaluator
-> exporter -> infra_validator -> pusher. Each but the last leaves a content-addressed artifact, so
what did not change is not done again. The three about the data refuse before training costs time.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import pathlib
from collections.abc import Callable

from convoy.pipeline.artifacts import Artifact, execute, write_bytes, write_json
from convoy.pipeline.components import pusher
from convoy.pipeline.config import Model, Recipe, dump
from convoy.pipeline.errors import ConfigError, Refused
from convoy.pipeline.networks import trained
from convoy.pipeline.tools.ingest_folder import summary
from convoy.pipeline.validation import data_checks, recipe_checks

NAMES = (
    "example_gen",
    "statistics_gen",
    "schema_gen",
    "example_validator",
    "trainer",
    "evaluator",
    "exporter",
    "infra_validator",
    "pusher",
)

CHECKS = ("statistics_gen", "schema_gen", "example_validator")
TOLD = ("splits", "objects", "rejected_by_reason", "warnings")  # of an ingest, to people

# What a component's result depends on besides inputs and parameters: its sources.
CODE = {
    "example_gen": ("data", "pipeline/components/example_gen.py"),
    "statistics_gen": (
        "data/statistics",
        "data/example.py",
        "pipeline/components/statistics_gen.py",
    ),
    "schema_gen": ("pipeline/validation", "pipeline/components/schema_gen.py"),
    "example_validator": (
        "models",
        "pipeline/networks/network.py",
        "pipeline/validation",
        "pipeline/report/plots.py",
        "pipeline/report/pages.py",
        "pipeline/report/page.html",
        "pipeline/report/parts.html",
        "pipeline/report/validation.html",
        "pipeline/components/example_validator.py",
    ),
    "trainer": (
        "models",
        "data/input",
        "data/augment",
        "pipeline/training",
        "pipeline/networks/network.py",
        "pipeline/components/trainer.py",
    ),
    "feature_gen": (
        "models",
        "data/input",
        "pipeline/networks/network.py",
        "pipeline/components/feature_gen.py",
    ),
    "evaluator": (
        "models",
        "pipeline/evaluation",
        "pipeline/report",
        "pipeline/tasks",
        "pipeline/components/evaluator.py",
    ),
    "exporter": ("models", "serving", "pipeline/components/exporter.py"),
    "infra_validator": ("serving", "pipeline/components/infra_validator.py"),
}


@dataclasses.dataclass
class Job:
    """One recipe being run."""

    recipe: Recipe
    plan: bool = False  # only say what would run
    tell: Callable[[str], None] = lambda _: None
    done: dict[str, Artifact] = dataclasses.field(default_factory=dict)
    store: pathlib.Path | None = None  # of artifacts, another run's; None = RUN_DIR/artifacts

    @property
    def run_dir(self) -> pathlib.Path:
        return pathlib.Path(self.recipe.run_dir or f"runs/{self.recipe.name}").absolute()

    @property
    def model_dir(self) -> pathlib.Path:
        """TF Serving's base path of this model: it holds the version folders."""
        top = self.recipe.push.model_dir
        return (pathlib.Path(top).absolute() if top else self.run_dir / "served") / self.recipe.name


def run(job: Job, upto: str) -> dict:
    """Runs the steps up to `upto`; returns what `--json` prints.

    Raises errors.Refused when the data is not valid, or when the gate refuses and a later step was
    asked for.
    """
    if "TF_CONFIG" in os.environ and not job.plan and "trainer" in needed(upto):
        from convoy.pipeline.training import strategy

        strategy.build(job.recipe.train.strategy)  # before anything uses TensorFlow
    if "trainer" in needed(upto):
        recipe_checks.run(job.recipe)
    if not job.plan:
        job.run_dir.mkdir(parents=True, exist_ok=True)
        write_bytes(job.run_dir / "config.yaml", dump(job.recipe).encode())
        if job.store and not (job.run_dir / "artifacts").exists():  # for later runs of the recipe
            target = os.path.relpath(job.store, job.run_dir)
            (job.run_dir / "artifacts").symlink_to(target, target_is_directory=True)
    result: dict = {"run_dir": str(job.run_dir), "model_dir": str(job.model_dir), "pushed": False}
    for name in needed(upto):
        if name in ("exporter", "infra_validator", "pusher") and not job.plan:
            _check_gate(job)
        if name == "pusher":
            if job.plan:
                job.tell("pusher: would push a blessed model")
            else:
                result.update(_push(job))
            break
        if name in job.done:
            continue
        job.done[name] = _step(job, name)
        job.tell(f"{name}: {_state(job, name)} {job.done[name].path}")
        if name == "example_gen" and not job.plan:
            result["ingest"] = summary(job.done[name].path)
            job.tell("  " + json.dumps({k: result["ingest"][k] for k in TOLD}))
        if name == "example_validator" and not job.plan:
            result["validation"] = data_checks.conclude(
                job.run_dir, job.done["statistics_gen"], job.done[name].path, not _follower()
            )
        if name == "trainer" and _follower():
            break
        if name == "evaluator" and not job.plan:
            report = job.done[name].path / "report.html"
            write_bytes(job.run_dir / "report.html", report.read_bytes())
    result["cached"] = [name for name, artifact in job.done.items() if artifact.cached]
    result["artifacts"] = {name: str(artifact.path) for name, artifact in job.done.items()}
    result["metrics"] = _metrics(job)
    if not job.plan and not _follower():
        write_json(job.run_dir / "result.json", result)
    return result


def needed(upto: str) -> list[str]:
    """The steps up to one; the data is checked where that is asked for, and in a whole run."""
    names = NAMES[: NAMES.index(upto) + 1]
    return [name for name in names if name not in CHECKS or upto in (*CHECKS, "pusher")]


def _step(job: Job, name: str) -> Artifact:
    component = importlib.import_module(f"convoy.pipeline.components.{name}")
    return execute(
        name,
        component.run,
        inputs=_inputs(job, name),
        params=component.params_of(job.recipe),
        store=job.store or job.run_dir / "artifacts",
        code=CODE[name],
        plan=job.plan,
        follow=name == "trainer" and _follower(),
    )


def _state(job: Job, name: str) -> str:
    return "cached" if job.done[name].cached else "would run" if job.plan else "done"


def _inputs(job: Job, name: str) -> dict[str, Artifact | pathlib.Path]:
    done = job.done
    if name == "example_gen":
        return {"source": _source(job)}
    if name == "schema_gen":
        return {"statistics": done["statistics_gen"]}
    if name == "example_validator":
        return data_checks.inputs(
            job.run_dir, job.recipe.validate, done["statistics_gen"], done["schema_gen"], job.plan
        )
    if name == "statistics_gen":
        return {"examples": done["example_gen"]}
    if name in ("feature_gen", "trainer"):
        inputs = {"examples": done["example_gen"], **_weights(job.recipe.model)}
        if name == "trainer" and job.recipe.train.mode == "extract":
            inputs["features"] = done["feature_gen"] = _step(job, "feature_gen")
            job.tell(f"feature_gen: {_state(job, 'feature_gen')} {done['feature_gen'].path}")
        return inputs
    if name == "evaluator":
        inputs = {"examples": done["example_gen"], "model": done["trainer"]}
        pushed = _pushed(job)
        # The pushed model is its own equal: comparing it with itself would only cost time.
        if pushed and _source_of(pushed) != done["trainer"].key:
            inputs["pushed"] = pushed
        return inputs
    if name == "exporter":
        return {
            "examples": done["example_gen"],
            "model": done["trainer"],
            "evaluation": done["evaluator"],
        }
    return {"export": done["exporter"], "examples": done["example_gen"]}


def _weights(model: Model) -> dict[str, pathlib.Path]:
    """Trained networks that the recipe starts from: other weights are another result."""
    networks = model.features or (model,)
    paths = [trained.find(part.init_from) for part in networks if part.init_from]
    named = [part.weights for part in networks if part.weights not in (None, "imagenet")]
    files = [pathlib.Path(name).expanduser() for name in named]
    paths += [path for path in files if path.exists()]  # not: an address
    return {f"init{number}": path for number, path in enumerate(paths)}


def _source(job: Job) -> Artifact | pathlib.Path:
    data = job.recipe.data
    if data.format.startswith("tfds:"):
        from convoy.data.sources import tfds

        return pathlib.Path(tfds.folder(data.path, data.format.partition(":")[2]))
    if not data.path:
        raise ConfigError("data.path is empty: it must name the folder of the data set")
    path = pathlib.Path(data.path)
    if data.format == "digits":
        if job.plan and not path.exists():
            return Artifact(path, "to be built", cached=False)
        from convoy.data.sources import digits

        digits.build(path, seed=job.recipe.seed)
    if not path.exists():
        raise FileNotFoundError(
            f"data.path {path}: no such folder (looked in {pathlib.Path.cwd()})"
        )
    return path


def _pushed(job: Job) -> pathlib.Path | None:
    """The newest pushed version, if any."""
    if not job.model_dir.is_dir():
        return None
    newest = max(pusher.versions(job.model_dir), default=None)
    return None if newest is None else job.model_dir / str(newest)


def _source_of(version: pathlib.Path) -> str:
    """Key of the training that a pushed version came from."""
    path = version / "assets.extra" / "source.json"
    return json.loads(path.read_text())["trainer"] if path.exists() else ""


def verdict(job: Job) -> dict:
    """The gate's decision of a job that ran the evaluator: {"blessed", "reasons", "text"}."""
    return json.loads((job.done["evaluator"].path / "gate.json").read_text())


def _check_gate(job: Job) -> None:
    decided = verdict(job)
    if not decided["blessed"]:
        raise Refused(f"{' '.join(decided['reasons'])} Report: {job.run_dir / 'report.html'}")


def _push(job: Job) -> dict:
    """Runs the pusher: its output lies outside the store, so it has no artifact of its own."""
    inputs = {
        "export": job.done["exporter"].path,
        "evaluation": job.done["evaluator"].path,
        "infra_validation": job.done["infra_validator"].path,
    }
    where = job.recipe.push.model_copy(update={"model_dir": str(job.model_dir.parent)})
    pusher.run(inputs, pusher.Params(name=job.recipe.name, push=where), job.run_dir)
    pushed = json.loads((job.run_dir / "pushed.json").read_text())
    path = job.model_dir / str(pushed["version"])
    job.tell(f"pusher: {'new version' if pushed['new'] else 'already there'} {path}")
    return {
        "pushed": True,
        "version": pushed["version"],
        "new": pushed["new"],
        "pushed_path": str(path),
    }


def _metrics(job: Job) -> dict:
    if job.plan or "evaluator" not in job.done:
        return {}
    metrics = json.loads((job.done["evaluator"].path / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if v is None or isinstance(v, (int, float))}


def _follower() -> bool:
    """Whether TF_CONFIG makes this process a worker that is not the chief."""
    config = json.loads(os.environ.get("TF_CONFIG") or "{}")
    return int(config.get("task", {}).get("index", 0)) > 0
