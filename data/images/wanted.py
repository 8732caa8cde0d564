"""What a recipe wants of pictures, noted around the reading of one sample.

Every reader comes to its pictures by `data.images.images`, and says where they lie; which of their
channels and bits are kept is the recipe's alone, and the same for all readers. So it is noted here
for the time of one `read`, and readers need not hand it on.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Wanted:
    """data.channels and data.bits. channels None: 8-bit gray or RGB, as most pictures are."""

    channels: int | None = None
    bits: int = 8  # 8 | 16


_NOW: contextvars.ContextVar[tuple[Wanted, Callable]] = contextvars.ContextVar(
    "wanted", default=(Wanted(), lambda reason, detail: None)
)


@contextlib.contextmanager
def wanting(wanted: Wanted, warn: Callable[[str, str], None] = lambda reason, detail: None):
    """Pictures that are read inside are made so; `warn` is told (reason, detail) of losses."""
    token = _NOW.set((wanted, warn))
    try:
        yield
    finally:
        _NOW.reset(token)


def now() -> Wanted:
    """What is wanted where this is asked."""
    return _NOW.get()[0]


def tell(reason: str, detail: str) -> None:
    """Says what of a picture is not kept, or changed."""
    _NOW.get()[1](reason, detail)
