"""YAML as recipes have it: every key once."""

from __future__ import annotations

from typing import Any

import yaml


class RepeatedKey(yaml.YAMLError):
    """A mapping names one key twice; the message says on which lines."""


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in lines:
                    raise RepeatedKey(
                        f"the key {key.value!r} stands on line {lines[key.value]} and again on "
                        f"line {line}: keep one of them"
                    )
                lines[key.value] = line
        return super().construct_mapping(node, deep)


def read(text: str) -> Any:
    """The first document of the text. Raises yaml.YAMLError; RepeatedKey is one."""
    return yaml.load(text, Loader=_Loader)
