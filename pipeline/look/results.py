"""The page of results: answers beside the truth, errors by kind, worst first, two runs together."""

from __future__ import annotations

import json
import math
import pathlib

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convoy.pipeline import tasks, versions
from convoy.pipeline.evaluation import worst
from convoy.pipeline.evaluation.worst import Judged
from convoy.pipeline.look import data, judging, places, shapes
from convoy.pipeline.look.context import Context, Json, page
from convoy.pipeline.look.pictures import Gone, Records

PER_PAGE = 24


def show(request: Request) -> Response:
    found, faults = request.app.state.context.places.evaluations()
    names = {key: _called(row) for key, row in found.items()}
    return page(request, "results.html", evaluations=names, faults=faults)


def _called(row: dict) -> str:
    value = "" if row["value"] is None else f" {row['value']:.4f}"
    when = row["when"][:16].replace("T", " ")
    pushed = f", pushed as {max(row['pushed'])}" if row["pushed"] else ""
    return (
        f"{pathlib.Path(row['run']).name} {when} {row['network']}: {row['metric']}{value}{pushed}"
    )


def evaluation_of(context: Context, key: str) -> dict:
    """The row of a key, "" = the newest. Raises Gone."""
    found, faults = context.places.evaluations()
    if not found:
        told = f" ({faults[0]})" if faults else ""
        raise Gone(
            f"nothing is evaluated here yet{told}: open this page with the folder of a run that "
            "has come so far"
        )
    if key and key not in found:
        raise Gone("this evaluation is not there any more: load the page again")
    return found[key or next(iter(found))]


def judged_of(context: Context, row: dict) -> Judged:
    """Raises Working while it is made, ValueError, OSError."""
    folder = row["folder"]
    path = folder / worst.PREDICTIONS
    if not path.is_file():
        raise Gone(f"{path}: the answers of this evaluation were removed; evaluate again")
    if not worst.records_of(folder).is_dir():
        raise Gone(
            f"the records that {folder.name} was evaluated on were removed "
            f"({worst.records_of(folder)}): its answers cannot be compared with the truth"
        )
    told = f"comparing the answers of {folder.name} with the truth, once"
    stamp = path.stat().st_mtime_ns
    return context.judged.get((folder, stamp), lambda: judging.load(folder), told)


def summary(request: Request) -> Response:
    """Metrics, verdict and what the page's controls need; then `at`, unless it cannot be judged."""
    context = request.app.state.context
    row = evaluation_of(context, request.query_params.get("evaluation", ""))
    folder, task = row["folder"], row["task"]
    numbers = versions.read(folder / "metrics.json")
    told = {
        "evaluation": places.key_of(folder),
        "task": task,
        "network": row["network"],
        "verdict": row["verdict"],
        "metrics": {k: v for k, v in numbers.items() if isinstance(v, (int, float))},
        "judged": hasattr(tasks.of(task), "judged"),
        "threshold": worst.threshold_of(folder, task),
    }
    if told["judged"]:
        judged = judged_of(context, row)
        told |= {"labels": judged.labels, "kinds": judged.kinds, "curve": judging.curve(judged)}
        told["pictures"] = len(judged.source_ids)
    return Json(told)


def at(request: Request) -> Response:
    context, query = request.app.state.context, request.query_params
    row = evaluation_of(context, query.get("evaluation", ""))
    return Json(judging.at(judged_of(context, row), threshold_of(query)))


def listed(request: Request) -> Response:
    """Pictures of a kind, a cell or a bin, the worst first, with truth and answer."""
    context, query = request.app.state.context, dict(request.query_params)
    row, threshold = evaluation_of(context, query.get("evaluation", "")), threshold_of(query)
    if not hasattr(tasks.of(row["task"]), "judged"):
        return Json(_plain(context, row, query))
    judged = judged_of(context, row)
    found, amounts = judging.chosen(judged, threshold, query)
    shown, told = _paged(found.tolist(), query)
    side = Side(context, row, judged, threshold)
    told["rows"] = [side.cell(n) | {"amount": round(float(amounts[n]), 3)} for n in shown]
    return Json(told | {"about": side.about()})


def compared(request: Request) -> Response:
    """The pictures of two evaluations, by how much changed from the first to the second."""
    context, query = request.app.state.context, dict(request.query_params)
    rows = [evaluation_of(context, query.get(name, "")) for name in ("evaluation", "other")]
    if rows[0]["task"] != rows[1]["task"]:
        raise ValueError(
            f"{_called(rows[0])} is of {rows[0]['task']}, {_called(rows[1])} of {rows[1]['task']}: "
            "their answers cannot be compared"
        )
    both = [judged_of(context, row) for row in rows]
    limits = (threshold_of(query), worst.threshold_of(rows[1]["folder"], rows[1]["task"]))
    changes = judging.changed(*both, limits)
    sides = [Side(context, *each) for each in zip(rows, both, limits, strict=True)]
    shown, told = _paged([row for row in changes if row[2] != row[3]], query)
    told["rows"] = [
        sides[0].cell(a)
        | {"other": sides[1].cell(b)["found"], "amount": round(was, 3), "then": round(now, 3)}
        for a, b, was, now in shown
    ]
    better = sum(row[3] < row[2] for row in changes)
    worse = sum(row[3] > row[2] for row in changes)
    told |= {"better": better, "worse": worse, "same": len(changes) - better - worse}
    return Json(told | {"about": sides[0].about(), "names": [_called(row) for row in rows]})


class Side:
    """One evaluation's pictures as cells of a grid."""

    def __init__(self, context: Context, row: dict, judged: Judged, threshold: float):
        folder = worst.records_of(row["folder"])
        self.key = places.key_of(folder)
        self.records: Records = data.of_folder(context, folder)
        self.own = self.records.index.of_split(worst.about_of(row["folder"])["split"])
        self.module, self.labels = tasks.of(row["task"]), judged.labels
        self.lines, self.threshold = judged.lines, threshold
        self.path = row["folder"] / worst.PREDICTIONS
        self.kinds, self.judged = judged.kinds, judged
        self.wrong = judged.wrong(threshold)

    def about(self) -> dict:
        return data.about(self.records) | {"answer_labels": self.labels}

    def cell(self, n: int) -> dict:
        """A picture with its truth, what was found, and what of it was wrong."""
        told = data.row_of(self.records, self.key, int(self.own[n]))
        with open(self.path, "rb") as file:
            file.seek(int(self.lines[n]))
            line = json.loads(file.readline())
        own = slice(*np.searchsorted(self.judged.pictures, [n, n + 1]))
        wrong = self.judged.verdicts[own][self.wrong[own]]
        wrong = wrong[np.argsort(-wrong["amount"], kind="stable")]
        told["errors"] = [
            [self.kinds[v["kind"]], int(v["truth"]), int(v["said"])] for v in wrong[:20]
        ]
        return told | {"found": drawn(self.module, line, self.labels, self.threshold)}


def drawn(module, line: dict, labels, threshold: float) -> dict:
    """What a browser draws of an answer: objects from the threshold on, a label map made small."""
    if not hasattr(module, "shapes"):
        return {"lines": [json.dumps({k: v for k, v in line.items() if k != "source_id"})]}
    told = module.shapes(line, labels)
    if "objects" in told:
        told["objects"] = [each for each in told["objects"] if each["score"] >= threshold]
    if "map" in told:
        told["map"] = shapes.small_map(shapes.decoded(told["map"]), shapes.MAP_PX // shapes.SMALL)
    return told


def _plain(context: Context, row: dict, query: dict) -> dict:
    """Of a task whose answers are not judged: all, in the order of the records."""
    folder = worst.records_of(row["folder"])
    records = data.of_folder(context, folder)
    own = records.index.of_split(worst.about_of(row["folder"])["split"])
    lines = [start for start, _ in worst.lines_of(row["folder"] / worst.PREDICTIONS)]
    shown, told = _paged(list(range(min(len(own), len(lines)))), query)
    told["rows"] = []
    with open(row["folder"] / worst.PREDICTIONS, "rb") as file:
        for n in shown:
            file.seek(lines[n])
            found = drawn(tasks.of(row["task"]), json.loads(file.readline()), records.labels, 0)
            cell = data.row_of(records, places.key_of(folder), int(own[n]))
            told["rows"].append(cell | {"found": found})
    return told | {"about": data.about(records)}


def _paged(rows: list, query: dict) -> tuple[list, dict]:
    pages = max(1, -(-len(rows) // PER_PAGE))
    number = min(max(data.whole(query.get("page", "1")), 1), pages)
    shown = rows[(number - 1) * PER_PAGE : number * PER_PAGE]
    return shown, {"total": len(rows), "page": number, "pages": pages}


def threshold_of(query) -> float:
    try:
        value = float(query.get("threshold", "0") or 0)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError(f"threshold: expected 0 to 1, got {query.get('threshold')!r}")
    return value


ROUTES = (
    Route("/results", show),
    Route("/api/results", summary),
    Route("/api/results/at", at),
    Route("/api/results/pictures", listed),
    Route("/api/results/compared", compared),
)
