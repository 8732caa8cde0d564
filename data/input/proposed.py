"""Proposals of records as networks are given them: boxes in pixels of the network's input.

Rows without area are none: pictures have other numbers of proposals, and tensors have one.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Collection

import tensorflow as tf

from convoy.data.augment import draws, geometry, plan
from convoy.data.augment.policy import Augment
from convoy.data.input import parse

FIELD = "proposals"  # of data.input.parse.FIELDS, and of models.spec.Task.takes


def given_of(records: pathlib.Path, takes: Collection[str]) -> dict:
    """What a Stream must know to read what networks are given beside the picture.

    takes: of models.spec.Task. Raises ValueError where the records do not hold it.
    """
    if FIELD not in takes:
        return {}
    manifest = json.loads((pathlib.Path(records) / "manifest.json").read_text())
    if FIELD not in manifest:
        raise ValueError(
            f"{records}: expected records with proposals, which the network is given, found none: "
            "set ingest.proposals to selective_search, selective_search_quality or edge_boxes and "
            "ingest again"
        )
    return {"max_proposals": int(manifest["params"]["max_proposals"])}


def moved(policy: Augment, parsed: dict, made: plan.Plan, size, rows: int) -> tf.Tensor:
    """[B, rows, 4] of a block's proposals in a random order, rows of 0 behind them.

    They move as boxes do; what a crop leaves of one, however little, stays.
    """
    shape = parsed["height"], parsed["width"]
    boxes = parsed[FIELD][:, :rows] * tf.cast(tf.stack(shape * 2, -1), tf.float32)[:, None, :]
    policy = policy.model_copy(update={"min_visible": 0.0, "iou_crop": 0.0})
    boxes, keep = plan.move_boxes(policy, made, boxes, *shape, size)
    boxes = tf.where(keep[..., None], boxes, 0.0)
    drawn = draws.uniform(made["key"], FIELD, rows)[:, : tf.shape(boxes)[1]]
    boxes = tf.gather(boxes, tf.argsort(tf.where(keep, drawn, 2.0)), batch_dims=1)
    return tf.ensure_shape(
        tf.pad(boxes, [[0, 0], [0, rows - tf.shape(boxes)[1]], [0, 0]]), [None, rows, 4]
    )


def fitted(serialized: tf.Tensor, sides: tf.Tensor, matrix: tf.Tensor, size) -> tf.Tensor:
    """[R, 4] of one record by rank, all with an area; `matrix` fits its picture of `sides`."""
    boxes = parse.block(serialized[None], (FIELD,))[FIELD][0]
    boxes *= tf.cast(tf.concat([sides, sides], 0), tf.float32)
    boxes, keep = geometry.transform_boxes(boxes, matrix, size, 0.0)
    return tf.boolean_mask(boxes, keep)
