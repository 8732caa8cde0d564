"""What the README says is true: its commands exist, its recipes load, its table is the registry."""

from __future__ import annotations

import pathlib
import re

import pytest

from convoy import models
from convoy.pipeline import config
from convoy.pipeline.commands.verbs import VERBS
from tests import keys_page, networks_page

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))


def test_every_command_is_a_verb_and_every_verb_is_named():
    named = set(re.findall(r"convoy ([a-z]+)", README))
    listed = set(re.findall(r"`([a-z]+)`", README)) & VERBS.keys()
    assert named <= VERBS.keys()
    assert named | listed == VERBS.keys()


def test_every_make_target_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z]+)", README)) - {"the"}:
        assert f"\n{target}:" in makefile, target


def test_every_linked_file_is_there():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_names_a_network_of_its_task(path):
    recipe = config.load(path)
    assert recipe.task in models.tasks_of(recipe.model.name)


def test_the_page_of_networks_is_the_registry():
    assert networks_page.PAGE.read_text() == networks_page.text(), (
        "run python -m tests.networks_page"
    )


def test_the_page_of_keys_is_the_recipe():
    assert keys_page.PAGE.read_text() == keys_page.text(), "run python -m tests.keys_page"


def test_the_page_of_keys_takes_values_and_remarks_from_the_source():
    """By hand, of a comment behind, one above, a group's heading, a nested section."""
    rows = {line.split(" | ")[0].lstrip("| "): line for line in keys_page.text().splitlines()}
    assert rows["`data.holdout`"] == (
        '| `data.holdout` | number > 0 and < 1 | `0.2` | part hashed into "val" where the source '
        "has no splits |"
    )
    assert rows["`data.frames`"].endswith(
        "| pairs: 5 = with the two pictures before and the two behind it in its folder, by name |"
    )
    assert rows["`augment.flip_horizontal`"].endswith("| `0.0` | probability |")
    assert "| number > 0 | asked for |" in rows["`train.stages[].epochs`"]
    assert rows["`task`"].split(" | ")[2] == "asked for"
