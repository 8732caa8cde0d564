"""`convoy worst` on a run of any task: what it counts and draws is consistent."""

from __future__ import annotations

import json
import pathlib

from convoy.pipeline import cli, errors


def worst(run: str | pathlib.Path, output: pathlib.Path) -> dict:
    """Its worst.json, checked."""
    words = ["convoy", "worst", str(run), "-o", str(output), "--count=2"]
    assert cli.main(words) == errors.OK
    result = json.loads((output / "worst.json").read_text())
    assert result["kinds"].keys() == {kind for kind, count in result["errors"].items() if count}
    for kind, rows in result["kinds"].items():
        assert 0 < len(rows) <= 2
        assert [row["amount"] for row in rows] == sorted((r["amount"] for r in rows), reverse=True)
        for row in rows:
            if "picture" in row:
                assert pathlib.Path(row["picture"]).parent == output / kind
                assert pathlib.Path(row["picture"]).stat().st_size > 1000
            else:
                assert row["text"]
    return result
