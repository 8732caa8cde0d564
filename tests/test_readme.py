"""What the README says is true: its commands exist, its recipes load, its table is the registry."""

from __future__ import annotations

import pathlib
import re

import pytest

from convoy import models
from convoy.pipeline import config
from convoy.pipeline.commands.verbs import VERBS
from tests import networks_page

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
