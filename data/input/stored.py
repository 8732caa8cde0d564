"""A folder of records: how many a split holds, and in which files."""

from __future__ import annotations

import json
import pathlib


def count(records: pathlib.Path, split: str) -> int:
    """Records of a split, by the manifest."""
    return int(_split(records, split)["records"])


def shards(records: pathlib.Path, split: str) -> list[str]:
    """Record files of a split, sorted.

    Raises FileNotFoundError without any, and where some of those that the manifest names are
    missing, empty or cut: what is left would be another data set.
    """
    folder = pathlib.Path(records)
    paths = sorted(folder.glob(f"{split}-*.tfrecord"))
    if not paths:
        raise FileNotFoundError(f"no {split}-*.tfrecord in {records}: run `convoy ingest` first")
    told = _split(folder, split) if (folder / "manifest.json").exists() else {}
    again = f"delete {folder} and run again, which makes it anew"
    named = told.get("shards", ())
    if missing := sorted({*named} - {path.name for path in paths}):
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(named)} record files of split {split!r} are "
            f"missing, such as {missing[0]}: {again}"
        )
    size = sum(path.stat().st_size for path in paths)
    if size != told.get("file_bytes", size):
        raise FileNotFoundError(
            f"{folder}: the record files of split {split!r} hold {size:,} bytes, the manifest says "
            f"{told['file_bytes']:,}: some are cut or not those that were written; {again}"
        )
    return [str(path) for path in paths]


def _split(records: pathlib.Path, split: str) -> dict:
    path = pathlib.Path(records) / "manifest.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; expected a folder of records, as `convoy ingest` writes it"
        )
    manifest = json.loads(path.read_text())
    if split not in manifest["splits"]:
        raise ValueError(
            f"split {split!r} is not in {records}: it holds {', '.join(sorted(manifest['splits']))}"
        )
    return manifest["splits"][split]
