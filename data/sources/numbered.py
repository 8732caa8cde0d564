"""Classes that a data set numbers, and the names that data.labels wants for them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from convoy.data.sources import SourceError


def label_by_number(
    names: Sequence[str], wanted: Sequence[str], root: str
) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    """The labels, and for each number its label; None = it has none.

    names: by number, as the data set has them. wanted: data.labels; empty = these names; some of
    them = only those; as many or more, of other names = these names instead. Raises SourceError.
    """
    if not wanted:
        return tuple(names), tuple(names)
    if set(wanted) & set(names):
        return tuple(wanted), tuple(name if name in wanted else None for name in names)
    if len(wanted) < len(names):
        raise SourceError(
            f"{root}: data.labels has {len(wanted)} names, none of which is a class of the data "
            f"set; expected {len(names)} names in its order, or some of {', '.join(names[:10])}"
        )
    return tuple(wanted), tuple(wanted[: len(names)])


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sorted; as numbers where all are."""
    names = set(names)
    numbers = all(name.isdecimal() and len(name) < 19 for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else str))
