"""Writes docs/weights.md: its table out of the importers' tables and the addresses of `imagenet`.

python -m tests.weights_page
"""

from __future__ import annotations

import pathlib
import re

from convoy import models
from convoy.models.weights import sources
from convoy.pipeline.networks import pretrained

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "weights.md"
WHOSE = {
    "keras": "keras.applications",
    "torch": "torchvision, timm",
    "darknet": "Darknet",
    "caffe": "Caffe",
}
# Which library's file it is, where that is not both.
ONE = {
    "torch": {
        r"resnet\d+_v2": "timm",
        "resnet200": "timm",
        "alexnet_owt|googlenet_bn.*|retinanet.*|(fast|m)[a-z]*_rcnn_.*_fpn": "torchvision",
    },
}
# What stands in the page around the tables: before each, a heading of it.
NETWORKS = "| network | files of | `--weights imagenet` |\n|---|---|---|\n"
ALIKE = "| network | files of | why not |\n|---|---|---|\n"


def text() -> str:
    """The page: its own prose, with the tables made anew."""
    page = PAGE.read_text()
    rows = "".join(_row(name) for name in models.list_models())
    alike = "".join(
        f"| {', '.join(f'`{name}`' for name in names)} | {WHOSE[kind]} | {why} |\n"
        for (kind, why), names in _alike().items()
    )
    for head, body in ((NETWORKS, rows), (ALIKE, alike)):
        page, times = re.subn(f"{re.escape(head)}(\\|.*\n)*", lambda _, t=head + body: t, page)
        assert times == 1, head
    return page


def _row(name: str) -> str:
    files = [_whose(kind, name) for kind in sources.SOURCES if sources.of(kind, name)]
    if not files:
        return ""
    address = pretrained.IMAGENET.get(name, "")
    file = pretrained.published(address).name if address else "-"
    return f"| `{name}` | {', '.join(files)} | {f'`{file}`' if address else file} |\n"


def _whose(kind: str, name: str) -> str:
    if kind == "keras":
        return f"keras.applications ({sources.of(kind, name).application})"
    told = (one for pattern, one in ONE.get(kind, {}).items() if re.fullmatch(pattern, name))
    return next(told, WHOSE[kind])


def _alike() -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for kind in sources.SOURCES:
        for name in models.list_models():
            if why := sources.why_not(kind, name):
                found.setdefault((kind, why), []).append(name)
    return found


if __name__ == "__main__":
    PAGE.write_text(text())
