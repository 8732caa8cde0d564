"""What is tried: `key=values` of the command line as the values that a key may take.

train.learning_rate=1e-4..1e-2:log    numbers between the two, evenly on a log scale
model.dropout=0..0.5                  numbers; whole ones where both ends are whole
train.optimizer=adamw,sgd             one of these
model.input_size=[[96,96],[128,128]]  one of a YAML list
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from convoy.pipeline import config, recipe_yaml
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import ConfigError, UsageError

if TYPE_CHECKING:
    import optuna

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?")
FIXED = ("train.epochs", "data.", "evaluate.", "run_dir", "task", "push.", "schedule")  # see search


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of `values`, of which each is JSON text, as optuna keeps strings alone."""

    values: tuple[str, ...]

    def ask(self, trial: optuna.Trial, key: str) -> Any:
        return json.loads(trial.suggest_categorical(key, self.values))

    def ends(self) -> list:
        return [json.loads(value) for value in self.values]


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones where both are int."""

    low: float
    high: float
    log: bool

    def ask(self, trial: optuna.Trial, key: str) -> Any:
        whole = isinstance(self.low, int)
        suggest = trial.suggest_int if whole else trial.suggest_float
        return suggest(key, self.low, self.high, log=self.log)

    def ends(self) -> list:
        return [self.low, self.high]


Space = Mapping[str, Choice | Range]


def parse(words: Sequence[str], recipe: Recipe) -> Space:
    """Raises UsageError for words that say no values, ConfigError for keys and values that the
    recipe does not take, each tried by itself.
    """
    space: dict[str, Choice | Range] = {}
    for word in words:
        key, separator, text = (part.strip() for part in word.partition("="))
        if not separator or not key or not text:
            raise UsageError(f"--try {word}: expected section.key=A..B, A..B:log, or A,B,C")
        if key in space:
            raise UsageError(f"--try {key}: is there twice")
        if key.startswith(FIXED):
            raise UsageError(f"--try {key}: is what trials are compared by; set it in the recipe")
        space[key] = _values(word, text)
    for key, values in space.items():
        for value in values.ends():
            applied(recipe, {key: value})
    return space


def _values(word: str, text: str) -> Choice | Range:
    if found := _RANGE.fullmatch(text):
        ends = [yaml.safe_load(end) if end.lstrip("+-").isdigit() else float(end)
                for end in found.group(1, 2)]  # fmt: skip
        low, high = ends if all(isinstance(end, int) for end in ends) else map(float, ends)
        if low >= high:
            raise UsageError(f"--try {word}: expected the smaller number first")
        if found[3] and low <= 0:
            raise UsageError(f"--try {word}: a log scale has no {low}")
        return Range(low, high, bool(found[3]))
    try:
        listed = recipe_yaml.read(text if text.startswith("[") else f"[{text}]")
    except (yaml.YAMLError, recipe_yaml.RepeatedKey) as error:
        raise UsageError(f"--try {word}: not values as YAML writes them") from error
    values = tuple(dict.fromkeys(json.dumps(value) for value in listed))
    if len(values) < 2:
        raise UsageError(f"--try {word}: expected two values or more")
    return Choice(values)


def applied(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these values. Raises ConfigError."""
    raw = recipe.model_dump(mode="json", exclude_unset=True)
    for key, value in values.items():
        try:
            config.override_key(raw, f"{key}={json.dumps(value)}")
        except ConfigError as error:
            raise ConfigError(str(error).replace("--set", "--try")) from error
    return config.parse(raw, recipe.name)


def size(space: Space) -> int | None:
    """How many combinations there are; None where numbers are drawn."""
    count = 1
    for values in space.values():
        if isinstance(values, Range):
            return None
        count *= len(values.values)
    return count


def said(space: Space) -> dict[str, Any]:
    """As JSON, to compare with an earlier one."""
    return {key: [type(values).__name__, *map(json.dumps, values.ends()),
                  getattr(values, "log", False)] for key, values in space.items()}  # fmt: skip
