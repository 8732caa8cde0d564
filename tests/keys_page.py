"""Writes docs/keys.md out of the recipe's pydantic fields and the comments beside them.

python -m tests.keys_page
"""

from __future__ import annotations

import inspect
import io
import json
import pathlib
import re
import tokenize
import types
import typing

import pydantic
from pydantic.fields import FieldInfo

from convoy.pipeline.config import Recipe

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "keys.md"
HEAD = """# Keys of a recipe

Made by `python -m tests.keys_page` out of `pipeline/config.py` and `data/augment/policy.py`.

A recipe is a YAML file of these keys. `name` and `task` are asked for, every other key has the
default that stands here; an unknown key is an error that names the closest one. `--set
section.key=value` changes one for a run. `convoy run` writes the complete recipe to
`RUN_DIR/config.yaml`. `null` is YAML's "nothing", and what a remark calls None.
"""


def text() -> str:
    """The page: the recipe's own keys, then a table for each section."""
    parts = [HEAD, _table("The recipe itself", Recipe, "")]
    for name, field in Recipe.model_fields.items():
        if (section := _section(field.annotation)) is not None:
            parts.append(_table(name, section, f"{name}."))
            parts += [
                _table(f"{name}.{key}: a list of", inner, f"{name}.{key}[].")
                for key, part in section.model_fields.items()
                if (inner := _section(part.annotation, inside=True)) not in (None, section)
            ]
    return "\n".join(parts)


def _table(title: str, section: type[pydantic.BaseModel], prefix: str) -> str:
    lines = [f"## {title}", ""]
    if section is not Recipe:
        lines += [_escaped(inspect.getdoc(section).split("\n\n")[0].replace("\n", " ")), ""]
    lines += ["| key | values | default | what |", "|---|---|---|---|"]
    remarks = comments(section)
    for name, field in section.model_fields.items():
        if prefix == "" and _section(field.annotation) is not None:
            continue
        cells = (f"`{prefix}{name}`", _values(field), _default(field), remarks.get(name, ""))
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def comments(section: type[pydantic.BaseModel]) -> dict[str, str]:
    """{field: the comments behind it, without any those above it} of a class, in its source."""
    source = inspect.getsource(section)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    above: list[str] = []
    over: dict[str, str] = {}
    found: dict[str, str] = {}
    field, depth, fresh = "", 0, True
    for token in tokens:
        if token.type == tokenize.COMMENT:
            words = token.string.lstrip("# ")
            alone = token.line.strip().startswith("#")
            if alone and not depth:
                above.append(words)
            elif field:
                found[field] = " ".join(filter(None, (found.get(field), words)))
        elif token.type == tokenize.NEWLINE:
            fresh = True
        elif token.type == tokenize.OP and token.string in "([{":
            depth += 1
        elif token.type == tokenize.OP and token.string in ")]}":
            depth -= 1
        elif token.type == tokenize.NAME and fresh:
            fresh = False
            field = token.string if token.string in section.model_fields else ""
            if field and above:
                over[field] = " ".join(above)
            above = []
    return over | found


def _section(annotation: typing.Any, inside: bool = False) -> type[pydantic.BaseModel] | None:
    """The model that a field is, or with `inside` that its list is of."""
    if inspect.isclass(annotation) and issubclass(annotation, pydantic.BaseModel):
        return None if inside else annotation
    for part in typing.get_args(annotation) if inside else ():
        if inspect.isclass(part) and issubclass(part, pydantic.BaseModel):
            return part
    return None


def _values(field: FieldInfo) -> str:
    """float > 0, or `a`, `b`; the limits of pydantic's constraints."""
    words = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "pattern": "like"}
    limits = [
        f"{sign} {getattr(each, key):g}" if key != "pattern" else f"like `{each.pattern}`"
        for each in field.metadata
        for key, sign in words.items()
        if getattr(each, key, None) is not None
    ]
    return " ".join([_type(field.annotation), " and ".join(limits)]).strip()


def _type(annotation: typing.Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(word).strip(chr(34))}`" for word in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(part) for part in inner)
    if origin is tuple:
        if inner[-1] is Ellipsis:
            return f"list of {_type(inner[0])}"
        return f"[{', '.join(_type(part) for part in inner)}]"
    if origin is dict:
        return f"{{{_type(inner[0])}: {_type(inner[1])}}}"
    names = {str: "text", type(None): "null", bool: "true or false", int: "integer"}
    names |= {float: "number", typing.Any: "any"}
    if annotation in names:
        return names[annotation]
    return getattr(annotation, "__name__", str(annotation)).lower()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "asked for"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, pydantic.BaseModel):
        return "its own defaults"
    if value == "":
        return "empty"
    plain = json.dumps(value, default=lambda each: each.model_dump(mode="json"))
    return f"`{plain.strip(chr(34))}`"


def _escaped(cell: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", cell)


if __name__ == "__main__":
    PAGE.write_text(text())
