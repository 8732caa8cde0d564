"""Numbers in texts of other people."""

from __future__ import annotations

import math


def finite(text: str | None) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
