"""All verbs of the command line, in the order of the help; importing them imports no TensorFlow."""

from __future__ import annotations

from convoy.pipeline.commands import (
    anchors,
    benchmark,
    compare,
    convert,
    digits,
    doctor,
    explain,
    fetch,
    grid,
    ingest,
    models,
    predict,
    preview,
    prune,
    recipes,
    runs,
    serve,
    style,
    ui,
    validate,
)

VERBS = {
    "digits": digits.VERB,
    "fetch": fetch.VERB,
    "doctor": doctor.VERB,
    "ingest": ingest.VERB,
    "convert": convert.VERB,
    "anchors": anchors.VERB,
    "preview": preview.VERB,
    "validate": validate.VERB,
    **recipes.VERBS,
    "compare": compare.VERB,
    "prune": prune.VERB,
    "grid": grid.VERB,
    "runs": runs.VERB,
    "ui": ui.VERB,
    "serve": serve.VERB,
    "predict": predict.VERB,
    "benchmark": benchmark.VERB,
    "explain": explain.VERB,
    "style": style.VERB,
    "models": models.VERB,
}
