"""Splits: the names that data sets give them, and a hash for those that bring none."""

from __future__ import annotations

import hashlib

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def hashed_split(source_id: str, holdout: float, seed: int) -> str:
    """ "val" for a part `holdout` of all ids, else "train"; more data moves no sample."""
    digest = hashlib.sha256(f"{seed}:{source_id}".encode("utf-8", "surrogateescape")).digest()
    return "val" if int.from_bytes(digest[:8], "big") < holdout * 2**64 else "train"
