"""The page of data: a grid of records, filters, histograms, and one record closely."""

from __future__ import annotations

import json
import pathlib
import time

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convoy.data.sample import BadSample
from convoy.models.pose import skeleton
from convoy.pipeline.look import alike, filters, index, pictures, shapes
from convoy.pipeline.look.context import Context, Json, page
from convoy.pipeline.look.pictures import Gone, Records
from convoy.pipeline.look.worker import Ask
from convoy.pipeline.manifest import manifest_of

PER_PAGE = 60
REJECTED = "rejected.jsonl"
LISTED = 500  # rejected samples on a page


def of(context: Context, key: str) -> Records:
    """The records of a key, "" = the newest. Raises Gone, and Working while they are read."""
    known = context.places.records()
    if not known:
        raise Gone(f"{context.places.given}: no records yet: an ingest makes them")
    if key and key not in known:
        raise Gone("these records are not there any more: load the page again")
    return of_folder(context, known[key or next(iter(known))])


def of_folder(context: Context, folder: pathlib.Path) -> Records:
    """Raises Working while they are read, FileNotFoundError, ValueError."""
    manifest_of(folder)  # says so where they are gone
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    told = f"reading the records of {folder.name}, once"
    return context.indexes.get((folder, stamp), lambda: Records(folder, index.load(folder)), told)


def show(request: Request) -> Response:
    known = request.app.state.context.places.records()
    return page(request, "data.html", records={k: _called(v) for k, v in known.items()})


def _called(folder: pathlib.Path) -> str:
    """A run's records by the run's name."""
    run = folder.parents[2] if len(folder.parents) > 2 else folder
    return f"{run.name} / {folder.name}" if folder.parent.name == "example_gen" else folder.name


def listed(request: Request) -> Response:
    """A page of the grid, and the histograms of all that the filters let through."""
    started, query = time.perf_counter(), dict(request.query_params)
    records = of(request.app.state.context, query.get("records", ""))
    if query.get("alike") == "yes":
        fits = alike.rows(request.app.state.context.indexes, records)
        found = fits[np.isin(fits, filters.rows(records.index, query))]
    else:
        found = filters.rows(records.index, query)
    pages = max(1, -(-len(found) // PER_PAGE))
    number = min(max(whole(query.get("page", "1")), 1), pages)
    rows = found[(number - 1) * PER_PAGE : number * PER_PAGE].tolist()
    known = request.app.state.context.places.records()
    key = query.get("records") or next(iter(known))
    return Json(
        {
            **{"records": key, "total": len(found), "of": len(records.index.records)},
            **{"page": number, "pages": pages, "about": about(records)},
            "rows": [row_of(records, key, row) for row in rows],
            "histograms": filters.histograms(records.index, found, len(records.labels)),
            "took_ms": round(1000 * (time.perf_counter() - started), 1),
        }
    )


def about(records: Records) -> dict:
    """What the drawing of any of these records needs, and the filters name."""
    bones = skeleton.of(records.keypoints).bones if records.keypoints else ()
    return {
        "labels": records.labels,
        "map_labels": records.segmentation_labels,
        "keypoints": records.keypoints,
        "bones": [list(bone) for bone in bones],
        "splits": records.index.splits,
        "layers": _layers(records.index),
    }


def _layers(made: index.Index) -> list[str]:
    """What of the truth there is to draw, of the names that the page's boxes have."""
    bits = int(np.bitwise_or.reduce(made.records["has"], initial=0))
    has = {name: bool(bits >> n & 1) for n, name in enumerate(index.HAS)}
    there = {"boxes": len(made.objects), "masks": has["masks"], "points": has["keypoints"]}
    there |= {"map": has["map"], "names": len(made.objects), "lines": True}
    return [name for name, value in there.items() if value]


def row_of(records: Records, key: str, row: int) -> dict:
    """A cell of the grid; of a record that cannot be read its error."""
    place = records.index.records[row]
    told = {
        "row": row,
        "id": records.index.source_id(row),
        "split": records.index.splits[place["split"]],
        "copy": bool(place["copy"]),
        "thumb": f"/thumb/{key}/{row}",
        "picture": f"/picture/{key}/{row}",
    }
    try:
        return told | {"truth": shapes.truth(records.sample(row), quick=True)}
    except (ValueError, OSError, BadSample) as error:
        return told | {"error": str(error)}


def one(request: Request) -> Response:
    """One record closely."""
    key, row = request.path_params["key"], request.path_params["row"]
    records = of(request.app.state.context, key)
    sample = records.sample(row)
    place = records.index.records[row]
    told = row_of(records, key, row) | {"truth": shapes.truth(sample), "about": about(records)}
    told["facts"] = {
        "source id": sample.source_id,
        "split": sample.split,
        "size": f"{sample.width} x {sample.height} px" if sample.image else "no picture",
        "objects": len(sample.boxes),
        "bytes": len(sample.content),
        "record file": f"{records.index.shards[place['shard']]}, byte {int(place['offset'])}",
    }
    return Json(told)


def drawn(request: Request) -> Response:
    """What is drawn over a small picture of one record, with its masks and label map."""
    records = of(request.app.state.context, request.path_params["key"])
    sample = records.sample(request.path_params["row"])
    return Json(shapes.truth(sample, small=True))


def thumb(request: Request) -> Response:
    records = of(request.app.state.context, request.path_params["key"])
    return _picture(request, records.thumb(request.path_params["row"]), "image/jpeg")


def picture(request: Request) -> Response:
    records = of(request.app.state.context, request.path_params["key"])
    sample = records.sample(request.path_params["row"])
    return _picture(request, *pictures.shown(pictures.picture_of(sample)))


def _picture(request: Request, content: bytes, kind: str) -> Response:
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=300"})


def rejected(request: Request) -> Response:
    """What the ingest left out, and why."""
    records = of(request.app.state.context, request.query_params.get("records", ""))
    reason, rows, counts = request.query_params.get("reason", ""), [], {}
    path = records.folder / REJECTED
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                row = json.loads(line)
                counts[row["reason"]] = counts.get(row["reason"], 0) + 1
                if len(rows) < LISTED and reason in ("", row["reason"]):
                    rows.append(row)
    return Json({"rows": rows, "reasons": counts, "most": LISTED})


def augmented(request: Request) -> Response:
    """What a run's augmentation makes of one record: pictures in base64."""
    context: Context = request.app.state.context
    key, row = request.path_params["key"], request.path_params["row"]
    records = of(context, key)
    sample = records.sample(row)
    run = next((run for run in context.places.runs() if (run / "config.yaml").is_file()), None)
    if run is None:
        raise Gone(
            "how pictures are augmented is said by a recipe: open this page with the run's folder"
        )
    recipe, folder = str(run / "config.yaml"), str(records.folder)
    stored = records.stored(row)
    return Json(context.worker.ask(Ask("augment", (recipe, folder, sample.split, stored))))


def whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"page: expected a number, got {text!r}") from None


ROUTES = (
    Route("/data", show),
    Route("/api/data", listed),
    Route("/api/record/{key}/{row:int}", one),
    Route("/api/drawn/{key}/{row:int}", drawn),
    Route("/api/rejected", rejected),
    Route("/api/augmented/{key}/{row:int}", augmented),
    Route("/thumb/{key}/{row:int}", thumb),
    Route("/picture/{key}/{row:int}", picture),
)
