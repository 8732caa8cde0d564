"""Writes docs/networks.md out of the registry and tests/golden/params.

python -m tests.networks_page
"""

from __future__ import annotations

import json
import pathlib

from convoy import models

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "networks.md"
HEAD = """# Networks

Made by `python -m tests.networks_page`.

Parameters are learnable ones; multiply-accumulates are of convolutions and dense layers at the
default input. Both are compared with the built network by tests. "Outputs checked against" names
the independent implementation whose outputs, under identical random weights, ours equal to 1e-4 of
the largest value, and "at" the inputs: pixels, height first, or words. Where there is one, the
network takes no other. Of every family with BatchNorm tests/models/test_parity_training.py compares
a step of training, too: outputs on a batch's statistics, and the running ones after it.

| name | task | parameters | MACs | input | paper | outputs checked against | at |
|---|---|---|---|---|---|---|---|
"""


def text() -> str:
    """The page."""
    golden: dict[str, dict] = {}
    for path in sorted((ROOT / "tests" / "golden" / "params").glob("*.json")):
        golden |= json.loads(path.read_text())
    return HEAD + "".join(
        _row(models.describe(name), golden[name]) for name in models.list_models()
    )


def _row(info: models.spec.ModelInfo, golden: dict) -> str:
    size = "x".join(map(str, info.preprocess.shape))
    return (
        f"| `{info.name}` | {info.task} | {info.params:,} | {info.macs:,} | {size} | "
        f"{info.paper}, {info.year} | {golden['outputs']} | {golden.get('sizes', '')} |\n"
    )


if __name__ == "__main__":
    PAGE.write_text(text())
