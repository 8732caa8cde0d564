"""The form of findings/, which its README states. The scripts themselves run by hand."""

from __future__ import annotations

import os
import pathlib
import re

import pytest

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_form(path):
    lines = path.read_text().splitlines()
    head = "\n".join(line for line in lines[1:15] if line.startswith("#"))
    assert lines[0] == "#!/usr/bin/env bash"
    assert len(lines) <= 40
    assert re.search(r"^# [\w-]+ \d+\.\d+", head), "the version comes first"
    for part in ("# Guessed: ", "# Seen: ", "#   "):
        assert f"\n{part}" in head
    text = "\n".join(lines)
    assert "set -euo pipefail" in text
    assert "mktemp -d" in text
    assert "trap 'rm -rf" in text
    installs = re.findall(r"pip\" install (.*?)(?<!\\)\n", text, re.DOTALL)
    assert installs
    for package in re.sub(r"--quiet|\\\n", "", " ".join(installs)).split():
        assert re.fullmatch(r"'[\w\[\]-]+==[\w.]+'", package), package
    assert "convoy" not in text.lower()
    assert os.access(path, os.X_OK)


def test_the_page_lists_all():
    listed = re.findall(r"\]\((\w+\.sh)\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == [path.name for path in SCRIPTS]
