"""A proposal as a commented YAML file that `convoy run` takes."""

from __future__ import annotations

from typing import Any

import yaml

ORDER = ("data", "model", "augment", "train", "evaluate", "export")
WIDTH = 100


def text(raw: dict[str, Any], remarks: dict[str, str], head: list[str]) -> str:
    """head: lines of the comment that it begins with."""
    lines = [f"# {line}" for line in head]
    for key in ("name", "task"):
        lines += _line("", key, raw[key], remarks.get(key, ""))
    for section in (name for name in ORDER if raw.get(name)):
        if remarks.get(section):
            lines.append(f"# {' '.join(remarks[section].split())}")
        lines.append(f"{section}:")
        for key, value in raw[section].items():
            lines += _line("  ", key, value, remarks.get(f"{section}.{key}", ""))
    return "\n".join(lines) + "\n"


def _line(indent: str, key: str, value: Any, remark: str) -> list[str]:
    """Behind the value what it is; above where that is long."""
    line = f"{indent}{key}: {_flow(value)}"
    remark = " ".join(remark.split())
    if not remark:
        return [line]
    if len(line) + len(remark) + 4 <= WIDTH:
        return [f"{line}  # {remark}"]
    return [f"{indent}# {remark}", line]


def _flow(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, width=float("inf"), allow_unicode=True)
    return dumped.removesuffix("...\n").strip()
