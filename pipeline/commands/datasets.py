"""Verbs on data: make, fetch, ingest, convert, look at, check."""

from __future__ import annotations

import json
import pathlib

from absl import flags

from convoy.pipeline import steps
from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools import convert, fetch_sets

RECIPE_FLAGS = ("set", "weights", "dry_run")


def _digits_flags(values: flags.FlagValues) -> None:
    flags.DEFINE_integer("seed", 0, "Other pictures for another seed.", flag_values=values)


def _digits(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    if len(words) != 1:
        raise UsageError("expected one folder to build the devkit in")
    from convoy.data.sources import digits

    digits.build(pathlib.Path(words[0]), seed=values.seed)
    print(words[0])
    return {"path": str(pathlib.Path(words[0]).absolute())}


def _ingest_flags(values: flags.FlagValues) -> None:
    recipes.define(values)
    flags.DEFINE_string("input", None, "Folder of a data set, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Folder for the records, with --input.", values)
    flags.DEFINE_string(
        "format", "auto", "Of --input; auto finds it, docs/data.md lists all.", values
    )


def _ingest(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if words:
        why = "a recipe says where the data is and where its records go"
        arguments.unused(values, ("input", "output", "format"), why)
        return recipes.upto("example_gen")(words, values, beam)
    if not values.input or not values.output:
        raise UsageError("expected a recipe file, or --input DIR --output DIR")
    arguments.unused(values, RECIPE_FLAGS, "with --input there is no recipe")
    from convoy.pipeline.tools import ingest_folder

    result = ingest_folder.run(values.input, values.output, values.format, beam)
    print(result["output"])
    return result


def _validate_flags(values: flags.FlagValues) -> None:
    recipes.define(values)
    flags.DEFINE_string("records", None, "Folder of records, instead of a recipe.", values)
    flags.DEFINE_string("output", None, "Run folder, with --records.", values, short_name="o")


def _validate(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if words:
        arguments.unused(values, ("records", "output"), "a recipe says where its records are")
        return recipes.upto("example_validator")(words, values, beam)
    if not values.records or not values.output:
        raise UsageError("expected a recipe file, or --records DIR --output DIR")
    arguments.unused(values, ("dry_run", "weights"), "with --records nothing is trained")
    from convoy.pipeline.tools import validate_records

    result = validate_records.run(values.records, values.output, values.set, beam, recipes.say)
    print(result["validation"]["summary"])
    print(result["validation"]["report"])
    return result


def _preview_flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    flags.DEFINE_string("output", None, "Folder for the pictures.", values, short_name="o")
    flags.DEFINE_integer("batches", 3, "How many to draw.", flag_values=values)


def _preview(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    if not values.output:
        raise UsageError("expected a recipe file and -o DIR")
    recipe = recipes.load(words, values, beam)
    job = steps.Job(recipe, tell=recipes.say)
    steps.run(job, "example_gen")
    from convoy.pipeline.tools import preview

    records = job.done["example_gen"].path
    result = preview.run(recipe, records, pathlib.Path(values.output), values.batches)
    for path in result["pictures"]:
        print(path)
    return result


def _anchors_flags(values: flags.FlagValues) -> None:
    recipes.define_changes(values)
    text = "How many shapes; otherwise as many as the network has, from 3 to 12."
    flags.DEFINE_integer("count", None, text, lower_bound=1, flag_values=values)


def _anchors(words: list[str], values: flags.FlagValues, beam: list[str]) -> dict:
    recipe = recipes.load(words, values, beam)
    job = steps.Job(recipe, tell=recipes.say)
    steps.run(job, "statistics_gen")
    statistics = job.done["statistics_gen"]
    labels = json.loads((statistics.path / "statistics.json").read_text())["labels"]
    from convoy.pipeline.tools import suggest_anchors

    result = suggest_anchors.run(recipe, statistics, labels, values.count)
    print(suggest_anchors.text(result))
    return result


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
            f"convoy ingest {recipes.VOC} --set data.path=VOCdevkit -- --direct_num_workers=2",
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
    "anchors": Verb(
        "suggest anchors for a detector by k-means of the boxes (model.anchors of YOLO)",
        "RECIPE [--count N]",
        (
            f"convoy anchors {recipes.VOC} --set model.name=yolov3_tiny --set data.path=VOCdevkit",
            f"convoy anchors {recipes.VOC} --set data.path=VOCdevkit --count 5 --json",
        ),
        _anchors,
        _anchors_flags,
        passes_flags=True,
    ),
    "preview": Verb(
        "draw the first batches as the loss will see them: augmented, with their targets",
        "RECIPE -o DIR [--batches N]",
        (
            f"convoy preview {recipes.VOC} -o preview --set data.path=VOCdevkit",
            f"convoy preview {recipes.FOLDER} -o preview --set augment=slides --json",
        ),
        _preview,
        _preview_flags,
        passes_flags=True,
    ),
    "validate": Verb(
        "check the data: schema, drift, skew, leakage, boxes, priors; refused with exit code 3",
        "RECIPE | --records DIR --output DIR",
        (
            f"convoy validate {recipes.VOC} --set data.path=VOCdevkit --set validate.max_empty=0.5",
            "convoy validate --records records -o checked --set data.train=trainval --json",
        ),
        _validate,
        _validate_flags,
        passes_flags=True,
    ),
}
