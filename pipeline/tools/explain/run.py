"""`convoy explain MODEL IMAGE -o DIR`: filters, feature maps, occlusion and Grad-CAM as pictures.

MODEL is a trainer's folder, a run's folder, or the name of a network, whose weights are published
ones (--weights) or random (--random). A detector's filters and feature maps are drawn; occlusion
and Grad-CAM are of a classifier's score.
"""

from __future__ import annotations

import difflib
import io
import pathlib

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image

from convoy import models
from convoy.data.files.files import SourceError
from convoy.data.images import bands
from convoy.data.images.images import load
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.input.pictures import decode
from convoy.models import resize, tasks
from convoy.models.heads import without_heads
from convoy.models.spec import ModelInfo, Preprocess
from convoy.models.structure import lines
from convoy.models.weights import load as importer
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.networks import network, pretrained
from convoy.pipeline.report.overlay import caption
from convoy.pipeline.tools.explain import gradcam, heat, tiles
from convoy.pipeline.tools.explain.occlusion import GRAY, occlusion

PARTS = 7  # of the shorter side: the default window


def run(
    model: str,
    picture: str,
    output: pathlib.Path,
    *,
    layer: str | None = None,
    class_name: str | None = None,
    random: bool = False,
    weights: str | None = None,
    window: int | None = None,
    stride: int | None = None,
) -> dict:
    """Draws into `output`; returns what explain.json holds. Raises ValueError, OSError.

    window, stride: of the occluding square, pixels of the network's input; None: a seventh of its
    shorter side, and half the window.
    """
    task, labels = load_network(model, random, weights)
    check_pictures(task.info)
    detects = not tasks.TASKS[task.info.task].picture_scores
    task = without_heads(task)
    if detects and class_name:
        raise ValueError(
            f"{task.info.name} is for {task.info.task}: it gives no score of a whole picture"
        )
    upright, image, matrix = fitted(picture, task.info.preprocess)
    report = {"model": str(model), "network": task.info.name, "image": str(picture)}
    if weights:
        report["weights"] = weights
    report["input"] = list(image.shape)
    pages: dict[str, Image.Image] = {}
    kind = "random weights" if random else pathlib.PurePath(weights).name if weights else ""
    kind = f", {kind}" if kind else ""
    of = f"{task.info.name}{kind}"
    _filters(task, of, report, pages)
    if not detects:
        scores = np.asarray(scores_of(task, image[None]))[0]
        chosen = int(np.argmax(scores)) if class_name is None else _index(class_name, labels)
        best = np.argsort(-scores, kind="stable")[:5]
        report |= {
            "class": labels[chosen],
            "class_id": chosen,
            "score": float(scores[chosen]),
            "top": [{"class": labels[k], "score": float(scores[k])} for k in best],
        }
        of = f"{labels[chosen]} {scores[chosen]:.2f}{kind}"
    _maps(task, image, layer, of, report, pages)
    if detects:
        report["note"] = "filters and feature maps; the others need the score of a whole picture"
    else:
        side = window or max(1, round(min(image.shape[:2]) / PARTS))
        _occlusion(task, image, chosen, (side, stride or max(1, side // 2)), report)
        overlaid = heat.over(upright, report["occlusion"].pop("heat"), matrix, signed=True)
        largest = report["occlusion"]["largest_drop"]
        text = f"{side} px covered: falls by up to {largest:.2g}"
        pages["occlusion"] = caption(caption(overlaid, of), text)
        name = layer or gradcam.last_maps(lines(task.model))
        cam, _ = gradcam.gradcam(task.model, image, chosen, name)
        report["gradcam"] = {"layer": name, "size": list(cam.shape), "largest": float(cam.max())}
        overlaid = heat.over(upright, heat.enlarged(cam, image.shape[:2]), matrix)
        pages["gradcam"] = caption(caption(overlaid, of), f"Grad-CAM of {name}")
    report["pictures"] = _write(output, pages)
    write_json(output / "explain.json", report)
    return report


def load_network(model: str, random: bool = False, weights: str | None = None):
    """(task, class names) of a trainer's folder, a run's, or of a network. Raises ValueError."""
    if random or weights:
        if pathlib.Path(model).exists() and model not in models.list_models():
            flag = "--random" if random else "--weights"
            raise ValueError(f"{flag}: expected a network's name, got {model}, which has its own")
        check_pictures(models.describe(model))  # or the closest names
        keras.config.set_dtype_policy("float32")
        keras.utils.set_random_seed(0)
        if weights:
            return published(model, weights)
        task = models.build_task(model)
        return task, _numbers(task)
    if model in models.list_models():
        raise ValueError(
            f"{model} is a network's name: expected a folder with trained weights; --weights "
            "imagenet takes published ones, --random draws them"
        )
    if not pathlib.Path(model).is_dir():
        raise FileNotFoundError(f"{model}: no such folder, and no network of that name")
    return network.load(pathlib.Path(model), precision="float32")


def published(name: str, weights: str):
    """(task, class names) with the weights of a file, for as many classes as that is."""
    if models.backbone_of(name):
        raise ValueError(
            f"--weights: {name} is for {models.describe(name).task}: a file of published weights "
            "has no classes of it; expected a classification network"
        )
    path = pretrained.find(weights, name)
    task = models.build_task(name)
    report = importer.load(task.model, name, path)
    if report.classes not in (None, task.info.num_classes):
        task = models.build_task(name, num_classes=report.classes)
        report = importer.load(task.model, name, path)
    if lacking := [*report.missing, *report.mismatched]:
        raise ValueError(f"{path}: expected the whole of {name}, it lacks {', '.join(lacking)}")
    if weights == "imagenet":
        try:
            return task, pretrained.class_names()
        except (SourceError, OSError) as error:
            logging.warning("the classes have numbers, for their names are not here: %s", error)
    return task, _numbers(task)


def check_pictures(info: ModelInfo) -> None:
    """Raises ValueError."""
    if not isinstance(info.preprocess, Preprocess):
        raise ValueError(f"{info.name}: expected a network of pictures, it is of {info.task}")
    if info.preprocess.whole:
        raise ValueError(
            f"{info.name}: expected a network whose input has one size, it takes pictures of any"
        )


def _numbers(task) -> list[str]:
    return [f"class {k}" for k in range(task.info.num_classes)]


def fitted(path: str, preprocess: Preprocess) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    """The upright picture (RGB), the network's input [H, W, C], and the matrix between them."""
    want = Wanted(preprocess.channels, preprocess.bits) if preprocess.bands else Wanted()
    with wanting(want):
        stored = load(path).image
    pixels = decode(tf.constant(stored), preprocess)
    image, matrix = resize.fit(pixels, preprocess, preprocess.size)
    return bands.view(stored).convert("RGB"), image.numpy(), matrix.numpy()


def scores_of(task, images):
    """[B, K] of images as the network sees them."""
    return task.decode(task.model(tf.convert_to_tensor(images), training=False))["scores"]


def _index(name: str, labels: list[str]) -> int:
    if name not in labels:
        close = difflib.get_close_matches(name, labels, n=3, cutoff=0.0)
        raise ValueError(f"--class {name}: unknown; the closest classes are {', '.join(close)}")
    return labels.index(name)


def _filters(task, of: str, report: dict, pages: dict) -> None:
    """Of the first layer with a kernel over positions."""
    for layer in task.model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            break
    else:
        return
    shown = tiles.filters(kernel.numpy(), task.info.preprocess.channel_order)[: tiles.SHOWN]
    sides = "x".join(map(str, kernel.shape[:2]))
    report["filters"] = {"layer": layer.name, "kernel": list(kernel.shape), "shown": len(shown)}
    text = f"{layer.name}: {len(shown)} of {kernel.shape[-1]} filters {sides}"
    pages["filters"] = caption(caption(tiles.grid(shown), of), text)


def _maps(task, image, layer, of: str, report: dict, pages: dict) -> None:
    names = (
        [layer]
        if layer
        else gradcam.stage_ends(lines(task.model), not tasks.TASKS[task.info.task].picture_scores)
    )
    outputs = gradcam.activations(task.model, names)
    # Of the picture alone: a map of given regions has no picture to be drawn on.
    maps = keras.Model(task.model.inputs[0], outputs)(image[None], training=False)
    report["maps"] = []
    for name in names:
        values = tf.cast(maps[name], tf.float32).numpy()[0]
        shown = tiles.maps(values[..., : tiles.SHOWN])
        dead = int(np.sum(values.max(axis=(0, 1)) == values.min(axis=(0, 1))))
        report["maps"].append({"layer": name, "size": list(values.shape), "constant": dead})
        sides = "x".join(map(str, values.shape[:2]))
        text = f"{name}: {len(shown)} of {values.shape[-1]} maps {sides}"
        pages[f"maps_{name}"] = caption(caption(tiles.grid(shown), of), text)


def _occlusion(task, image, chosen: int, square: tuple[int, int], report: dict) -> None:
    call = tf.function(
        lambda images: scores_of(task, images)[:, chosen], autograph=False, reduce_retracing=True
    )
    result = occlusion(lambda images: call(tf.constant(images)).numpy(), image, *square)
    row, column = np.unravel_index(np.argmax(result.drops), result.drops.shape)
    report["occlusion"] = {
        "window_px": square[0],
        "stride_px": square[1],
        "gray": GRAY,
        "squares": int(result.drops.size),
        "largest_drop": float(result.drops.max()),
        "at": [int(result.rows[row]), int(result.columns[column])],
        "heat": result.heat,
    }


def _write(output: pathlib.Path, pages: dict[str, Image.Image]) -> list[str]:
    output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, page in pages.items():
        buffer = io.BytesIO()
        page.save(buffer, "png")
        write_bytes(output / f"{name}.png", buffer.getvalue())
        paths.append(str(output / f"{name}.png"))
    return paths
