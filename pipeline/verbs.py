"""What each verb of the command line does; only those that need TensorFlow import it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import sys

from absl import flags

from pipeline import config, convert, fetch_sets, steps
from pipeline.artifacts import write_bytes
from pipeline.cli import UsageError, Verb, set_up_logs


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- recipes ---------------------------------------------------------------------------------


def _recipe_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_multi_string("set", [], "section.key=value, as in the recipe.", flag_values=values)
    flags.DEFINE_bool("dry_run", False, "Only say what would run.", flag_values=values)


def _upto(step: str):
    """A verb that runs a recipe's pipeline up to one step."""

    def run(words: list[str], values: flags.FlagValues, unknown: list[str]) -> dict:
        recipe = _load(words, values, unknown)
        result = steps.run(steps.Job(recipe, plan=values.dry_run, tell=_say), step)
        for name, value in result["metrics"].items():
            print(f"{name} {value:.4f}" if value is not None else f"{name} -")
        for name, path in result["artifacts"].items():
            print(f"{name}: {path}")
        if "validation" in result:
            print(result["validation"]["text"])
        if result["pushed"]:
            print(f"pushed: {result['pushed_path']}")
        return result

    return run


def _load(words: list[str], values: flags.FlagValues, unknown: list[str]) -> config.Recipe:
    if len(words) != 1:
        raise UsageError(f"expected one recipe file, got {words or 'none'}")
    recipe = config.load(words[0], values.set)
    if not unknown:
        return recipe
    ingest = recipe.ingest.model_copy(update={"beam": (*recipe.ingest.beam, *unknown)})
    return recipe.model_copy(update={"ingest": ingest})


# --- data ------------------------------------------------------------------------------------


def _digits_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("seed", 0, "Other pictures for another seed.", flag_values=values)


def _digits(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError("expected one folder to build the devkit in")
    from data.sources import digits

    digits.build(pathlib.Path(words[0]), seed=values.seed)
    print(words[0])
    return {"path": str(pathlib.Path(words[0]).absolute())}


def _ingest_flags(values: flags.FlagValues) -> None:
    _recipe_flags(values)
    flags.DEFINE_string("input", None, "Folder of a data set, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Folder for the records, with --input.", values)
    flags.DEFINE_string(
        "format", "auto", "Of --input; auto finds it, docs/data.md lists all.", values
    )


def _ingest(words: list[str], values: flags.FlagValues, unknown: list[str]) -> dict:
    if words:
        return _upto("example_gen")(words, values, unknown)
    if not values.input or not values.output:
        raise UsageError("expected a recipe file, or --input DIR --output DIR")
    from pipeline import ingest_folder

    result = ingest_folder.run(values.input, values.output, values.format, unknown)
    print(result["output"])
    return result


def _validate_flags(values: flags.FlagValues) -> None:
    _recipe_flags(values)
    flags.DEFINE_string("records", None, "Folder of records, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Run folder, with --records.", values, short_name="o")


def _validate(words: list[str], values: flags.FlagValues, unknown: list[str]) -> dict:
    if words:
        return _upto("example_validator")(words, values, unknown)
    if not values.records or not values.output:
        raise UsageError("expected a recipe file, or --records DIR --output DIR")
    from pipeline import validate_records

    result = validate_records.run(values.records, values.output, values.set, unknown, _say)
    print(result["validation"]["text"])
    print(result["validation"]["report"])
    return result


# --- models ----------------------------------------------------------------------------------


def _models(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    import models

    try:
        rows = [_row(models.describe(name)) for name in (words or models.list_models())]
    except ValueError as error:
        raise UsageError(str(error)) from error
    print(f"{'name':<22} {'task':<15} {'parameters':>12} {'MACs':>15} {'input':<12} paper")
    for row in rows:
        size = "x".join(map(str, row["input"]))
        print(
            f"{row['name']:<22} {row['task']:<15} {row['params']:>12,} {row['macs']:>15,} "
            f"{size:<12} {row['paper']} ({row['year']})"
        )
    return rows[0] if len(words) == 1 else {"models": rows}


def _row(info) -> dict:
    row = dataclasses.asdict(info)
    keys = ("name", "task", "params", "macs", "num_classes", "paper", "year")
    return {
        **{key: row[key] for key in keys},
        "input": [*info.preprocess.size, info.preprocess.channels],
    }


# --- serving ---------------------------------------------------------------------------------


def _serve_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("port", 8500, "gRPC.", flag_values=values)
    flags.DEFINE_integer("rest_api_port", 8501, "REST.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)
    flags.DEFINE_string("name", None, "Model name; default: the folder's.", flag_values=values)
    flags.DEFINE_string("versions", "latest", "latest, all, or a number.", flag_values=values)


def _serve(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError("expected one model folder")
    from serving import server

    set_up_logs(max(values.verbosity, 0))  # which versions come and go is worth a line
    server.serve(
        words[0],
        name=values.name,
        host=values.host,
        port=values.port,
        rest_api_port=values.rest_api_port,
        versions=values.versions,
    )
    return {"stopped": True}


def _predict_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_string("output", ".", "Folder for pictures and JSON.", values, short_name="o")
    flags.DEFINE_float("score", 0.5, "Draw detections from this score on.", flag_values=values)


def _predict(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) < 2:
        raise UsageError("expected a model folder and at least one picture")
    from pipeline import predict_pictures

    model, *pictures = words
    rows = predict_pictures.run(model, pictures, pathlib.Path(values.output), values.score)
    for row in rows:
        print(row.get("picture") or f"{row['image']}: {row['error']}")
    failed = [row for row in rows if "error" in row]
    if failed:
        raise ValueError(f"{len(failed)} of {len(rows)} pictures failed: {failed[0]['error']}")
    return {"output": values.output, "predictions": rows}


# --- Dagster ---------------------------------------------------------------------------------


def _ui_flags(values: flags.FlagValues) -> None:
    _recipe_flags(values)
    flags.DEFINE_integer("port", 3000, "Of the web UI.", flag_values=values)
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on.", flag_values=values)


def _ui(words: list[str], values: flags.FlagValues, unknown: list[str]) -> dict:
    job = steps.Job(_load(words, values, unknown))
    home = job.run_dir / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    write_bytes(home / "dagster.yaml", b"telemetry:\n  enabled: false\n")
    recipe = home / "recipe.yaml"
    write_bytes(recipe, config.dump(job.recipe).encode())
    command = [sys.executable, "-m", "dagster", "dev", "-m", "pipeline.definitions"]
    command += ["-h", values.host, "-p", str(values.port)]
    environment = {**os.environ, "DAGSTER_HOME": str(home), "CONVOY_RECIPE": str(recipe)}
    schedule = job.recipe.schedule or "none"
    _say(f"Dagster on http://{values.host}:{values.port}; schedule: {schedule}")
    process = subprocess.Popen(command, env=environment)
    try:
        code = process.wait()
    except KeyboardInterrupt:  # Dagster got it too, and stops its own processes
        process.wait()
        return {"port": values.port}
    if code:
        raise RuntimeError(f"dagster dev ended with {code}; its messages are above")
    return {"port": values.port}


_VOC = "configs/voc_detection.yaml"
_FOLDER = "configs/folder_classification.yaml"


def _recipe_verb(step: str, summary: str, second: str, passes_flags: bool = False) -> Verb:
    verb = {"example_gen": "ingest", "statistics_gen": "statistics", "trainer": "train"}
    verb |= {"schema_gen": "schema"}
    verb |= {"evaluator": "evaluate", "exporter": "export", "infra_validator": "verify"}
    name = verb.get(step, "push")
    return Verb(
        summary,
        "RECIPE [--set section.key=value]...",
        (f"convoy {name} {_VOC} --set data.path=VOCdevkit", f"convoy {name} {second}"),
        _upto(step),
        _recipe_flags,
        passes_flags,
    )


VERBS = {
    "digits": Verb(
        "build the embedded data set, a small VOC devkit of handwritten digits",
        "DIR [--seed N]",
        ("convoy digits demo/digits", "convoy digits /tmp/digits --seed 7"),
        _digits,
        _digits_flags,
    ),
    "fetch": Verb(
        "fetch a public data set, verified and resumable; without a name, list them",
        "[NAME] -o DIR [--offline] [--mirror URL]",
        ("convoy fetch voc2007 -o VOC2007", "convoy fetch mnist -o mnist --offline --json"),
        fetch_sets.run,
        fetch_sets.define,
    ),
    "ingest": Verb(
        "turn pictures and annotations into TFRecords (Beam)",
        "RECIPE | --input DIR --output DIR [--format F]",
        (
            f"convoy ingest {_VOC} --set data.path=VOCdevkit --direct_num_workers=2",
            "convoy ingest --input pictures --output records --format folder --json",
        ),
        _ingest,
        _ingest_flags,
        passes_flags=True,
    ),
    "convert": Verb(
        "write records back as a COCO, VOC or YOLO data set",
        "RECORDS --to coco|voc|yolo -o DIR",
        (
            "convoy convert records --to coco -o exported",
            "convoy convert records --to yolo -o for_yolo --json",
        ),
        convert.verb,
        convert.define,
    ),
    "statistics": _recipe_verb("statistics_gen", "count what the records hold", _FOLDER, True),
    "schema": _recipe_verb("schema_gen", "infer what the records must look like", _FOLDER, True),
    "validate": Verb(
        "check the data: schema, drift, skew, leakage, boxes, priors; refused with exit code 3",
        "RECIPE | --records DIR --output DIR",
        (
            f"convoy validate {_VOC} --set data.path=VOCdevkit --set validate.max_empty=0.5",
            "convoy validate --records records -o checked --set data.train=trainval --json",
        ),
        _validate,
        _validate_flags,
        passes_flags=True,
    ),
    "train": _recipe_verb("trainer", "train a network; run again to resume", f"{_FOLDER} --json"),
    "evaluate": _recipe_verb("evaluator", "metrics, report and the gate's verdict", _FOLDER),
    "export": _recipe_verb("exporter", "write the SavedModel", f"{_VOC} --dry_run"),
    "verify": _recipe_verb("infra_validator", "serve the export and send real requests", _FOLDER),
    "push": _recipe_verb("pusher", "push the blessed model as the next version", f"{_VOC} --json"),
    "run": Verb(
        "all of it, from raw pictures to a pushed model; unchanged steps are not repeated",
        "RECIPE [--set section.key=value]...",
        (
            f"convoy run {_VOC} --set data.path=VOCdevkit",
            f"convoy run {_FOLDER} --set data.path=pictures --set train.epochs=20 --json",
        ),
        _upto("pusher"),
        _recipe_flags,
        passes_flags=True,
    ),
    "ui": Verb(
        "open Dagster's web UI with the recipe's assets and schedule",
        "RECIPE [--port N]",
        (f"convoy ui {_VOC}", f"convoy ui {_FOLDER} --port 3001"),
        _ui,
        _ui_flags,
    ),
    "serve": Verb(
        "serve pushed models by TF Serving's gRPC and REST protocols",
        "DIR [--port N] [--rest_api_port N]",
        ("convoy serve runs/demo/served", "convoy serve served/digits --port 9500 --versions all"),
        _serve,
        _serve_flags,
    ),
    "predict": Verb(
        "run a pushed model on pictures and draw what it finds",
        "MODEL IMAGE... -o DIR",
        (
            "convoy predict runs/demo/served/demo street.jpg -o out",
            "convoy predict served/cells/3 a.jpg b.jpg -o out --score 0.3 --json",
        ),
        _predict,
        _predict_flags,
    ),
    "models": Verb(
        "list the networks, or describe one",
        "[NAME]",
        ("convoy models", "convoy models ssd300_vgg16 --json"),
        _models,
    ),
}
