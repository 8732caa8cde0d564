"""docs/detectors.md: its commands parse, its numbers are those of the code."""

from __future__ import annotations

import pathlib
import re
import shlex

import pytest

from convoy.data.augment import tta
from convoy.data.images import images
from convoy.models import suppression
from convoy.models.tasks import TASKS
from convoy.pipeline import cli
from convoy.pipeline.commands import arguments
from convoy.pipeline.commands.verbs import load
from convoy.pipeline.evaluation import kinds, views

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "detectors.md"
TEXT = PAGE.read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command):
    program, name, *words = shlex.split(command)
    assert program == "convoy"
    values = cli._flag_values(load(name))
    positional, beam = arguments.parse(values, words, load(name).passes_flags)
    assert positional
    assert not beam


def test_there_are_commands_of_each_kind():
    assert {shlex.split(command)[1] for command in COMMANDS} == {"predict", "evaluate", "grid"}


def test_kinds_are_those_that_are_counted():
    found, suppressed = (
        re.findall(r"^\| (\w+) \| ", part, re.MULTILINE) for part in TEXT.split("## Which boxes go")
    )
    assert sorted(found[1:]) == sorted(kinds.KINDS)
    assert suppressed[1:] == list(suppression.RULES)
    assert (kinds.FOREGROUND, kinds.BACKGROUND) == (0.5, 0.1)


def test_numbers_are_those_of_the_code():
    assert f"within {views.CUT:.0%} of".replace("%", " %") in TEXT
    assert f"holds {views.HELD:.0%} of it".replace("%", " %") in TEXT
    assert views.DISCOUNT == 0.5
    assert views.TOGETHER == 8
    assert f"{views.MOST_TILES:,} tiles" in TEXT
    assert images.MAX_PIXELS == 100_000_000
    windows = [view.window for view in tta.zooms((100, 100), 1.25)]
    assert len(windows) == 4
    assert windows[0] == (0, 0, 80, 80)
    assert {name for name, row in TASKS.items() if row.views} == {"classification", "detection"}
