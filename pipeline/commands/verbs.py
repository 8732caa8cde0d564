"""All verbs of the command line, in the order of the help: their modules, and what they do.

A verb's module is imported when it is called, so that the help imports none of them.
"""

from __future__ import annotations

import importlib

from convoy.pipeline.commands.verb import Verb

# name: (module of this folder, what it does)
VERBS = {
    "digits": ("digits", "build the embedded data set, a small VOC devkit of handwritten digits"),
    "fetch": (
        "fetch",
        "fetch a public data set, verified and resumable; without a name, list them",
    ),
    "doctor": (
        "doctor",
        "find what is wrong with a data set: duplicates, labels, boxes; exit code 3 over limits",
    ),
    "init": ("init", "propose a recipe for a data set: task, network, input, batch, epochs, time"),
    "ingest": ("ingest", "turn pictures and annotations into TFRecords (Beam)"),
    "convert": (
        "convert",
        "write records, or predictions, as a COCO, VOC, YOLO or class-folder data set",
    ),
    "anchors": (
        "anchors",
        "suggest anchors for a detector by k-means of the boxes (model.anchors of YOLO)",
    ),
    "preview": (
        "preview",
        "draw the first batches as the loss will see them: augmented, with their targets",
    ),
    "validate": (
        "validate",
        "check the data: schema, drift, skew, leakage, boxes, priors; refused with exit code 3",
    ),
    "statistics": ("recipes", "count what the records hold"),
    "schema": ("recipes", "infer what the records must look like"),
    "train": ("recipes", "train a network; run again to resume"),
    "evaluate": ("recipes", "metrics, report and the gate's verdict"),
    "verify": ("recipes", "serve the export and send real requests"),
    "push": (
        "recipes",
        "push the blessed model as the next version, or go back to the version before",
    ),
    "run": (
        "recipes",
        "all of it, from raw pictures to a pushed model; unchanged steps are not repeated",
    ),
    "export": (
        "export",
        "write the SavedModel, or files for other runtimes; of a run also where its gate refused",
    ),
    "compare": ("compare", "train a recipe in several modes of transfer and put them side by side"),
    "tune": (
        "tune",
        "search values of a recipe's keys: trials judged on data.val, the worse ones stopped early",
    ),
    "prune": (
        "prune",
        "leave out the channels that a trained network's task does not use, then fine-tune",
    ),
    "grid": ("grid", "train, or time, detectors on several backbones; draw accuracy against time"),
    "runs": ("runs", "list trainings: data, metrics, what was pushed or refused and why"),
    "look": ("look", "look at data, results and runs in a browser, and try a model"),
    "ui": ("ui", "open Dagster's web UI with the recipe's assets and schedule"),
    "serve": ("serve", "serve pushed models by TF Serving's gRPC and REST protocols"),
    "predict": (
        "predict",
        "run a trained model on pictures and videos and draw what it finds; or on sentences",
    ),
    "benchmark": (
        "benchmark",
        "time networks forward and backward on this machine, beside keras.applications",
    ),
    "worst": ("worst", "draw the pictures that an evaluation got most wrong, by kind of error"),
    "explain": (
        "explain",
        "look inside: filters, feature maps, occlusion map and Grad-CAM of one picture",
    ),
    "style": ("style", "paint a picture in the style of another one (Gatys 2016)"),
    "models": (
        "models",
        "list the networks; show the layers of one, at any input size, and draw it",
    ),
}


def load(name: str) -> Verb:
    """One of VERBS."""
    module = importlib.import_module(f"convoy.pipeline.commands.{VERBS[name][0]}")
    return module.VERBS[name] if hasattr(module, "VERBS") else module.VERB
