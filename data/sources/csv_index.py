"""Which picture a cell of a table means."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from convoy.data.files import files
from convoy.data.sources import stated
from convoy.data.sources.layout import split_of


class Index:
    """Pictures by what a table may call them."""

    def __init__(self, tree: files.Tree, names: Sequence[str]):
        self._names = set(names)
        self._bases: dict[str, list[str]] = {}
        for name in names:
            base = posixpath.basename(name)
            for key in {base, posixpath.splitext(base)[0]}:
                self._bases.setdefault(key, []).append(name)

    def find(self, text: str, folder: str, split: str | None = None) -> str | None:
        """The picture that a cell of a table in `folder` means."""
        for name in stated.alternatives(text):
            same = self._named(name, folder, split)
            if same:
                return same[0] if len(same) == 1 else None
        return None

    def _named(self, text: str, folder: str, split: str | None) -> list[str]:
        """The picture of that name, or all that may be meant."""
        parts = [p for p in text.replace("\\", "/").split("/") if p not in ("", ".")]
        if not parts:
            return []
        below = [p for p in parts if p != ".."]
        ends = ("/".join(below[i:]) for i in range(len(below)))
        near = posixpath.normpath(posixpath.join(folder, *parts))
        matches = [name for name in (near, *ends) if name in self._names]
        if matches:
            return matches[:1]
        base = parts[-1]
        stem = posixpath.splitext(base)[0] if files.names_picture(base) else base
        same = self._bases.get(base) or self._bases.get(stem) or []
        for narrow in (
            lambda name: posixpath.dirname(name).endswith("/".join(below[:-1])),
            lambda name: split is not None and split_of(name) == split,
            lambda name: name.startswith(f"{folder}/"),
        ):
            same = [name for name in same if narrow(name)] or same
        return same
