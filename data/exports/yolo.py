"""YOLO as Darknet and Ultralytics read it: images/SPLIT, labels/SPLIT/*.txt, data.yaml.

One line per object: class cx cy w h, parts of the picture's width and height. Edges are rounded to
1e-9 of the side, so that the centre has ten digits and no box reaches outside by rounding. Of a
picture without objects the text is empty. https://docs.ultralytics.com/datasets/detect/
"""

from __future__ import annotations

import pathlib

import yaml

from convoy.data.exports import Records, Report, ending, free, report_unsupported, stem
from convoy.data.sample import Sample

_STEPS = 10**9  # per side


def write(records: Records, folder: pathlib.Path, report: Report) -> None:
    """See data/exports/__init__.py."""
    for split in records.splits:
        images, labels = (folder / name / split for name in ("images", "labels"))
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for sample in records.samples(split):
            name = free(stem(sample.source_id), lambda n, at=labels: (at / f"{n}.txt").exists())
            (images / f"{name}{ending(sample)}").write_bytes(sample.image)
            (labels / f"{name}.txt").write_text("".join(f"{line}\n" for line in _lines(sample)))
            report_unsupported(sample, report)
    # Without `path`, pictures are looked for beside data.yaml.
    folders = {split: f"images/{split}" for split in records.splits}
    if "train" not in folders and "trainval" in folders:
        folders = {"train": folders.pop("trainval"), **folders}
    names = dict(enumerate(records.labels))
    config = {**folders, "nc": len(names), "names": names}
    text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
    (folder / "data.yaml").write_text(text, encoding="utf-8")


def _lines(sample: Sample) -> list[str]:
    """Whole steps of each edge; the sum of two is twice the centre."""
    lines = []
    for box, label in zip(sample.boxes.tolist(), sample.classes.tolist(), strict=True):
        sides = (sample.height, sample.width) * 2
        ymin, xmin, ymax, xmax = (
            round(edge / side * _STEPS) for edge, side in zip(box, sides, strict=True)
        )
        numbers = (xmin + xmax) / 2, (ymin + ymax) / 2, xmax - xmin, ymax - ymin
        lines.append(" ".join([str(label), *(f"{number / _STEPS:.10f}" for number in numbers)]))
    return lines
