"""The pipeline of a recipe: which component runs on what. Command line and Dagster call this.

raw data -> example_gen -> statistics_gen -> schema_gen -> example_validator -> trainer -> evaluator
-> exporter -> infra_validator -> pusher. Each but the last leaves a content-addressed artifact, so
what did not change is not done again. The three about the data refuse before training costs time.

A component's module declares what it reads:
    INPUTS      {name: component whose artifact it is}
    BY_CONTENT  {name: files of it}, where the component looks at these alone
    NOT_RUN     patterns of modules that it imports but never runs
    GROWS       a module that begins a larger artifact from a smaller one (store.Growth)
    params_of(recipe), asked_for(recipe)   its parameters; whether the recipe needs it at all
What its code is follows from its imports (closure.py), what else it reads is in outside.py.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pathlib
import tempfile
import time
import types
from collections.abc import Iterator

from convoy.pipeline import chosen, closure, locks, outside, retention
from convoy.pipeline.artifacts import Artifact, write_bytes, write_json
from convoy.pipeline.components import pusher
from convoy.pipeline.config import Recipe, dump
from convoy.pipeline.errors import Refused, UsageError
from convoy.pipeline.job import Job
from convoy.pipeline.manifest import lines, manifest_of, summary
from convoy.pipeline.store import execute, of_files
from convoy.pipeline.validation import data_checks, recipe_checks
from convoy.pipeline.versions import folders

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
TURNS = 3  # at most, that the gate decides while others push
BEHIND_THE_GATE = ("exporter", "infra_validator", "pusher")


def run(job: Job, upto: str) -> dict:
    """Runs the steps up to `upto`; returns what `--json` prints.

    Raises errors.Refused when the data is not valid, or when the gate refuses and a later step was
    asked for; locks.Held where another process runs in this folder.
    """
    _check(job, upto)
    result: dict = {"run_dir": str(job.run_dir), "model_dir": str(job.model_dir), "pushed": False}
    writes = not job.plan and not job.follows
    started = time.time()
    with _in_use(job) if writes else contextlib.nullcontext():
        closure.recall(_parsed_sources(job))
        try:
            _run(job, upto, result)
        except Refused as refusal:
            _keep(job, {**result, "refused": str(refusal)}, upto, started)
            raise
        _keep(job, result, upto, started)
        if writes:
            closure.keep(_parsed_sources(job))
    if writes and job.recipe.keep_runs:
        retention.after(job.artifacts, job.recipe.keep_runs, job.tell)
    return result


@contextlib.contextmanager
def _in_use(job: Job) -> Iterator[None]:
    """Makes the run folder, and keeps other processes out of it and from cleaning its store."""
    job.run_dir.mkdir(parents=True, exist_ok=True)
    lock = job.run_dir / locks.LOCK
    with locks.held(lock, str(job.run_dir), wait_s=job.wait_s, tell=job.tell):
        if job.store and not (job.run_dir / "artifacts").exists():  # for later runs of the recipe
            target = os.path.relpath(job.store, job.run_dir)
            (job.run_dir / "artifacts").symlink_to(target, target_is_directory=True)
        job.artifacts.mkdir(parents=True, exist_ok=True)
        with locks.shared(job.artifacts / locks.LOCK, f"{job.artifacts}, which is being cleaned,"):
            write_bytes(job.run_dir / "config.yaml", dump(job.recipe).encode())
            yield


def _keep(job: Job, result: dict, upto: str, started: float) -> None:
    """Completes the result of a run, and writes it where later commands look."""
    result["cached"] = [name for name, artifact in job.done.items() if artifact.cached]
    result["artifacts"] = {name: str(artifact.path) for name, artifact in job.done.items()}
    result["metrics"] = _metrics(job)
    if not job.plan and not job.follows:
        write_json(job.run_dir / "result.json", result)
        retention.note(job.artifacts, job.run_dir, upto, started, result["artifacts"])


def _run(job: Job, upto: str, result: dict) -> None:
    for name in needed(upto):
        if name in BEHIND_THE_GATE and not job.plan:
            _check_gate(job)
        if name == "pusher":  # its output lies outside the store: it has no artifact
            result.update(_push(job))
        elif name not in job.done:
            if name in ("example_validator", "trainer") and not job.plan:
                records = make(job, "example_gen").path
                data_checks.check_annotation(manifest_of(records), job.recipe)
            make(job, name)
            if name in AFTERWARDS and not job.plan:
                result.update(AFTERWARDS[name](job))
            if name == "trainer" and job.follows:
                break


def check_store(run_dir: pathlib.Path, store: pathlib.Path | None) -> None:
    """Raises UsageError for a run folder with artifacts of its own beside another run's `store`.

    What is made now would lie in that store, and later runs of the folder would not find it.
    """
    own = run_dir / "artifacts"
    if store and own.exists() and own.resolve() != store.resolve():
        raise UsageError(
            f"{run_dir}: is the folder of another run, with artifacts of its own; this one's are "
            f"in {store}: name a new folder, or one that this command made before"
        )


def needed(upto: str) -> list[str]:
    """The steps up to one; the data is checked where that is asked for, and in a whole run."""
    names = NAMES[: NAMES.index(upto) + 1]
    return [name for name in names if name not in CHECKS or upto in (*CHECKS, "pusher")]


def make(job: Job, name: str) -> Artifact:
    """The artifact of a component, made with all that it reads where it is not there."""
    if name in job.done:
        return job.done[name]
    module = component(name)
    job.done[name] = execute(
        name,
        module.run,
        inputs=inputs_of(job, name),
        params=module.params_of(job.recipe),
        store=job.artifacts,
        code=code(module, job.recipe),
        grows=getattr(module, "GROWS", None),
        plan=job.plan,
        follow=name == "trainer" and job.follows,
        tell=job.tell,
    )
    state = "cached" if job.done[name].cached else "would run" if job.plan else "done"
    job.tell(f"{name}: {state} {job.done[name].path}")
    return job.done[name]


def inputs_of(job: Job, name: str) -> dict[str, Artifact | pathlib.Path]:
    """What a component reads: others' artifacts, made where they are missing, and outside.py's."""
    module = component(name)
    inputs: dict[str, Artifact | pathlib.Path] = {
        key: make(job, other)
        for key, other in module.INPUTS.items()
        if _asked_for(other, job.recipe)
    }
    for key, files in getattr(module, "BY_CONTENT", {}).items():
        inputs[key] = of_files(inputs[key], files)
    inputs.update(outside.inputs(job, name, inputs))
    return inputs


def code(module: types.ModuleType, recipe: Recipe) -> str:
    """Hash of all code that a component's module runs for a recipe."""
    never = (*chosen.never(recipe), *getattr(module, "NOT_RUN", ()))
    return closure.of([module.__name__], chosen.choices(recipe), without=never).version


def component(name: str) -> types.ModuleType:
    return importlib.import_module(f"convoy.pipeline.components.{name}")


def _asked_for(name: str, recipe: Recipe) -> bool:
    return getattr(component(name), "asked_for", lambda _: True)(recipe)


def _check(job: Job, upto: str) -> None:
    """Looks at the recipe before work is done for it."""
    if "trainer" in needed(upto):
        if "TF_CONFIG" in os.environ and not job.plan:
            from convoy.pipeline.training import strategy

            strategy.build(job.recipe.train.strategy)  # before anything uses TensorFlow
        recipe_checks.run(job.recipe)
    check_store(job.run_dir, job.store)
    if "pusher" in needed(upto) and not job.plan:
        _check_writable(job.model_dir)  # not only after hours of training


def _check_writable(folder: pathlib.Path) -> None:
    """Raises UsageError where a model could not be pushed to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        raise UsageError(
            f"push.model_dir {folder}: expected a folder that can be written to: {error.strerror}"
        ) from None


def _parsed_sources(job: Job) -> pathlib.Path:
    return job.artifacts / "sources.json"


def _ingested(job: Job) -> dict:
    counts = summary(job.done["example_gen"].path)
    for line in lines(counts):
        job.tell(f"  {line}")
    return {"ingest": counts}


def _validated(job: Job) -> dict:
    statistics, validation = job.done["statistics_gen"], job.done["example_validator"].path
    return {
        "validation": data_checks.conclude(job.run_dir, statistics, validation, not job.follows)
    }


def _evaluated(job: Job) -> dict:
    folder = job.done["evaluator"].path
    write_bytes(job.run_dir / "report.html", (folder / "report.html").read_bytes())
    how = json.loads((folder / "metrics.json").read_text()).get("measured_with")
    return {"measured_with": how} if how else {}


# What a run shows of a finished step: a function of the job -> entries of the result.
AFTERWARDS = {
    "example_gen": _ingested,
    "example_validator": _validated,
    "evaluator": _evaluated,
}


def verdict(job: Job) -> dict:
    """The gate's decision of a job that ran the evaluator: {"blessed", "reasons", "summary"}."""
    return json.loads((job.done["evaluator"].path / "gate.json").read_text())


def _check_gate(job: Job) -> None:
    decided = verdict(job)
    if not decided["blessed"]:
        raise Refused(f"{' '.join(decided['reasons'])} Report: {job.run_dir / 'report.html'}")


def _push(job: Job) -> dict:
    """What the pusher did, as entries of the result."""
    if job.plan:
        job.tell("pusher: would push a blessed model")
        return {}
    again = {}
    for turn in range(TURNS):
        inputs = {name: job.done[source].path for name, source in pusher.INPUTS.items()}
        try:
            params = pusher.params_of(job.recipe, job.model_dir)
            pusher.run(inputs, params, job.run_dir, job.tell)
            break
        except pusher.Overtaken as news:
            if turn + 1 == TURNS:
                raise Refused(f"not pushed: {news}, {TURNS} times in a row; run again") from None
            job.tell(f"pusher: {news}: the gate decides again")
            again = _decide_again(job)
    pushed = json.loads((job.run_dir / "pushed.json").read_text())
    path = folders(job.model_dir)[pushed["version"]]
    job.tell(f"pusher: {pusher.summary(pushed)} {path}")
    versions = {key: pushed[key] for key in ("version", "new", "newest", "returned_from")}
    return {**again, "pushed": True, "pushed_path": str(path), **versions}


def _decide_again(job: Job) -> dict:
    """Compares with what is pushed now, as entries of the result. Raises Refused."""
    for name in ("evaluator", "exporter", "infra_validator"):
        job.done.pop(name)
    make(job, "evaluator")
    told = _evaluated(job)
    _check_gate(job)
    make(job, "infra_validator")
    return told


def _metrics(job: Job) -> dict:
    if job.plan or "evaluator" not in job.done:
        return {}
    metrics = json.loads((job.done["evaluator"].path / "metrics.json").read_text())
    return {k: v for k, v in metrics.items() if v is None or isinstance(v, (int, float))}
