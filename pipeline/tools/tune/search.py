"""The search: which values are tried, how long each is trained, and what is left in its folder.

Values are drawn by optuna: all combinations where there are no more than trials, else by the
tree-structured Parzen estimator (Bergstra 2011). Successive halving (Li 2018, ASHA): each trial is
trained for a first few epochs and judged; only those in the best third so far go on, three times as
long, up to the recipe's epochs. A training that goes on does so from its checkpoint.

Trials are judged on data.val, where there is one, not on data.test: what is chosen by a split is
not measured by it.
FOLDER holds study.db, tune.json (all trials), best.yaml (the recipe with the best values, judged on
its own test split again) and a run folder per trial; records and artifacts lie in the recipe's own
run folder. A search that is stopped goes on where it was.
"""

from __future__ import annotations

import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from convoy.models import tasks
from convoy.pipeline import config, steps
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import ConfigError, UsageError
from convoy.pipeline.tools import own_process
from convoy.pipeline.tools.benchmark import aligned
from convoy.pipeline.tools.tune import space as spaces
from convoy.pipeline.tools.tune.space import Space

try:
    import optuna
except ImportError:  # an extra
    optuna = None

FACTOR, RUNGS = 3, 3
RESULT, BEST, STUDY = "tune.json", "best.yaml", "study.db"
Measure = Callable[[Recipe, pathlib.Path], float]


class TrialFailed(RuntimeError):
    """One trial; the others go on."""


def run(
    recipe: Recipe,
    space: Space,
    folder: pathlib.Path,
    *,
    trials: int,
    halving: bool,
    tell: Callable[[str], None],
    measure: Measure | None = None,
) -> dict:
    """Tries until there are `trials` of them; returns {"best", "metric", "trials", "recipe"}.

    measure: of a recipe and its run folder, the metric; by default it is trained and evaluated in
    a process of its own. Raises UsageError, ValueError where every trial failed.
    """
    if optuna is None:
        raise UsageError('convoy tune needs optuna: pip install "convoy-vision[tune]"')
    if recipe.data.val is None:
        tell(
            f"no data.val: trials are judged on data.test, {recipe.data.test}, so that its numbers "
            "afterwards are those of the luckiest of them"
        )
    folder.mkdir(parents=True, exist_ok=True)
    top = steps.Job(recipe).run_dir
    measure = measure or (lambda changed, place: _trained(changed, place, top / "artifacts"))
    steps_up = rungs(recipe) if halving else [recipe.train.epochs]
    study = _study(recipe, space, folder, trials, steps_up)
    left = trials - len(_ended(study))

    def objective(trial: optuna.Trial) -> float:
        started = time.time()
        values = {key: part.ask(trial, key) for key, part in space.items()}
        place = folder / "trials" / f"{trial.number:03d}"
        for rung, epochs in enumerate(steps_up):
            try:
                changed = judged_on_val(spaces.applied(recipe, values), epochs, place)
                found = measure(changed, place)
            except (ConfigError, TrialFailed) as error:
                trial.set_user_attr("error", str(error))
                tell(f"{trial.number}: {_words(values)}: failed: {error}")
                raise TrialFailed(str(error)) from error
            trial.report(found, FACTOR**rung)
            trial.set_user_attr("epochs", epochs)
            trial.set_user_attr("seconds", round(time.time() - started, 1))
            tell(f"{trial.number}: {_words(values)}: {metric_of(recipe)} {found:.4f} "
                 f"after {epochs:g} epochs")  # fmt: skip
            if rung + 1 < len(steps_up) and trial.should_prune():
                raise optuna.TrialPruned
        return found

    def keep(*_) -> None:
        _write(study, recipe, folder)

    if left > 0:
        study.optimize(objective, n_trials=left, catch=(TrialFailed,), callbacks=[keep])
    result = _write(study, recipe, folder)
    if not result["best"] and result["trials"]:
        why = result["trials"][0].get("error", "")
        raise ValueError(f"none of {len(result['trials'])} trials could be trained: {why}")
    return result


def rungs(recipe: Recipe) -> list[float]:
    """Epochs after which trials are compared, the recipe's last; one where trainings do not grow:
    stages, and heads on features.
    """
    most = recipe.train.epochs
    if recipe.train.stages or recipe.train.mode == "extract":
        return [most]
    if most <= 1:
        return [most]
    return sorted({most, *(max(1.0, most // FACTOR**power) for power in range(1, RUNGS))})


def judged_on_val(recipe: Recipe, epochs: float, run_dir: pathlib.Path) -> Recipe:
    """A trial's recipe: evaluated on what it is chosen by, compared with nothing that is pushed."""
    raw = recipe.model_dump(mode="json")
    raw["run_dir"] = str(run_dir)
    raw["data"]["test"] = raw["data"]["val"] or raw["data"]["test"]
    raw["push"]["model_dir"] = ""
    raw["train"]["epochs"] = epochs
    return config.parse(raw, recipe.name)


def metric_of(recipe: Recipe) -> str:
    """What the gate looks at; more is better."""
    return recipe.evaluate.metric or tasks.row(recipe.task).gate


def _study(recipe: Recipe, space: Space, folder: pathlib.Path, trials: int, steps_up) -> Any:
    """The study of a folder, new or gone on with. Raises UsageError for one of something else."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{(folder / STUDY).absolute()}",
        study_name="tune",  # one per folder, whatever its recipe is called
        # In steps of the report: 1, 3, 9. A number that is not an int would stand for "auto".
        pruner=optuna.pruners.SuccessiveHalvingPruner(1, FACTOR),
        direction="maximize",
        load_if_exists=True,
    )
    # A search that goes on draws other numbers than those of its beginning.
    seed, count = recipe.seed + len(study.trials), spaces.size(space)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        every = count is not None and count <= trials
        samplers = optuna.samplers
        study.sampler = (samplers.BruteForceSampler if every else samplers.TPESampler)(seed=seed)
    told = recipe.model_dump(mode="json", exclude={"run_dir", "on_push", "on_failure"})
    about = {"space": spaces.said(space), "recipe": told, "epochs": steps_up}
    known = study.user_attrs.get("about")
    if known is None:
        study.set_user_attr("about", about)
    elif known != about:
        what = [key for key, value in about.items() if known.get(key) != value]
        raise UsageError(
            f"{folder}: holds a search with another {' and '.join(what)}: name another folder, or "
            "remove it"
        )
    _again(study)
    return study


def _again(study: Any) -> None:
    """Puts the trials that were stopped half-way first in line, each once."""
    running, fail = optuna.trial.TrialState.RUNNING, optuna.trial.TrialState.FAIL
    known = study.user_attrs.get("again", [])
    for trial in study.get_trials():
        if trial.state == running:  # of a process that was killed
            study.tell(trial.number, state=fail)
        if trial.state == running or (_stopped(trial) and trial.number not in known):
            known = [*known, trial.number]
            study.enqueue_trial(trial.params)
    study.set_user_attr("again", known)


def _stopped(trial: Any) -> bool:
    return trial.state == optuna.trial.TrialState.FAIL and "error" not in trial.user_attrs


def _ended(study: Any) -> list:
    """The trials that have a result, if only a failure."""
    found = study.get_trials(deepcopy=False)
    return [trial for trial in found if trial.state.is_finished() and not _stopped(trial)]


def _write(study: Any, recipe: Recipe, folder: pathlib.Path) -> dict:
    """tune.json and best.yaml, as far as the search is."""
    metric = metric_of(recipe)
    rows = [_row(trial, metric) for trial in _ended(study)]
    good = [row for row in rows if row["state"] == "trained"]
    best = max(good, key=lambda row: row[metric], default=None)
    result = {"metric": metric, "best": best, "trials": rows, "recipe": ""}
    if best:
        path = folder / BEST
        write_bytes(path, config.dump(spaces.applied(recipe, best["values"])).encode())
        result["recipe"] = str(path)
    write_json(folder / RESULT, result)
    return result


def _row(trial: Any, metric: str) -> dict:
    states = {"COMPLETE": "trained", "PRUNED": "stopped early", "FAIL": "failed"}
    last = max(trial.intermediate_values, default=0)
    row = {
        "trial": trial.number,
        "values": {key: _plain(trial, key) for key in trial.params},
        metric: trial.intermediate_values.get(last),
        "epochs": trial.user_attrs.get("epochs", 0),
        "state": states[trial.state.name],
        "seconds": trial.user_attrs.get("seconds"),
    }
    return row | ({"error": trial.user_attrs["error"]} if "error" in trial.user_attrs else {})


def _plain(trial: Any, key: str) -> Any:
    value = trial.params[key]
    chosen = isinstance(trial.distributions[key], optuna.distributions.CategoricalDistribution)
    return config.recipe_yaml.read(value) if chosen else value


def text(result: Mapping[str, Any]) -> str:
    """The trials for people, the best first."""
    metric = result["metric"]
    rows = sorted(result["trials"], key=lambda row: (-(row["epochs"] or 0), -(row[metric] or 0)))
    lines = [["trial", metric, "epochs", "state", "values"]]
    for row in rows:
        number = "–" if row[metric] is None else f"{row[metric]:.4f}"
        words = _words(row["values"]) + (f"  {row['error']}" if "error" in row else "")
        lines.append([str(row["trial"]), number, f"{row['epochs']:g}", row["state"], words])
    return aligned(lines)


def _words(values: Mapping[str, Any]) -> str:
    parts = (f"{v:.4g}" if isinstance(v, float) else f"{v}" for v in values.values())
    return " ".join(f"{key}={part}" for key, part in zip(values, parts, strict=True))


def _trained(recipe: Recipe, place: pathlib.Path, store: pathlib.Path) -> float:
    """The metric of a recipe, trained in a process of its own. Raises TrialFailed, Interrupted."""
    arguments = {"recipe": recipe.model_dump(mode="json"), "store": str(store)}
    made = own_process.call("convoy.pipeline.tools.tune.search", arguments, place / "row.json")
    if "error" in made:
        raise TrialFailed(made["error"].removeprefix(f"recipe {recipe.name}: "))
    return made["metric"]


def _measured(recipe: dict, store: str, tell: Callable[[str], None]) -> dict:
    """In the process of one training."""
    changed = config.parse(recipe)
    job = steps.Job(changed, tell=tell, store=pathlib.Path(store))
    metrics = steps.run(job, "evaluator")["metrics"]
    found = metrics.get(metric_of(changed))
    if found is None:
        raise ValueError(f"{metric_of(changed)} has no value on {changed.data.test}")
    return {"metric": float(found)}


if __name__ == "__main__":
    sys.exit(own_process.answer(_measured))
