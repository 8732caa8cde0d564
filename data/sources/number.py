"""Numbers in texts of other people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable


def finite(text: str | None) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def commas(texts: Iterable[str | None]) -> str:
    """What to do where numbers are written as 0,5; "" where none is."""
    first = next((text for text in texts if text and re.fullmatch(r"[+-]?\d*,\d+", text)), "")
    return f"; {first!r} has a decimal comma: write numbers with a point" if first else ""
