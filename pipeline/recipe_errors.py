"""A mistake in a recipe as one line for people: where, what was expected, what came."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Sequence
from typing import Any

import pydantic

from convoy.pipeline.hints import COMMON, elsewhere, section_of

# What stands in a pair of numbers, by the key's name; elsewhere the lower end comes first.
PAIRS = {"input_size": "[height, width]", "randaugment": "[operations, magnitude]"}
# The key of a section that a single word most likely means.
FIRST_KEYS = {"model": "name", "data": "path", "push": "model_dir", "evaluate": "metric"}
FORMS = {
    "augment": "a policy or fields, e.g. slides, or {flip_horizontal: 0.5}",
    "class_weights": "weights by name, e.g. {cat: 2, dog: 0.5}",
}
_BRANCH = re.compile(r"(literal|tuple|dict|list)\[.*\]")  # what pydantic calls a form of a value


def meant(items: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """pydantic's errors; of a value with several forms, those of the form that was written.

    pydantic tries each form and complains of all. The one that was written is complained of inside;
    where none is, the value is of none of the forms, and the first stands for all.
    """
    forms: dict[tuple, list[dict[str, Any]]] = {}
    kept = []
    for item in items:
        path = item["loc"]
        at = next((i for i, part in enumerate(path) if _BRANCH.fullmatch(str(part))), None)
        if at is None:
            kept.append(item)
        else:
            inside = {**item, "loc": path[:at] + path[at + 1 :], "form": len(path) > at + 1}
            forms.setdefault(path[:at], []).append(inside)
    for several in forms.values():
        kept += [item for item in several if item["form"]] or several[:1]
    return kept


def explain(item: dict[str, Any], recipe: type[pydantic.BaseModel]) -> str:
    """One of pydantic's errors on a `recipe`."""
    path = item["loc"]
    where, kind, came = ".".join(map(str, path)), item["type"], item["input"]
    if kind == "extra_forbidden":
        return f"{where}: unknown key; {_meant(path, recipe)}"
    if kind == "literal_error":
        expected = item["ctx"]["expected"]
        words = re.findall(r"'([^']+)'", expected)
        close = difflib.get_close_matches(str(came).lower(), words, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}? " if close else ""
        form = f", or {FORMS[path[-1]]}" if path[-1] in FORMS else ""
        return f"{where}: {hint}expected {expected}{form}, got {came!r}"
    if kind == "string_type" and isinstance(came, (bool, int, float)):
        words = (
            "yes, no, on, off, true, false as text need" if isinstance(came, bool) else "it needs"
        )
        return f"{where}: expected text, got {came!r}; {words} quotes"
    if kind in ("tuple_type", "too_long", "missing") and (pair := _list_of(path, came, recipe)):
        return f"{where}: expected {pair}, got {came!r}"
    if kind == "model_type":
        key = FIRST_KEYS.get(path[-1]) if isinstance(came, str) else None
        form = f"keys, e.g. {{{key}: {came}}}" if key else FORMS.get(path[-1], "`key: value` lines")
        return f"{where}: expected {form}, got {came!r}"
    told = item["msg"].removeprefix("Value error, ")
    said = isinstance(came, str) and repr(came) in told
    return f"{where}: {told}" if said else f"{where}: {told}, got {came!r}"


def _meant(path: Sequence, recipe: type[pydantic.BaseModel]) -> str:
    """The key that an unknown one means: a common name, one of another section, a close one."""
    *parents, name = map(str, path)
    section = recipe
    for part in parents:
        if not part.isdecimal():
            section = section_of(section, part)
    for keys in (COMMON.get(name), [elsewhere(recipe, name)]):
        if keys and keys[0]:
            own = [last for key in keys if (last := key.split(".")[-1]) in section.model_fields]
            return f"did you mean {' or '.join(repr(key) for key in own or keys)}?"
    allowed = list(section.model_fields)
    close = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(allowed)}"


def _list_of(path: Sequence, came: Any, recipe: type[pydantic.BaseModel]) -> str:
    """What list a key takes, with an example made of what came; empty where it takes none."""
    keys = [str(part) for part in path if not isinstance(part, int)]
    section: type[pydantic.BaseModel] | None = recipe
    for part in keys[:-1]:
        section = section_of(section, part) if section else None
    if not section or keys[-1] not in section.model_fields:
        return ""
    annotation = section.model_fields[keys[-1]].annotation
    kinds = [kind for kind in (annotation, *typing.get_args(annotation)) if _is_tuple(kind)]
    if not kinds:
        return ""
    values = re.findall(r"[^\s,x;\[\]()]+", came) if isinstance(came, str) else [came]
    if isinstance(came, (list, tuple)):
        values = list(came)
    if typing.get_args(kinds[0])[-1] is Ellipsis:
        return f"a list, e.g. [{', '.join(map(str, values))}]" if came is not None else "a list"
    form = PAIRS.get(keys[-1], "[low, high]")
    if keys[-1] != "input_size" or not values or len(values) > 2:
        return f"two numbers {form}"
    height, width = values[0], values[-1]
    return f"{form}, e.g. [{height}, {width}]"


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple
