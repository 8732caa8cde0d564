"""Fetch public data sets."""

from __future__ import annotations

from convoy.pipeline.commands.verb import Verb
from convoy.pipeline.tools import fetch_sets

VERB = Verb(
    "[NAME] -o DIR [--offline] [--mirror URL]",
    ("convoy fetch voc2007 -o VOC2007", "convoy fetch mnist -o mnist --offline --json"),
    fetch_sets.run,
    fetch_sets.define,
)
