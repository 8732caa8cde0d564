"""Records back to a data set."""

from __future__ import annotations

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.tools import convert

VERB = Verb(
    "write records back as a COCO, VOC, YOLO or class-folder data set",
    "RECORDS --to coco|voc|yolo|folder -o DIR",
    (
        "convoy convert records --to coco -o exported",
        "convoy convert records --to yolo -o for_yolo --json",
    ),
    convert.verb,
    convert.define,
)
