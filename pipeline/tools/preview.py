"""`convoy preview RECIPE -o DIR`: the first batches as the loss will see them, drawn.

The pictures come out of the trainer's own input: augmented, fitted into the network's input, mixed
where the recipe asks for it, with their targets encoded. Shown are boxes with the names of their
classes, and, where the records hold them, masks, keypoints, segmentation and, at the right of it,
the picture that is to become of it; below each picture its
labels (with their shares where pictures are mixed), for detectors how many priors learn an object,
and its source_id.
"""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from convoy.data import example, tfrecord
from convoy.data.input.input import Stream, keypoints_of, shards, training_batches
from convoy.data.input.proposed import given_of
from convoy.data.sample import Sample
from convoy.models import tasks
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.components.trainer import labels_of
from convoy.pipeline.config import Recipe
from convoy.pipeline.manifest import channels_of, manifest_of, scale_of
from convoy.pipeline.networks import network
from convoy.pipeline.report import overlay, skeletons
from convoy.pipeline.training import class_weights

SHOWN = 16  # pictures per batch
CELL_PX = 320  # least side of a drawn picture


def run(recipe: Recipe, records: pathlib.Path, output: pathlib.Path, batches: int = 3) -> dict:
    """Draws DIR/batch1.png and so on; returns what `--json` prints. Raises ValueError."""
    manifest = manifest_of(records)
    labels, _, _ = labels_of(records, recipe.task, recipe.data.train, recipe.model)
    made_for = {"task": recipe.task, "scale": scale_of(records), "channels": channels_of(records)}
    task = network.build(recipe.model, labels, recipe.train, recipe.seed, **made_for)
    stream = stream_of(recipe, records, task, labels)
    output.mkdir(parents=True, exist_ok=True)
    pictures, descriptions = [], []
    for number, batch in enumerate(training_batches(stream).take(batches), start=1):
        shown, margin = min(stream.batch_size, SHOWN), stream.preprocess.margin
        rows = [_row(batch, index, margin) for index in range(shown)]
        classes, names = manifest["labels"], manifest.get("segmentation_labels") or labels
        drawn = [draw(row, classes, names, manifest.get("keypoints", ())) for row in rows]
        path = output / f"batch{number}.png"
        buffer = io.BytesIO()
        overlay.sheet(drawn, columns=4).save(buffer, "png")
        write_bytes(path, buffer.getvalue())
        pictures.append(str(path))
        descriptions += [describe(row, classes) for row in rows]
    write_json(output / "preview.json", descriptions)
    return {"pictures": pictures, "samples": descriptions}


def stream_of(recipe: Recipe, records: pathlib.Path, task, labels: Sequence[str]) -> Stream:
    """The trainer's stream, whose targets also tell what they were encoded from."""
    common = {
        "records": records,
        "split": recipe.data.train,
        "preprocess": task.info.preprocess,
        "augment": recipe.augment,
        "seed": recipe.seed,
        "batch_size": recipe.train.batch_size,
        "max_boxes": recipe.train.max_boxes,
        "shuffle_buffer": recipe.train.shuffle_buffer,
        "target_scale": scale_of(records),
        "repeats": class_weights.repeats_of(
            records, recipe.data.train, labels, recipe.train.balance
        ),
        **keypoints_of(records),
        **given_of(records, task.takes),
    }

    fields = (*tasks.TASKS[recipe.task].fields, *task.takes)
    plain = Stream(**common, fields=fields, encode=task.encode)
    if plain.together > 1 and "boxes" not in fields:  # what is mixed is the encoded targets
        return plain
    found = _extra_fields(records, recipe.data.train, "boxes" in fields)
    extra = () if plain.together > 1 else tuple(name for name in found if name not in fields)

    def encode_all(annotation):
        encoded = task.encode({name: annotation[name] for name in annotation if name not in extra})
        return {**annotation, "encoded": encoded}

    return Stream(**common, fields=(*fields, *extra), encode=encode_all)


def draw(row: dict, labels, segmentation_labels=(), keypoints=()) -> Image.Image:
    """One picture of a batch with its annotation; the row is as `training_example` makes it.

    labels: names of the objects' or pictures' classes; keypoints: names, which tell the skeleton.
    """
    targets = row["targets"]
    picture = np.clip(np.round(row["image"]), 0, 255).astype(np.uint8)
    if picture.shape[-1] != 3:
        picture = np.repeat(np.round(picture.mean(-1, keepdims=True)).astype(np.uint8), 3, -1)
    if "segmentation" in targets:
        picture = _tinted(picture, targets["segmentation"], len(segmentation_labels))
    valid = targets.get("valid", np.zeros(0, bool))
    for mask, k in zip(targets.get("masks", ()), targets.get("classes", ()), strict=False):
        shade = np.array(overlay.color(k), np.float32)
        blend = (0.5 * picture + 0.5 * shade).astype(np.uint8)
        picture = np.where(mask[..., None] > 0, blend, picture)
    if "target" in targets:
        picture = _beside(picture, targets["target"])
    scale = max(1, -(-CELL_PX // min(picture.shape[:2])))
    large = Image.fromarray(picture).resize(
        (picture.shape[1] * scale, picture.shape[0] * scale), Image.Resampling.NEAREST
    )
    if valid.any():
        boxes, classes = targets["boxes"][valid] * scale, targets["classes"][valid]
        large = overlay.draw(large, boxes, classes, None, labels)
    if "keypoints" in targets:
        people = targets["keypoints"][valid] * [scale, scale, 1]
        skeletons.draw(large, people, keypoints)
    return overlay.caption(large, "  ".join((*_notes(describe(row, labels)), row["source_id"])))


def _beside(picture: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The picture, its pixels as large as they are in the target, and the target at its right."""
    factor = len(target) // len(picture)
    large = np.kron(picture, np.ones((factor, factor, 1), np.uint8))
    return np.hstack([large, np.clip(np.round(target), 0, 255).astype(np.uint8)])


def describe(row: dict, labels) -> dict:
    """The description of one picture: {"source_id", "labels", "objects", ...}, what it has."""
    targets, description = row["targets"], {"source_id": row["source_id"]}
    if "distribution" in targets:
        order = np.argsort(-targets["distribution"], kind="stable")
        shares = [(labels[k], float(targets["distribution"][k])) for k in order]
        description["labels"] = [f"{name} {share:.2f}" for name, share in shares if share > 0.005]
    elif "labels" in targets:
        description["labels"] = [labels[k] for k in targets["labels"] if k >= 0]
    elif "label" in targets:
        description["labels"] = [labels[int(targets["label"])]]
    if "valid" in targets:
        description["objects"] = [labels[k] for k in targets["classes"][targets["valid"]]]
    if "cls" in targets.get("encoded", {}):
        description["priors"] = int(np.count_nonzero(targets["encoded"]["cls"]))
    if "caption" in targets:
        description["caption"] = targets["caption"].decode("utf-8", "replace")
    return description


def _notes(description: dict) -> list[str]:
    notes = [", ".join(description["labels"])] if description.get("labels") else []
    if "objects" in description:
        notes.append(f"{len(description['objects'])} objects")
    notes += [f"{description['priors']} priors"] if "priors" in description else []
    return notes + ([description["caption"]] if "caption" in description else [])


def _row(batch: dict, index: int, margin: int) -> dict:
    """One row of a batch as NumPy, its source_id as text; the picture without its margin."""

    def pick(value):
        if isinstance(value, dict):
            return {name: pick(inner) for name, inner in value.items()}
        return value.numpy()[index]

    row = pick(batch)
    height, width = row["image"].shape[:2]
    row["image"] = row["image"][margin : height - margin, margin : width - margin]
    return {**row, "source_id": row["source_id"].decode("utf-8", "replace")}


def _extra_fields(records: pathlib.Path, split: str, detects: bool) -> list[str]:
    """Which further annotation the records hold, by the first that has objects."""
    sample: Sample | None = None
    for path in shards(records, split):
        for record in tfrecord.read(path):
            sample = example.decode(record)
            if len(sample.boxes) or not detects:
                break
        if sample is not None and (len(sample.boxes) or not detects):
            break
    present = {
        "masks": detects and bool(sample.masks),
        "keypoints": detects and bool(sample.keypoints.size),
        "segmentation": bool(sample.segmentation),
    }
    return [name for name, has_it in present.items() if has_it]


def _tinted(picture: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """The picture mixed with the colours of its classes; 0 of several and 255 stay as they are."""
    colors = np.array([overlay.color(k) for k in range(256)], np.float32)
    shown = (values < min(count, 255)) & ((values > 0) | (count < 2))
    blend = (0.6 * picture + 0.4 * colors[values]).astype(np.uint8)
    return np.where(shown[..., None], blend, picture)
