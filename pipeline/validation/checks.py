"""The checks of the data: a number, its limit, a verdict, a sentence, and examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from convoy.pipeline.config import Validate
from convoy.pipeline.validation.drift import Measured
from convoy.pipeline.validation.priors import Reach

ROUNDING = 1e-9
BAD_BOXES = ("degenerate_box", "outside_box")
BAD_RECORDS = ("ragged_objects", "wrong_label")
BAD_LABEL_MAPS = ("corrupt_label_map", "wrong_label_map_size", "unknown_pixel")
OK, WARNING, REFUSED = "ok", "warning", "refused"


LARGE = 2  # times the input in both sides: larger pictures only cost time
HALF = 0.5  # part of boxes without a prior from which on that is a warning


@dataclasses.dataclass(frozen=True)
class Check:
    """One row of the report."""

    name: str
    value: float | None
    limit: float | None  # None: only reported
    verdict: str  # OK, WARNING or REFUSED
    text: str
    examples: tuple[str, ...] = ()


def check(
    name: str,
    value: float | None,
    limit: float | None,
    text: str,
    *,
    warn: float = 0.0,
    examples: Sequence[str] = (),
) -> Check:
    """Refused above the limit, a warning above `warn`. A value of None could not be found."""
    verdict = OK
    if value is not None and value > warn + ROUNDING:
        verdict = WARNING
    if value is not None and limit is not None and value > limit + ROUNDING:
        verdict = REFUSED
    return Check(name, value, limit, verdict, text, tuple(examples))


def of_sizes(
    numbers: Mapping[str, Mapping[str, Any]], sides: tuple[int, int] | None
) -> Iterator[Check]:
    """How much larger the pictures are than the network's input; never refused.

    numbers: of the training split, by feature; sides: of the input, height first; None = unknown.
    """
    medians = [numbers.get(f"image/{side}", {}).get("median") for side in ("height", "width")]
    if sides is None or not all(medians):
        return
    times = min(median / side for median, side in zip(medians, sides, strict=True))
    picture = f"{medians[1]:.0f}x{medians[0]:.0f} px"
    text = f"the median picture is {picture}, the input {sides[1]}x{sides[0]}"
    if times > LARGE:
        text += (
            f": each is decoded whole in every epoch; `ingest.max_side: {LARGE * max(sides)}` "
            "makes them smaller once, with their labels"
        )
    yield check("size of pictures", times, None, text, warn=LARGE)


def of_schema(errors: Sequence[str], warnings: int) -> Check:
    """Anomalies against the schema: one is too many, as the schema is there to be edited."""
    text = f"{len(errors)} features do not fit the schema"
    text += f"; {warnings} more with warnings" if warnings else ""
    return check("schema", len(errors), 0, text, examples=errors)


def of_splits(
    statistics: Mapping[str, Any], train: str, judges: Sequence[str], limits: Validate
) -> Iterator[Check]:
    """Between splits (leakage), and within each (copies, unusable records)."""
    for judge in judges:
        pair = (
            statistics["shared"].get(f"{train}+{judge}") or statistics["shared"][f"{judge}+{train}"]
        )
        records = statistics["splits"][judge]["records"]
        shared = pair["records"][judge]
        yield check(
            f"leakage {train} → {judge}",
            shared / max(records, 1),
            limits.max_leakage,
            f"{shared:,} of {records:,} records of {judge} have a picture or source_id of {train}",
            examples=_groups(pair["examples"]["image"]) or _groups(pair["examples"]["source"]),
        )
    for name in (train, *judges):
        split = statistics["splits"][name]
        records, copies = split["records"], split["copies"]["records"]
        yield check(
            f"copies in {name}",
            copies / max(records, 1),
            limits.max_copies,
            f"{copies:,} of {records:,} records have the picture of an earlier one",
            warn=0.01,
            examples=_groups(split["copies"]["examples"]),
        )
        bad = {n: p for n, p in split["problems"].items() if n in BAD_RECORDS}
        count = sum(problem["records"] for problem in bad.values())
        if count:
            text = f"{count:,} of {records:,} records contradict themselves"
            yield check(f"records of {name}", count / records, 0.0, text, examples=_named(bad))


def of_told(statistics: Mapping[str, Any]) -> Iterator[Check]:
    """What the ingest did not use, and what it took in one of two ways: warnings, of how many."""
    for key, name in (("unused", "not used"), ("ambiguous", "read in one of two ways")):
        for row in statistics.get("told", {}).get(key, ()):
            pictures = key == "ambiguous" or row["what"] in ("pictures", "samples")
            warn = 0.0 if pictures else float("inf")  # a licence beside the pictures is none
            yield check(
                f"{name}: {row['what']}",
                row["count"],
                None,
                row["why"],
                warn=warn,
                examples=row["examples"],
            )


def of_objects(
    statistics: Mapping[str, Any], train: str, judges: Sequence[str], limits: Validate
) -> Iterator[Check]:
    """Boxes that are no boxes, and pictures without any."""
    for name in (train, *judges):
        split = statistics["splits"][name]
        bad = {n: p for n, p in split["problems"].items() if n in BAD_BOXES}
        count, total = sum(p["count"] for p in bad.values()), objects(split)
        yield check(
            f"boxes of {name}",
            count / max(total, 1),
            limits.max_bad_boxes,
            f"{count:,} of {total:,} boxes lie outside their picture or have no area",
            examples=_named(bad),
        )
        empty = split["numbers"].get("image/objects", {}).get("zeros", 0)
        yield check(
            f"empty pictures of {name}",
            empty / max(split["records"], 1),
            limits.max_empty,
            f"{empty:,} of {split['records']:,} pictures have no object",
            warn=0.5,
        )


def of_classes(statistics: Mapping[str, Any], train: str, limits: Validate) -> Iterator[Check]:
    """Classes that cannot be learned, or hardly."""
    split = statistics["splits"][train]
    counts = split["objects_by_class"] if objects(split) else split["images_by_class"]
    counts = {name: counts.get(name, 0) for name in statistics["labels"]}
    missing = sorted(name for name, count in counts.items() if not count)
    yield check(
        f"classes without an example in {train}",
        len(missing) / max(len(counts), 1),
        limits.max_untrained,
        f"{len(missing)} of {len(counts)} classes",
        examples=missing[:10],
    )
    present = {name: count for name, count in counts.items() if count}
    if present:
        largest, smallest = max(present, key=present.get), min(present, key=present.get)
        yield check(
            f"imbalance of {train}",
            present[largest] / present[smallest],
            limits.max_imbalance,
            f"{present[largest]:,} {largest!r} to {present[smallest]:,} {smallest!r}",
            warn=20.0,
        )


def of_label_maps(
    statistics: Mapping[str, Any], train: str, judges: Sequence[str], limits: Validate
) -> Iterator[Check]:
    """Label maps that are none, pictures without one, classes without pixels, ignored pixels."""
    for name in (train, *judges):
        split = statistics["splits"][name]
        records, found = split["records"], split["label_maps"]
        bad = {n: p for n, p in split["problems"].items() if n in BAD_LABEL_MAPS}
        count = sum(problem["records"] for problem in bad.values())
        yield check(
            f"label maps of {name}",
            count / max(records, 1),
            limits.max_bad_label_maps,
            f"{count:,} of {records:,} pictures have one that cannot be read, of another size than "
            "theirs, or with values that are no class",
            examples=_named(bad),
        )
        empty = {n: p for n, p in split["problems"].items() if n == "unlabelled_picture"}
        without = records - found.get("label_maps", 0)
        without += sum(problem["records"] for problem in empty.values())
        yield check(
            f"unlabelled pictures of {name}",
            without / max(records, 1),
            limits.max_unlabelled,
            f"{without:,} of {records:,} pictures have no labelled pixel; of a VOC devkit "
            "take data.image_sets: Segmentation",
            examples=_named(empty),
        )
        part = found.get("ignored", 0.0)
        text = f"{part:.1%} of the pixels of label maps are ignored"
        yield check(f"ignored pixels of {name}", part, None, text, warn=0.5)
    pixels = statistics["splits"][train]["label_maps"].get("pixels_by_class", {})
    missing = sorted(name for name in statistics["segmentation_labels"] if not pixels.get(name))
    yield check(
        f"classes without a pixel in {train}",
        len(missing) / max(len(statistics["segmentation_labels"]), 1),
        limits.max_untrained,
        f"{len(missing)} of {len(statistics['segmentation_labels'])} classes",
        examples=missing[:10],
    )


def of_comparison(
    title: str, measured: Sequence[Measured], warn_part: float = 0.5
) -> Iterator[Check]:
    """Skew or drift: one row per feature; a warning from half the threshold on."""
    for item in measured:
        detail = f"; {item.largest!r} differs most" if item.largest else ""
        norm = "L-infinity" if item.norm == "infinity_norm" else "Jensen-Shannon, beyond chance"
        yield check(
            f"{title}: {item.feature}",
            item.value,
            item.threshold,
            f"{norm}{detail}",
            warn=item.threshold * warn_part,
        )


def of_size(records: int, before: int, least: float) -> Check:
    """The training split against that of the last valid run: it must not shrink too much."""
    lost = max(0.0, 1 - records / max(before, 1))
    text = f"{records:,} records, {before:,} in the last valid run"
    return check("drift: records lost", lost, 1 - least if least else None, text, warn=0.2)


def of_priors(name: str, reach: Reach | None, limits: Validate) -> Check:
    """How many boxes the network's priors do not reach."""
    if reach is None:
        return check("priors", None, None, f"{name} has no priors, or there are no boxes")
    height, width = reach.size
    part = reach.unmatched / reach.boxes
    text = (
        f"{reach.unmatched:,} of {reach.boxes:,} boxes overlap no prior of {name} at {height} x "
        f"{width} by {reach.threshold:g}{', by shape' if reach.forced else ''}; median side "
        f"{reach.side_px:.0f} px"
    )
    text += f", of these {reach.unmatched_side_px:.0f} px" if reach.unmatched else ""
    if part > HALF:
        pairs = ", ".join(f"{w:g} x {h:g}" for w, h in reach.suggested)
        text += (
            f". {1 - part:.0%} are reached: k-means of the boxes suggests {pairs} (width x height, "
            f"pixels of the input; mean overlap {reach.suggested_overlap:.2f}, now "
            f"{reach.own_overlap:.2f}): "
        )
        text += "set model.anchors" if reach.forced else "take a model.input_size that fits them"
    limit = None if reach.forced else limits.max_unmatched
    return check("priors", part, limit, text, warn=HALF)


def verdict(checks: Sequence[Check]) -> tuple[bool, str]:
    """(valid, one paragraph)."""
    refused = [result for result in checks if result.verdict == REFUSED]
    warned = [result for result in checks if result.verdict == WARNING]
    reasons = "; ".join(
        f"{result.name}: {result.value:.4g} is over {result.limit:.4g} ({result.text}"
        + (f", e.g. {result.examples[0]}" if result.examples else "")
        + ")"
        for result in refused
    )
    if refused:
        advice = "Repair the data, or change the schema or the recipe's limits (`validate`)."
        return False, f"The data is not valid. {reasons}. {advice}"
    names = ", ".join(result.name for result in warned)
    notes = f"; {len(warned)} warnings: {names}" if warned else ""
    return True, f"The data is valid: {len(checks)} checks{notes}."


def objects(split: Mapping[str, Any]) -> int:
    """Boxes of a split."""
    return split["features"].get("image/object/bbox/ymin", {}).get("values", 0)


def _groups(groups: Sequence[Sequence[str]]) -> list[str]:
    return [" = ".join(group) for group in groups]


def _named(problems: Mapping[str, Any]) -> list[str]:
    return [
        f"{source_id}: {reason}: {detail}"
        for reason, problem in problems.items()
        for source_id, detail in problem["examples"]
    ]
