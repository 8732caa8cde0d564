"""Class folders: SPLIT/CLASS/picture. Of pictures with one class each; others are not written.

What `folder` and most trainers read (torchvision's ImageFolder, keras'
image_dataset_from_directory). Names of classes become names of folders as they are; one that cannot
is an ExportError.
"""

from __future__ import annotations

import pathlib

from convoy.data.exports import ExportError, Records, Report, ending, free, report_unsupported, stem
from convoy.data.sample import Sample

_NOT_IN_NAMES = ("/", "\\", "\x00")


def write(records: Records, folder: pathlib.Path, report: Report) -> None:
    """See data/exports/__init__.py. Raises ExportError."""
    for name in records.labels:
        if name.startswith(".") or any(mark in name for mark in _NOT_IN_NAMES):
            raise ExportError(f"class {name!r} cannot be the name of a folder; rename the class")
    for split in records.splits:
        for sample in records.samples(split):
            if len(sample.labels) != 1:
                report("pictures_without_one_class", 1)
                continue
            _place(sample, folder / split / records.labels[int(sample.labels[0])])
            report("boxes", len(sample.boxes))
            report_unsupported(sample, report, "picture_labels")


def _place(sample: Sample, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ends = ending(sample)
    name = free(stem(sample.source_id), lambda n: (folder / f"{n}{ends}").exists())
    (folder / f"{name}{ends}").write_bytes(sample.image)
