"""The checks of `convoy doctor`: those of records, and what is seen before there are records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from convoy.data.ingest.account import CHANGES
from convoy.data.statistics.partial import EXAMPLES
from convoy.pipeline.config import Validate
from convoy.pipeline.tools.doctor.limits import Limits
from convoy.pipeline.tools.doctor.survey import Picture, Survey
from convoy.pipeline.validation import checks
from convoy.pipeline.validation.checks import Check, check


def of_survey(
    survey: Survey, labels: Sequence[str], train: str, judges: Sequence[str], limits: Limits
) -> list[Check]:
    """All rows of the page, in its order."""
    statistics = survey.statistics
    # What both have takes the same rule; the rest of Validate's limits is for networks.
    of_records = Validate(
        max_leakage=limits.max_leakage,
        max_copies=limits.max_copies,
        max_untrained=limits.max_missing,
        max_imbalance=limits.max_imbalance,
        max_empty=None,
        max_unlabelled=None,
    )
    rows = [
        *_of_reading(survey, limits),
        *checks.of_told(statistics),
        *checks.of_splits(statistics, train, judges, of_records),
        *_of_alike(survey, train, judges, limits),
    ]
    if any(picture.classes for picture in survey.pictures):  # else nothing is classified
        rows += [
            *checks.of_classes(statistics, train, of_records),
            *_of_missing(statistics, judges),
            *_of_labels(survey, labels, limits),
        ]
    if any(map(checks.objects, statistics["splits"].values())):
        rows += [
            *checks.of_objects(statistics, train, judges, of_records),
            *_of_sides(survey, limits),
        ]
    if any(split["label_maps"] for split in statistics["splits"].values()):
        rows += checks.of_label_maps(statistics, train, judges, of_records)
    return rows


def of_refusal(message: str) -> Check:
    """Where no reader takes the data set as it is."""
    return check("readable", 1, 0, message)


def conflicts(survey: Survey) -> list[list[Picture]]:
    """Groups of pictures that are alike, of which two have different classes."""
    groups = ([survey.pictures[row] for row in group] for group in survey.alike)
    return [group for group in groups if len({picture.classes for picture in group}) > 1]


def described(picture: Picture, labels: Sequence[str]) -> str:
    """One picture in words."""
    classes = ", ".join(labels[index] for index in picture.classes) or "no class"
    return f"{picture.split}: {picture.source_id} ({classes})"


def _of_reading(survey: Survey, limits: Limits) -> Iterator[Check]:
    read = len(survey.pictures)
    reasons: dict[str, int] = {}
    for _, reason, _ in survey.rejected:
        reasons[reason] = reasons.get(reason, 0) + 1
    total = read + len(survey.rejected)
    listed = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
    text = f"{len(survey.rejected):,} of {total:,} samples cannot be used"
    yield check(
        "rejected",
        len(survey.rejected) / max(total, 1),
        limits.max_rejected,
        f"{text}: {listed}" if listed else text,
        examples=[example for reason in reasons for example in survey.examples[reason]][:EXAMPLES],
    )
    objects = sum(map(checks.objects, survey.statistics["splits"].values()))
    lost = {r: count for r, count in survey.warnings.items() if r not in CHANGES}
    for reason, count in lost.items():
        yield check(
            f"left out: {reason}",
            count / max(objects + sum(lost.values()), 1),
            limits.max_left_out,
            f"{count:,} objects, labels or lines are not used, beside {objects:,} objects that are",
            examples=survey.examples.get(reason, ()),
        )
    for reason, text in CHANGES.items():
        if count := survey.warnings.get(reason, 0):
            examples = survey.examples.get(reason, ())
            yield check(f"changed: {reason}", count, None, f"{count:,} {text}", examples=examples)
    for splits, count in survey.overlap.items():
        yield check(
            f"in several splits: {splits}", count, None, f"{count:,} samples have one id in both"
        )


def _of_alike(survey: Survey, train: str, judges: Sequence[str], limits: Limits) -> Iterator[Check]:
    """Pictures that are not the same, but look it."""
    groups = [[survey.pictures[row] for row in group] for group in survey.alike]
    groups = [group for group in groups if len({picture.sha256 for picture in group}) > 1]
    names = {id(g): tuple(f"{p.split}: {p.source_id}" for p in g) for g in groups}
    for judge in judges:
        hit, count = [], 0
        for group in groups:
            trained = {picture.sha256 for picture in group if picture.split == train}
            own = [p for p in group if p.split == judge and trained - {p.sha256}]
            hit += [group] if own else []
            count += len(own)
        records = survey.statistics["splits"][judge]["records"]
        yield check(
            f"alike: {train} → {judge}",
            count / max(records, 1),
            limits.max_near,
            f"{count:,} of {records:,} pictures of {judge} look like another one of {train}",
            examples=[" ~ ".join(names[id(group)][:4]) for group in hit[:EXAMPLES]],
        )
    for split, numbers in survey.statistics["splits"].items():
        own = [[p for p in group if p.split == split] for group in groups]
        own = [group for group in own if len({p.sha256 for p in group}) > 1]
        count = sum(len({p.sha256 for p in group}) - 1 for group in own)
        yield check(
            f"alike in {split}",
            count / max(numbers["records"], 1),
            None,
            f"{count:,} of {numbers['records']:,} pictures look like an earlier one",
            warn=limits.max_near,
            examples=[" ~ ".join(p.source_id for p in group[:4]) for group in own[:EXAMPLES]],
        )


def _of_missing(statistics: Mapping, judges: Sequence[str]) -> Iterator[Check]:
    """Classes that a split cannot judge: a warning; those of train have a limit of their own."""
    for judge in judges:
        split = statistics["splits"][judge]
        key = "objects_by_class" if checks.objects(split) else "images_by_class"
        missing = sorted(n for n in statistics["labels"] if not split[key].get(n))
        part = len(missing) / max(len(statistics["labels"]), 1)
        text = f"{len(missing)} of {len(statistics['labels'])} classes"
        examples = missing[:EXAMPLES]
        yield check(f"classes without an example in {judge}", part, None, text, examples=examples)


def _of_sides(survey: Survey, limits: Limits) -> Iterator[Check]:
    tiny = f"have a side below {limits.min_box_px:g} pixels"
    huge = f"cover more than {limits.huge:g} of their picture"
    for split, sides in survey.sides.items():
        for name, text, most in (
            ("tiny", tiny, limits.max_tiny),
            ("huge", huge, limits.max_huge),
        ):
            count = getattr(sides, name)
            yield check(
                f"{name} boxes of {split}",
                count / max(sides.boxes, 1),
                most,
                f"{count:,} of {sides.boxes:,} boxes {text}",
                examples=getattr(sides, f"{name}_examples"),
            )


def _of_labels(survey: Survey, labels: Sequence[str], limits: Limits) -> Iterator[Check]:
    """Suspects of wrong labels: two pictures, or two boxes, that cannot both be right."""
    total, found = max(len(survey.pictures), 1), conflicts(survey)
    yield check(
        "suspects: pictures alike with other classes",
        sum(map(len, found)) / total,
        limits.max_suspects,
        f"{sum(map(len, found)):,} of {total:,} pictures are in {len(found)} such groups",
        examples=[
            " ~ ".join(described(picture, labels) for picture in group[:4])
            for group in found[:EXAMPLES]
        ],
    )
    if not any(sides.boxes for sides in survey.sides.values()):
        return
    for name, same, text in (
        ("suspects: boxes of other classes on each other", False, "two classes for one box"),
        ("suspects: objects that are there twice", True, "one class twice for one box"),
    ):
        pairs = [pair for pair in survey.doubled if pair.same is same]
        pictures = len({(pair.split, pair.source_id) for pair in pairs})
        yield check(
            name,
            pictures / total,
            limits.max_suspects,
            f"{pictures:,} of {total:,} pictures have {text} (IoU over {limits.overlap:g})",
            examples=[
                f"{pair.split}: {pair.source_id}: objects {pair.first} ({labels[pair.classes[0]]}) "
                f"and {pair.second} ({labels[pair.classes[1]]}), IoU {pair.overlap:.3f}"
                for pair in pairs[:EXAMPLES]
            ],
        )
