"""Cron lines: five fields, of minute, hour, day of the month, month, day of the week."""

from __future__ import annotations

import re

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# Lowest and highest number of a field, and the names that stand for them.
FIELDS = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {"l": 31}),  # l: the last day of the month
    (1, 12, {name: month for month, name in enumerate(MONTHS, start=1)}),
    (0, 7, {name: day for day, name in enumerate(DAYS)}),  # 0 and 7 are Sunday
)
NICKNAMES = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_PART = re.compile(r"(?:[*?]|(\w+)(?:-(\w+))?)(?:/(\d+))?")


def is_cron(line: str) -> bool:
    """Whether the line is a nickname or five fields of *, numbers, names, ranges, steps, lists.

    A range may run over the end of its field, as fri-mon does.
    """
    if line in NICKNAMES:
        return True
    fields = line.lower().split()
    return len(fields) == len(FIELDS) and all(
        _is_part(part, *limits)
        for field, limits in zip(fields, FIELDS, strict=True)
        for part in field.split(",")
    )


def _is_part(part: str, low: int, high: int, names: dict[str, int]) -> bool:
    match = _PART.fullmatch(part)
    if not match or match[3] == "0":
        return False
    ends = [names.get(end, int(end) if end.isdecimal() else -1) for end in match.group(1, 2) if end]
    return all(low <= end <= high for end in ends)
