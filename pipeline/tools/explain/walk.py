"""`convoy explain MODEL IMAGE -o DIR --interactive`: a network to walk through, as one HTML file.

The picture, and the layers behind it as planes in 3-D that hold what this picture makes of them;
turned by dragging or the arrow keys, zoomed by the wheel or + and -, and a map that is clicked is
shown large with its numbers. Planes are pictures that the browser itself turns (CSS transforms):
no library, no WebGL, nothing from the network. Maps of more than 112 px are made smaller by means.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib

import keras
import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image

from convoy.models import tasks
from convoy.models.heads import without_heads
from convoy.models.structure import Line, lines
from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.report import pages
from convoy.pipeline.tools.explain import run, tiles

PAGE = "walk.html"
MOST_PLANES = 28
MOST_UNITS = 4096  # of a layer without positions
LARGEST = 112  # px of a map's longer side
GAP = 1  # px between maps
# What stands behind a nonlinearity, reduces maps, or joins all positions.
_SHOWN = ("ReLU", "Activation", "LeakyReLU", "Dense", "MaxPool", "AveragePool", "Subsample")


@dataclasses.dataclass(frozen=True)
class Plane:
    """One layer: its maps as tiles of one picture."""

    name: str
    title: str  # "conv1_1: 64 of 64 maps of 224 x 224"
    png: bytes
    tile: tuple[int, int]  # height, width of a map in the picture, pixels
    columns: int
    maps: tuple[tuple[int, float, float], ...]  # of each: its number, least and largest value


def write(
    model: str,
    picture: str,
    output: pathlib.Path,
    *,
    random: bool = False,
    weights: str | None = None,
) -> dict:
    """Writes OUTPUT/walk.html; returns {"network", "page", "planes", "bytes", ...}.

    Raises ValueError, OSError, as `run.run`.
    """
    task, labels = run.load_network(model, random, weights)
    run.check_pictures(task.info)
    scored = tasks.TASKS[task.info.task].picture_scores
    task = without_heads(task)
    upright, image, _ = run.fitted(picture, task.info.preprocess)
    planes = [_of_picture(upright), *planes_of(task.model, image)]
    best = []
    if scored:
        scores = np.asarray(run.scores_of(task, image[None]))[0]
        order = np.argsort(-scores, kind="stable")[:5]
        best = [(labels[k], float(scores[k])) for k in order]
    template = pathlib.Path(__file__).with_name(PAGE).read_text("utf-8")
    content = pages.ENVIRONMENT.from_string(template).render(
        network=task.info.name,
        kind="random weights" if random else pathlib.PurePath(weights or "").name,
        planes=[{**dataclasses.asdict(p), "uri": pages.uri(p.png, "png")} for p in planes],
        told=[
            {"title": p.title, "tile": p.tile, "columns": p.columns, "maps": p.maps} for p in planes
        ],
        best=best,
    )
    output.mkdir(parents=True, exist_ok=True)
    write_bytes(output / PAGE, content.encode())
    report = {"network": task.info.name, "image": str(picture), "page": str(output / PAGE)}
    report |= {"planes": [plane.name for plane in planes], "bytes": len(content.encode())}
    return report | ({"class": best[0][0], "score": best[0][1]} if best else {})


def planes_of(model: keras.Model, image: np.ndarray) -> list[Plane]:
    """Of one image [H, W, C] as the network sees it."""
    names = chosen(lines(model))
    outputs = {name: model.get_layer(name).output for name in names}
    values = keras.Model(model.inputs[0], outputs)(image[None], training=False)
    return [plane(name, tf.cast(values[name], tf.float32).numpy()[0]) for name in names]


def chosen(layers: list[Line]) -> list[str]:
    """At most MOST_PLANES layers in order: those of each size's end, and evenly those between."""
    shown = [
        line
        for line in layers
        if line.name.partition(":")[0] == line.name
        and len(line.size) in (1, 3)
        and line.inputs
        and (line.kind in _SHOWN or "Pool" in line.kind or _ends_in_kernel(line, layers))
    ]
    if len(shown) <= MOST_PLANES:
        return [line.name for line in shown]
    ends = [n for n, line in enumerate(shown) if shown[n + 1 : n + 2] != [] and
            shown[n + 1].size[:2] != line.size[:2]]  # fmt: skip
    keep = {*ends[-MOST_PLANES + 1 :], len(shown) - 1}
    others = [n for n in range(len(shown)) if n not in keep]
    room = MOST_PLANES - len(keep)
    keep |= {others[round(i)] for i in np.linspace(0, len(others) - 1, room)} if room else set()
    return [shown[n].name for n in sorted(keep)]


def _ends_in_kernel(line: Line, layers: list[Line]) -> bool:
    """A layer with a kernel whose output no norm or nonlinearity follows alone."""
    if line.kernel is None or not line.macs:
        return False
    behind = [reader.kind for reader in layers if line.name in reader.inputs]
    return not any("Norm" in kind or kind in ("ReLU", "Activation") for kind in behind)


def plane(name: str, values: np.ndarray) -> Plane:
    """Of a layer's output, [h, w, K] or [K]."""
    if values.ndim == 1:
        values = values[None, None]
    height, width, count = values.shape
    positions = height * width > 1
    most = tiles.SHOWN if positions else MOST_UNITS
    picked = np.arange(count)
    if count > most:  # those whose mean size is largest, in their own order
        picked = np.sort(np.argsort(-np.abs(values).mean((0, 1)), kind="stable")[:most])
    maps = values[..., picked]
    lows, highs = maps.min((0, 1)), maps.max((0, 1))
    each = np.moveaxis(maps, -1, 0)
    # Units side by side are dark to bright over all of them.
    shades = [tiles.shaded(each_map) for each_map in each] if positions else tiles.shaded(each)
    small = [_smaller(np.uint8(np.round(255 * shade))) for shade in shades]
    columns = math.ceil(math.sqrt(len(small) * small[0].shape[0] / small[0].shape[1]))
    what = f"maps of {height} x {width}" if positions else "units"
    return Plane(
        name,
        f"{name}: {len(picked)} of {count} {what}",
        _png(_joined(small, columns)),
        small[0].shape[:2],
        columns,
        tuple((int(n), *map(_short, pair)) for n, *pair in zip(picked, lows, highs, strict=True)),
    )


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _smaller(tile: np.ndarray) -> np.ndarray:
    scale = max(tile.shape) / LARGEST
    if scale <= 1:
        return tile
    size = tuple(max(1, round(side / scale)) for side in reversed(tile.shape))
    return np.asarray(Image.fromarray(tile).resize(size, Image.Resampling.BOX))


def _joined(small: list[np.ndarray], columns: int) -> np.ndarray:
    height, width = small[0].shape
    rows = math.ceil(len(small) / columns)
    page = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), np.uint8)
    for index, tile in enumerate(small):
        top, left = index // columns * (height + GAP), index % columns * (width + GAP)
        page[top : top + height, left : left + width] = tile
    return page


def _png(shades: np.ndarray) -> bytes:
    """Dark to bright in viridis, as a picture of a palette."""
    picture = Image.fromarray(shades, "L").convert("P")
    picture.putpalette(np.uint8(np.round(255 * colormaps["viridis"](np.arange(256))[:, :3])))
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def _of_picture(upright: Image.Image) -> Plane:
    small = upright.convert("RGB")
    small.thumbnail((2 * LARGEST, 2 * LARGEST))
    file = io.BytesIO()
    small.save(file, "PNG")
    title = f"picture of {upright.height} x {upright.width}"
    return Plane("picture", title, file.getvalue(), (small.height, small.width), 1, ((0, 0, 255),))
