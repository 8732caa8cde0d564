"""`convoy doctor DIR`: what is wrong with a data set, before anything is made of it."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from typing import Any

from convoy.data.exports import ExportError
from convoy.data.images import bands
from convoy.data.images.wanted import Wanted
from convoy.data.ingest.shards import IngestError
from convoy.data.sample import BadSample
from convoy.data.sources import SourceError, source
from convoy.pipeline.components.example_gen import Params
from convoy.pipeline.errors import Refused, UsageError
from convoy.pipeline.report import pages
from convoy.pipeline.tools.doctor import findings, repair
from convoy.pipeline.tools.doctor.limits import Limits
from convoy.pipeline.tools.doctor.survey import Found, Picture, Survey, found, survey
from convoy.pipeline.tools.validate_records import roles
from convoy.pipeline.validation import checks
from convoy.pipeline.validation.checks import Check
from convoy.pipeline.validation.report import content

SHOWN = 8  # groups of pictures on the page, and pictures of each
THUMBNAIL_PX = 160


def run(
    path: str,
    format_name: str = "auto",
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    html: str | None = None,
    fix: str | None = None,
    looks: Wanted = Wanted(),  # noqa: B008  (frozen)
) -> dict[str, Any]:
    """The result for --json. Raises Refused, with it, where a limit is passed; UsageError."""
    _check_looks(looks, fix)
    place = pathlib.Path(path)
    if not os.path.lexists(place):
        raise UsageError(f"{path}: no such folder or archive")
    try:
        source(format_name) if format_name != "auto" else None
    except SourceError as error:
        raise UsageError(f"--format: {error}") from None
    out = pathlib.Path(fix).absolute() if fix else None
    if out:
        repair.check_output(out, place)
    try:
        data = found(place, Params(format=format_name, splits=(), **dataclasses.asdict(looks)))
        seen = survey(data, limits)
    except (SourceError, IngestError) as error:
        return _concluded(path, [findings.of_refusal(str(error))], html, {"format": None})
    records = {name: split["records"] for name, split in seen.statistics["splits"].items()}
    train, judges = roles(records)
    rows = findings.of_survey(seen, data.listing.labels, train, judges, limits)
    result: dict[str, Any] = {
        "format": data.format,
        "splits": records,
        "train": train,
        "classes": list(data.listing.labels),
        "pictures": seen.accounted,
        "rejected": len(seen.rejected),
        "warnings": seen.warnings,
        "overlap": seen.overlap,
        "alike": [[findings.described(p, data.listing.labels) for p in group]
                  for group in _groups(seen)],
        "notes": list(data.listing.notes),
        **seen.statistics["told"],
        "limits": dataclasses.asdict(limits),
    }  # fmt: skip
    problem = None
    if out:
        try:
            result["fix"] = repair.fix(data, seen, train, judges, str(place.absolute()), out)
        except ExportError as error:  # what was found is told all the same
            problem, result["fix"] = error, {"error": str(error)}
    page = {
        "cards": {**records, **{name.replace("_", " "): n for name, n in seen.accounted.items()}},
        "alike": _galleries(data, seen) if html else [],
        "repaired": result.get("fix", {}).get("changed", {}),
        **(_content(seen, rows, train, judges) if html else {}),
    }
    result = _concluded(path, rows, html, result, page)
    if problem:
        raise problem
    return result


def _check_looks(looks: Wanted, fix: str | None) -> None:
    if looks.channels is None and looks.bits != 8:
        raise UsageError("--bits 16 needs --channels, how many each picture has (1 gray, 3 RGB)")
    if looks.channels is not None and not 1 <= looks.channels <= bands.MOST:
        raise UsageError(f"--channels: expected 1 to {bands.MOST}, got {looks.channels}")
    if fix and (looks.channels not in (None, 1, 3) or looks.bits != 8):
        raise UsageError(
            f"--fix writes 8-bit gray or RGB, not {looks.channels} channels of {looks.bits} bits"
        )


def _content(seen: Survey, rows: list[Check], train: str, judges: list[str]) -> dict[str, Any]:
    splits = {name: seen.statistics["splits"][name] for name in (train, *judges)}
    return content(rows, splits, {name: seen.boxes[name] for name in splits})


def _concluded(
    path: str,
    rows: list[Check],
    html: str | None,
    result: dict[str, Any],
    page: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the page; raises Refused where a row is refused."""
    clean, _ = checks.verdict(rows)
    summary = _summary(rows)
    if html:
        empty = {"cards": {}, "alike": [], "repaired": {}, **content(rows, {}, {})}
        verdict = {
            "kind": "blessed" if clean else "refused",
            "word": "Clean" if clean else "Over limits",
            "summary": summary,
        }
        name = pathlib.Path(path).absolute().name
        shown = {**empty, **(page or {})}
        pages.write(pathlib.Path(html), "doctor.html", name=name, verdict=verdict, **shown)
    result = {
        "clean": clean,
        "summary": summary,
        "checks": [dataclasses.asdict(row) for row in rows],
        **result,
        **({"html": html} if html else {}),
    }
    if not clean:
        raise Refused(summary, result)
    return result


def _summary(rows: list[Check]) -> str:
    over = [row for row in rows if row.verdict == checks.REFUSED]
    warned = [row for row in rows if row.verdict == checks.WARNING]
    listed = "; ".join(
        f"{row.name}: {row.text}" + (f", e.g. {row.examples[0]}" if row.examples else "")
        for row in over
    )
    also = f"; {len(warned)} warnings" if warned else ""
    return f"{len(over)} of {len(rows)} checks are over their limits{also}. {listed}".strip()


def _groups(seen: Survey) -> list[list[Picture]]:
    return [[seen.pictures[row] for row in group] for group in seen.alike]


def _galleries(data: Found, seen: Survey) -> list[dict[str, Any]]:
    """Groups that look alike, those of different classes first."""
    conflicts = findings.conflicts(seen)
    others = [group for group in _groups(seen) if group not in conflicts]
    shown = [*conflicts, *others][:SHOWN]
    wanted = {(p.split, p.source_id) for group in shown for p in group[:SHOWN]}
    references = {
        (r.split, r.source_id): r
        for r in data.listing.references
        if (r.split, r.source_id) in wanted
    }
    galleries = []
    for group in shown:
        pictures = {}
        for picture in group[:SHOWN]:
            small = _thumbnail(data, references[picture.split, picture.source_id])
            if small:
                pictures[findings.described(picture, data.listing.labels)] = pages.uri(
                    small, "jpeg"
                )
        kind = "the same" if len({p.sha256 for p in group}) == 1 else "alike"
        other = ", of different classes" if group in conflicts else ""
        galleries.append({"caption": f"{len(group)} pictures {kind}{other}", "pictures": pictures})
    return galleries


def _thumbnail(data: Found, reference) -> bytes | None:
    try:
        sample = source(data.format).read(
            reference, data.work.labels, max_pixels=data.work.max_pixels, warn=lambda *_: None
        )
    except BadSample:
        return None
    small = bands.view(sample.image).convert("RGB")
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG")
    return encoded.getvalue()
