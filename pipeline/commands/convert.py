"""Records back to a data set."""

from __future__ import annotations

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.tools import convert

VERB = Verb(
    "RECORDS|PREDICTIONS --to coco|voc|yolo|folder -o DIR",
    (
        "convoy convert records --to coco -o exported",
        "convoy convert predictions --to yolo -o to_mend --score 0.3",
    ),
    convert.verb,
    convert.define,
)
