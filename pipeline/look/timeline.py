"""The page of runs: metrics over trainings, what was pushed and why not, drift of the data."""

from __future__ import annotations

import itertools
import pathlib

from google.protobuf import text_format
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tensorflow_metadata.proto.v0 import schema_pb2

from convoy.pipeline import versions
from convoy.pipeline.components.schema_gen import datasets
from convoy.pipeline.look.context import Json, page
from convoy.pipeline.look.places import UNREADABLE, Places
from convoy.pipeline.validation import drift

SERIES = 6  # metrics in the plot


def show(request: Request) -> Response:
    places: Places = request.app.state.context.places
    found, faults = places.evaluations()
    rows = [_shown(row) | {"key": key} for key, row in found.items()]
    drifted, more = drifts(places)
    return page(
        request,
        "runs.html",
        rows=rows,
        drifts=drifted,
        going=places.going(),
        faults=[*faults, *more],
        steps=[(run.name, _steps(run)) for run in places.runs()],
    )


def series(request: Request) -> Response:
    """{"points": [{"label", "key", metric: value}], "metrics": [...]}, the oldest first."""
    found, _ = request.app.state.context.places.evaluations()
    points, seen = [], {}
    for key, row in reversed(found.items()):
        numbers = versions.read(row["folder"] / "metrics.json")
        # Of five classes or fewer each is among the best five.
        few = ("top5",) if len(numbers.get("per_class", {})) in range(1, 6) else ()
        plain = {k: v for k, v in numbers.items() if _is_part(v) and k not in few}
        for name in (row["metric"], *plain):
            seen.setdefault(name, 0)
        run = pathlib.Path(row["run"]).name
        label = f"{run} {row['when'][:16].replace('T', ' ')}"
        points.append({"label": label, "key": key, "pushed": row["pushed"], "values": plain})
    names = list(seen)[:SERIES]
    return Json({"points": points, "metrics": names})


def drifts(places: Places) -> tuple[list[dict], list[str]]:
    """(rows: from one data set to the next of a run, each split and feature; what went wrong)."""
    rows, faults = [], []
    for run in places.runs():
        try:
            rows += _drifts_of(run)
        except (*UNREADABLE, text_format.ParseError) as error:
            faults.append(f"{run}: its statistics cannot be compared: {error}")
    return rows, faults


def _drifts_of(run: pathlib.Path) -> list[dict]:
    made = [
        (versions.read(path)["started"], path.parent)
        for path in run.glob("artifacts/statistics_gen/*/run.json")
        if not path.parent.suffix
    ]
    schemas = sorted(run.glob("artifacts/schema_gen/*/schema.pbtxt"))
    if len(made) < 2 or not schemas:
        return []
    schema = text_format.Parse(schemas[-1].read_text(), schema_pb2.Schema())
    folders = [folder for _, folder in sorted(made)]
    rows = []
    for before, after in itertools.pairwise(folders):
        first, second = datasets(before), datasets(after)
        for split in sorted(first.keys() & second.keys()):
            for item in drift.compare(schema, "drift_comparator", first[split], second[split]):
                rows.append(
                    {
                        **{"run": run.name, "split": split, "feature": item.feature},
                        **{"from": before.name[:8], "to": after.name[:8], "norm": item.norm},
                        **{"value": item.value, "threshold": item.threshold},
                        **{"largest": item.largest, "over": item.value > item.threshold},
                    }
                )
    return sorted(rows, key=lambda row: row["threshold"] - row["value"])


def _steps(run: pathlib.Path) -> list[tuple[str, str]]:
    """(component, how it stands) of a run's store."""
    found = []
    for folder in sorted((run / "artifacts").glob("[!.]*/")):
        done = [p for p in folder.glob("*/run.json") if not p.parent.suffix]
        begun = [p for p in folder.glob("*.partial") if any(p.iterdir())]
        text = f"{len(done)} finished" + (f", {len(begun)} begun, not finished" if begun else "")
        found.append((folder.name, text if done or begun else "not begun"))
    return found


def _shown(row: dict) -> dict:
    return {
        **{name: row[name] for name in ("network", "data", "metric", "value", "verdict")},
        "run": pathlib.Path(row["run"]).name,
        "when": row["when"][:16].replace("T", " "),
        "state": "pushed" if row["pushed"] else "blessed" if row["blessed"] else "refused",
        "pushed": ", ".join(
            f"version {n}" if n > 0 else f"version {-n}, withdrawn" for n in row["pushed"]
        ),
    }


def _is_part(value) -> bool:
    """Whether a metric fits an axis from 0 to 1."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


ROUTES = (Route("/runs", show), Route("/api/runs", series))
