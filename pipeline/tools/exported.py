"""What a user means by MODEL: the SavedModel to ask, whether it was pushed or not.

A run's folder stands for what it pushed. Where its gate refused, or the run ended before, it stands
for the export of its training, which is made here as the exporter makes it: the run's own exporter
finds it done.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

from convoy.pipeline import config, steps, store
from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.components import exporter
from convoy.pipeline.evaluation.worst import records_of as records_evaluated
from convoy.pipeline.networks import saved, trained
from convoy.pipeline.versions import folders, read, trainer_of
from convoy.serving.runtimes import files


def find(path: str | pathlib.Path, tell: Callable[[str], None]) -> pathlib.Path:
    """The SavedModel of a model's folder, an exporter's, a trainer's or a run's.

    A file for another runtime, or its folder, is that folder.

    tell: gets a sentence where the model was not pushed. Raises FileNotFoundError, ValueError.
    """
    path = pathlib.Path(path)
    if files.is_folder(path.parent) and path.is_file():
        path = path.parent  # model.onnx for its folder
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder; expected a run's folder or a model's")
    if files.is_folder(path):
        return path
    if (path / trained.META).exists():
        return _of_training(path, tell)
    if path.name == saved.SERVED and is_run(path.parent) and not saved.find(path):
        path = path.parent  # nothing is in it yet
    if not is_run(path):
        model = saved.find(path)
        if model is None:
            raise FileNotFoundError(
                f"{path}: expected a run's folder, a SavedModel or a folder of numbered ones, "
                "found none of them"
            )
        return model
    result = read(path / "result.json")
    model = pushed(path, result)
    if model is None:
        return of_run(path, tell=tell)
    if "refused" in result:
        tell(f"{model} was pushed before; the run's newest training was not: {result['refused']}")
    return model


def is_run(path: pathlib.Path) -> bool:
    """Whether a folder is a run's."""
    return (path / "config.yaml").is_file() and (path / "artifacts").is_dir()


def pushed(run: pathlib.Path, result: dict) -> pathlib.Path | None:
    """The newest version that a run pushed, also where its folder has moved."""
    base = pathlib.Path(result.get("model_dir", run / "served"))
    return saved.find(base) or saved.find(run / "served" / base.name)


def of_run(
    run: pathlib.Path, changes: Sequence[str] = (), *, tell: Callable[[str], None]
) -> pathlib.Path:
    """The export of a run's newest training, made where it is missing; nothing is pushed.

    changes: `export.key=value`. Raises FileNotFoundError where it is not trained or not evaluated.
    """
    trainer = trained.find(run)
    evaluation = evaluation_of(run, trainer)
    records = records_evaluated(evaluation)
    recipe = config.load(run / "config.yaml", changes)
    inputs = {"examples": records, "model": trainer, "evaluation": evaluation}
    known = {name: Artifact(folder, folder.name, True) for name, folder in inputs.items()}
    for name, content in exporter.BY_CONTENT.items():
        known[name] = store.of_files(known[name], content)
    how = {
        "inputs": known,
        "params": exporter.params_of(recipe),
        "store": evaluation.parents[1],
        "code": steps.code(exporter, recipe),
    }
    made = store.execute("exporter", exporter.run, **how, plan=True)
    if not made.cached:
        tell(f"exporter: of {trainer}, which takes a moment, once")
        made = store.execute("exporter", exporter.run, **how)
    if not _is_pushed(run, trainer.name):
        verdict = read(evaluation / "gate.json").get("summary", "")
        tell(f"{made.path / saved.EXPORT} was not pushed. {verdict}")
    return made.path / saved.EXPORT


def records_of(run: pathlib.Path) -> pathlib.Path:
    """The records that a run's newest training was evaluated on."""
    return records_evaluated(evaluation_of(run, trained.find(run)))


def _is_pushed(run: pathlib.Path, training: str) -> bool:
    """Whether a version of the run's model is of this training."""
    base = pathlib.Path(read(run / "result.json").get("model_dir", run / "served"))
    found = folders(base).values() if base.is_dir() else ()
    return any(trainer_of(version) == training for version in found)


def evaluation_of(run: pathlib.Path, trainer: pathlib.Path) -> pathlib.Path:
    """The newest evaluation of a training, in the store where that lies."""
    found = [
        made
        for made in trainer.parents[1].glob("evaluator/*/run.json")
        if not made.parent.suffix
        and pathlib.Path(json.loads(made.read_text())["inputs"]["model"]).name == trainer.name
    ]
    if not found:
        raise FileNotFoundError(
            f"{run}: its training {trainer.name} has not been evaluated, so it is not exported: "
            f"run `convoy evaluate {run / 'config.yaml'}`"
        )
    return max(found, key=lambda made: made.stat().st_mtime).parent


def _of_training(trainer: pathlib.Path, tell: Callable[[str], None]) -> pathlib.Path:
    """The export of a trainer's folder that is there, or the run's where it is of this one."""
    for made in trainer.parents[1].glob(f"exporter/*/{saved.EXPORT}"):
        if trainer_of(made) == trainer.name and not made.parent.suffix:
            return made
    run = trainer.parents[2] if len(trainer.parents) > 2 else trainer
    if is_run(run) and trained.find(run).resolve() == trainer.resolve():
        return of_run(run, tell=tell)
    raise FileNotFoundError(
        f"{trainer}: is a training without an export: give the run's folder, or "
        "`convoy export` its recipe"
    )
