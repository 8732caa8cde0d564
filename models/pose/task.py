"""Keypoints of people, or of one object: what is learnt of them, and what is answered.

`bottom_up` makes the task of a network that finds the parts of everybody at once (openpose.py);
`single` that of a network that finds one of each keypoint (keypoints.py). Both answer the data
set's J keypoints of P people: P is 1 of the latter.
"""

from __future__ import annotations

import dataclasses
import functools

import keras
import numpy as np
from keras import ops

from convoy.models.pose.skeleton import Skeleton
from convoy.models.spec import ModelInfo, Task

MOST = 30  # people of a picture; COCO counts 20


def build(made: Task, info: ModelInfo, keypoints: tuple[str, ...] = ()) -> Task:
    """What a family built, with the counts that it has; raises ValueError for other keypoints."""
    if keypoints and len(keypoints) != info.num_classes:
        raise ValueError(
            f"{info.name}: expected names of {info.num_classes} keypoints, got {len(keypoints)}"
        )
    return dataclasses.replace(made, info=info)


def bottom_up(
    model: keras.Model, info: ModelInfo, bones: Skeleton, stages: int, stride: int
) -> Task:
    """The task of a network with outputs paf1, heat1, ..., of so many stages."""
    size = tuple(model.output["heat1"].shape[1:3])
    last = (f"paf{stages}", f"heat{stages}")
    return Task(
        model=model,
        info=info,
        encode=functools.partial(encode, bones=bones, size=size, stride=stride),
        loss=functools.partial(loss, stages=stages),
        decode=functools.partial(decode, bones=bones, stride=stride, last=last),
        answer=answer,
        difference=difference,
        reads=last,
    )


def single(model: keras.Model, info: ModelInfo, *, encode, loss, decode) -> Task:
    """The task of a network that finds each keypoint once.

    decode: outputs -> places [B, J, 3] (y, x, score) in pixels of the input.
    """

    def found(outputs, score_threshold=0.0, max_detections=MOST):
        import tensorflow as tf

        places = tf.cast(decode(outputs), tf.float32)
        score = tf.reduce_mean(places[..., 2], -1)
        valid = score >= score_threshold
        return {"places": places[:, None], "scores": score[:, None], "valid": valid[:, None]}

    return Task(
        model=model,
        info=info,
        encode=encode,
        loss=loss,
        decode=found,
        answer=answer,
        difference=difference,
    )


def encode(annotation, *, bones: Skeleton, size, stride: int) -> dict:
    """{"keypoints" [M, J, 3], "valid" [M], "unlabelled" [H, W] or none} -> heat, paf, known.

    heat [h, w, P + 1], paf [h, w, 2 L]; known [h, w, 1] float32: 0 where people may be whose
    keypoints nobody labelled, and crowds. There nothing is learnt.
    """
    import tensorflow as tf

    from convoy.models.pose import targets

    people = tf.boolean_mask(annotation["keypoints"], annotation["valid"])
    places, seen = targets.parts_of(people, bones)
    heat = targets.heat_maps(places, seen, size, stride)
    if "unlabelled" in annotation:
        known = targets.known_cells(annotation["unlabelled"], size, stride)
    else:
        known = tf.ones([*size, 1])
    return {
        "heat": targets.with_background(heat),
        "paf": targets.fields(places, seen, bones, size, stride),
        "known": known,
    }


def loss(targets, outputs, *, stages: int) -> dict:
    """Of each stage "paf" and "heat": half of the squared error, summed over known cells.

    Equations 5 and 6 of the paper. The normalizer is the number of pictures, as in the authors'
    files; known cells without a person are learnt, too.
    """
    known = ops.cast(targets["known"], "float32")
    count = ops.sum(ops.ones_like(known[:, 0, 0, 0]))
    parts = {}
    for stage in range(1, stages + 1):
        for branch in ("paf", "heat"):
            error = ops.cast(outputs[f"{branch}{stage}"], "float32") - targets[branch]
            parts[f"{branch}{stage}"] = (ops.sum(known * ops.square(error)) / 2, count)
    return parts


def decode(
    outputs, score_threshold=0.01, max_detections=MOST, *, bones: Skeleton, stride: int, last
):
    """{"places" [B, P, J, 3] pixels of the input, "scores" [B, P], "valid" [B, P]}; best first.

    P is max_detections, MOST at most. A keypoint that was not found is a row of 0.
    """
    import tensorflow as tf

    from convoy.models.pose import decoding

    paf, heat = (outputs[name] for name in last)
    found = decoding.people(heat, paf, bones, stride, min(max_detections, MOST))
    places = tf.stack([_answered(found["places"], own) for own in bones.answers], 2)
    valid = found["valid"] & (found["scores"] >= score_threshold)
    return {"places": places, "scores": found["scores"], "valid": valid}


def _answered(places, own: tuple[int, ...]):
    """[B, P, parts, 3] -> [B, P, 3]: the mean of these parts, 0 where one is missing."""
    import tensorflow as tf

    rows = tf.gather(places, list(own), axis=2)
    there = tf.reduce_all(rows[..., 2] > 0, -1, keepdims=True)
    return tf.where(there, tf.reduce_mean(rows, 2), 0.0)


def answer(decoded, matrices, sizes, names) -> dict:
    """keypoints [B, P, J, (y, x, score)] float32, pixels of the picture sent, cut to it; scores.

    scores [B, P] fall; num_people [B] int32, rows beyond them are 0. A keypoint of score 0 was not
    found, its place is 0.
    """
    import tensorflow as tf

    valid = decoded["valid"]
    rank = tf.where(valid, decoded["scores"], -1.0)
    order = tf.argsort(rank, axis=1, direction="DESCENDING", stable=True)
    valid = tf.gather(valid, order, batch_dims=1)
    scores = tf.gather(decoded["scores"], order, batch_dims=1)
    rows = tf.gather(decoded["places"], order, batch_dims=1)
    scale = tf.stack([matrices[:, 1, 1], matrices[:, 0, 0]], -1)[:, None, None]
    shift = tf.stack([matrices[:, 1, 2], matrices[:, 0, 2]], -1)[:, None, None]
    limit = tf.cast(sizes, tf.float32)[:, None, None]
    places = tf.clip_by_value((rows[..., :2] - shift) / scale, 0.0, limit)
    found = (rows[..., 2:] > 0) & valid[..., None, None]
    return {
        "keypoints": tf.where(found, tf.concat([places, rows[..., 2:]], -1), 0.0),
        "scores": tf.where(valid, scores, 0.0),
        "num_people": tf.reduce_sum(tf.cast(valid, tf.int32), 1),
    }


def difference(expected, received, **limits) -> float:
    """How far a person's score or keypoints are from those of the other network's same person.

    Keypoints: the mean distance of those that both have, in parts of the person's longer side. A
    person who is nobody's (a tenth of that side apart, or no keypoint shared) counts with the whole
    score. In both directions.
    """
    worst = 0.0
    for index in range(len(expected["scores"])):
        one, other = _people(expected, index), _people(received, index)
        worst = max(worst, _one_sided(one, other), _one_sided(other, one))
    return worst


def _people(answers, index: int) -> tuple[np.ndarray, np.ndarray]:
    count = int(answers["num_people"][index])
    rows = (answers[name][index][:count] for name in ("keypoints", "scores"))
    return tuple(np.asarray(row, np.float64) for row in rows)


def _one_sided(expected, received) -> float:
    worst = 0.0
    for person, score in zip(*expected, strict=True):
        nearest = (0.1, float(score))  # nobody
        for other, theirs in zip(*received, strict=True):
            both = (person[:, 2] > 0) & (other[:, 2] > 0)
            if both.any():
                own = person[person[:, 2] > 0, :2]
                side = max(float(np.ptp(own, axis=0).max()), 1.0)
                far = np.linalg.norm(person[both, :2] - other[both, :2], axis=1).mean() / side
                nearest = min(nearest, (far, max(far, abs(float(score - theirs)))))
        worst = max(worst, nearest[1])
    return worst
