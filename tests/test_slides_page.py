"""What docs/slides.md says is true: its Python runs, its names exist, its numbers are exact."""

from __future__ import annotations

import doctest
import importlib.util
import math
import pathlib
import re

import pytest
import yaml

from convoy import models
from convoy.data.augment.policy import POLICIES
from convoy.models import structure
from convoy.pipeline import config
from convoy.pipeline.commands.verbs import VERBS
from convoy.pipeline.tools import model_table

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "slides.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
TEXT = re.sub(r"```python\n.*?```", "", PAGE, flags=re.DOTALL)
COMMANDS = re.findall(r"^    (convoy .+)$", TEXT, flags=re.MULTILINE)
MARKED = sorted({*re.findall(r"`([^`]+)`", TEXT), *COMMANDS})
NETWORKS = set(models.list_models())


def test_its_python_runs():
    """Blocks one after the other, as in one session."""
    source = "\n".join(BLOCKS)
    found = doctest.DocTestParser().get_doctest(source, {}, "slides.md", "docs/slides.md", 0)
    said: list[str] = []
    runner = doctest.DocTestRunner()
    runner.run(found, out=said.append)
    assert not runner.failures, "".join(said)
    assert runner.tries > 40


@pytest.mark.parametrize("token", MARKED)
def test_every_name_is_known(token):
    if token.startswith("convoy "):
        _check_command(token.split()[1:])
    elif token.startswith("configs/"):
        config.load(ROOT / token)
    elif ": " in token:  # of a recipe
        _check_setting(*token.split(": "))
    elif "." in token and token.split(".")[0] in config.Recipe.model_fields:
        _check_key(token)
    elif re.fullmatch(r"\w+(\.\w+)+", token):
        module, _, name = token.rpartition(".")
        assert hasattr(_module(module), name)
    elif token not in ("--diagram FILE.png", ".venv/bin/python"):
        assert token in NETWORKS


def _check_command(words: list[str]) -> None:
    verb, *rest = words
    assert verb in VERBS
    settings = [rest[n + 1] for n, word in enumerate(rest) if word == "--set"]
    plain = [word for word in rest if word not in ("--set", *settings)]
    if verb in ("models", "benchmark"):
        named = [w for w in plain if not w.startswith("--") and not w.endswith(".png")]
        named = [word for word in named if word != "NAME" and not word.isdecimal()]
        assert {model_table.parse(word)[0] for word in named} <= NETWORKS
    recipes = [word for word in plain if word.endswith(".yaml")]
    for recipe in recipes:
        config.load(ROOT / recipe, settings)
    assert recipes or not settings


def _check_setting(key: str, value: str) -> None:
    if key == "augment":
        assert value in POLICIES
    else:
        raw = {"name": "a", "task": "classification"}
        config.override_key(raw, f"{key}={value}")
        assert config.parse(raw)
        assert yaml.safe_load(value) == value


def _check_key(key: str) -> None:
    section, name = key.split(".")
    assert name in config.Recipe.model_fields[section].annotation.model_fields


def _module(name: str):
    for package in ("convoy.models", "convoy.models.classification"):
        if importlib.util.find_spec(f"{package}.{name}"):
            return importlib.import_module(f"{package}.{name}")
    raise AssertionError(f"no module {name}")


def test_every_network_for_pictures_and_words_is_on_it():
    assert {*models.list_models("classification"), *models.list_models("text")} <= {*MARKED}


def test_large_numbers_are_the_networks_own():
    """Seven digits and more, on a line that names networks: their parameters or their work."""
    checked = 0
    for line in TEXT.splitlines():
        named = {word.partition("@")[0] for word in re.findall(r"[a-z]\w+", line)} & NETWORKS
        for number in re.findall(r"\d{1,3}(?:,\d{3}){2,}", line):
            if "arithmetic." in line:
                continue
            infos = [models.describe(name) for name in named]
            known = {count for info in infos for count in (info.params, info.macs)}
            assert int(number.replace(",", "")) in known, f"{number}: {line}"
            checked += 1
    assert checked >= 8


def test_alexnets_neurons_are_counted():
    found = structure.lines(model_table.build("alexnet"))
    neurons = sum(math.prod(line.size) for line in found if line.macs)
    assert f"{neurons:,} outputs of layers with weights" in TEXT


def test_every_linked_file_is_there():
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
