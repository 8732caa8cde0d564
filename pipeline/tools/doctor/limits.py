"""Over which of its numbers a data set is not clean; each is a flag of `convoy doctor`."""

from __future__ import annotations

import dataclasses


def _limit(default: float, text: str):
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Limits:
    """Parts are from 0 to 1. What is 0 allows none."""

    max_rejected: float = _limit(0.0, "Part of the samples that cannot be used.")
    max_left_out: float = _limit(0.0, "Part of the objects that cannot be used.")
    max_leakage: float = _limit(0.0, "Part of another split that train has too.")
    max_copies: float = _limit(0.0, "Part of a split that repeats its pictures.")
    max_near: float = _limit(0.01, "Part of another split that is alike a picture of train.")
    near_bits: int = _limit(8, "Bits of 64 by which hashes of pictures alike may differ.")
    max_missing: float = _limit(0.0, "Part of the classes without a sample in train.")
    max_imbalance: float = _limit(100.0, "Most over least frequent class of train.")
    min_box_px: float = _limit(4.0, "A box with a shorter side, in pixels, is tiny.")
    max_tiny: float = _limit(0.05, "Part of the boxes that are tiny.")
    huge: float = _limit(0.9, "A box over this part of its picture is huge.")
    max_huge: float = _limit(0.5, "Part of the boxes that are huge.")
    overlap: float = _limit(0.9, "Boxes above this IoU lie on each other.")
    max_suspects: float = _limit(0.01, "Part of the pictures whose labels contradict.")

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = UPPER.get(field.name, 1.0)
            if not 0 <= value <= most:
                raise ValueError(f"--{field.name}: expected 0 to {most:g}, got {value:g}")


UPPER = {"near_bits": 63, "max_imbalance": float("inf"), "min_box_px": float("inf")}
