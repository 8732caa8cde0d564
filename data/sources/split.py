"""Splits for data sets that bring none, and which files count as pictures."""

from __future__ import annotations

import hashlib

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm")


def hashed_split(source_id: str, holdout: float, seed: int) -> str:
    """ "val" for a part `holdout` of all ids, else "train"; more data moves no sample."""
    digest = hashlib.sha256(f"{seed}:{source_id}".encode("utf-8", "surrogateescape")).digest()
    return "val" if int.from_bytes(digest[:8], "big") < holdout * 2**64 else "train"


def is_picture(name: str) -> bool:
    """By extension, in any case; hidden files are not."""
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")
