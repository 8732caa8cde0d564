"""What detectors share that first propose regions, then say what each of them is.

Paper: Ren 2015 https://arxiv.org/abs/1506.01497. Both stages train at once ("approximate joint
training", section 3.2): the second one learns from the proposals of the moment, of which a sample
is drawn; no gradient flows through their corners.

A network of this kind has the outputs

    rpn_cls     [B, N] objectness of the anchors, logits; N in the order of models/anchors.py
    rpn_box     [B, N, 4] their boxes, coded with variances of 1
    proposals   [B, R, 4] in pixels of the input, the best first
    objectness  [B, R] their scores in [0, 1]; -1 of rows without a proposal
    cls         [B, R, K + 1] logits, background first
    box         [B, R, 4 (K + 1)] coded against the proposal, of each class its own; or [B, R, 8] of
                background and object alone

Losses of one picture, each with its own normalizer:

    rpn_objectness  cross entropy of sampled anchors / their number
    rpn_box         smooth L1 of the positive ones among them / the same number
    roi_class       cross entropy of sampled regions / their number
    roi_box         smooth L1 of the positive ones' own class / the same number
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from convoy.models import anchors, coding, layers, losses, sampling
from convoy.models.detection.task import detector
from convoy.models.keras_internals import inbound_nodes, train_part
from convoy.models.proposals import Proposals
from convoy.models.roi import Regions
from convoy.models.spec import ModelInfo, Priors, Task

READS = ("proposals", "objectness", "cls", "box")  # what decoding needs of the outputs


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the two stages learn, and from how many of their boxes. Overlaps are IoU."""

    whole_anchors: bool = False  # those that reach beyond the picture learn nothing
    rpn_none: float = 0.3  # an anchor with less overlap is background
    rpn_object: float = 0.7  # ... from here on one of the object; the best of an object always
    rpn_samples: int = 256  # per picture
    rpn_share: float = 0.5  # of them positive, at most
    rpn_beta: float = 1 / 9  # of smooth L1; py-faster-rcnn's sigma 3
    roi_object: float = 0.5
    roi_none: float = 0.0  # below it a region is not looked at
    roi_samples: int = 128
    roi_share: float = 0.25
    roi_beta: float = 1.0
    hardest: bool = False  # of all regions those with the largest loss learn, not random ones


def fast_start(key: str, fan_in: int) -> dict:
    """How Fast R-CNN's last layers start: N(0, 0.01) for classes, N(0, 0.001) for boxes (4.1)."""
    return {"kernel_initializer": layers.gaussian({"cls": 0.01, "box": 0.001}[key])}


def dense_head(
    pooled, widths: Sequence[int], num_classes: int, dropout: float, hidden, last=fast_start
) -> dict:
    """[B, R, bins, bins, C] -> {"cls": [B, R, K + 1], "box": [B, R, 4 (K + 1)]} by full layers.

    hidden, last: ("hidden", "cls" or "box", values that a unit sees) -> how such a layer starts, as
    its arguments.
    """
    flat = int(np.prod(pooled.shape[2:]))
    x = keras.layers.Reshape((-1, flat), name="roi_flat")(pooled)
    for index, width in enumerate(widths, start=6):
        start = hidden("hidden", x.shape[-1])
        x = keras.layers.Dense(width, activation="relu", name=f"fc{index}", **start)(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"dropout{index}")(x)
    sizes = {"cls": num_classes + 1, "box": 4 * (num_classes + 1)}
    return {
        key: keras.layers.Dense(
            count, dtype="float32", name=f"roi_{key}", **last(key, x.shape[-1])
        )(x)
        for key, count in sizes.items()
    }


def freeze_norms(backbone: keras.Model) -> None:
    """BatchNorm as it comes: a batch of one or two pictures has no statistics of its own."""
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def two_stage(
    image,
    first: tuple,
    head: Callable,
    levels: Sequence[anchors.Level],
    info: ModelInfo,
    plan: Plan = Plan(),
    **proposals,
) -> Task:
    """The detector of a region proposal network and of what says what its regions are.

    first: (logits, codes) of `rpn`; head: proposals [B, R, 4] -> {"cls", "box"}, whose only access
    to maps are layers of models/roi.py; proposals: options of `Proposals`.
    """
    size, num_classes = info.preprocess.size, info.num_classes
    outputs = outputs_of(first, head, levels, size, **proposals)
    boxes = anchors.priors(levels)
    return detector(
        keras.Model(image, outputs, name=info.name),
        info,
        encode=functools.partial(encode, boxes=boxes, size=size, classes=num_classes, plan=plan),
        loss=functools.partial(loss, plan=plan),
        decode=functools.partial(decode, size=size),
        reads=READS,
        wiring=functools.partial(sampled, plan=plan),
        priors=Priors(boxes, 0.0),  # every object is learnt
    )


def outputs_of(first: tuple, head: Callable, levels, size: tuple[int, int], **proposals) -> dict:
    """The outputs of the two stages, symbolic; arguments as `two_stage` has them."""
    logits, codes = first
    regions, scores = Proposals(levels, size, name="proposals", **proposals)(logits, codes)
    return {
        "rpn_cls": logits,
        "rpn_box": codes,
        "proposals": regions,
        "objectness": scores,
        **head(regions),
    }


def sampled(model, batch, *, plan: Plan) -> dict:
    """The outputs in training: of the anchors, and of regions that the batch's objects chose.

    Objects are among the regions, as in the reference implementations: their own boxes are what a
    head learns from before there are good proposals. R or roi_samples rows, and beside cls and box:
    rpn_used [B, N], roi_used [B, S] bool; roi_label [B, S] int32; roi_code [B, S, 4].
    """
    outputs, *_ = learning(model, batch, plan=plan)
    return outputs


def learning(model, batch, *, plan: Plan) -> tuple[dict, list, list, keras.KerasTensor]:
    """(`sampled`'s outputs, the maps that regions are cut from, their values, regions [B, S, 4]).

    The maps are symbolic, for `train_part` of what else learns from them.
    """
    proposals = model.get_layer("proposals")
    regions, _ = proposals.output
    pools = [layer for layer in model.layers if isinstance(layer, Regions)]
    reads = [inbound_nodes(pool)[0].input_tensors for pool in pools]
    reads = [tensors for tensors in reads if any(x is regions for x in tensors)]
    maps = list({id(x): x for tensors in reads for x in tensors if x is not regions}.values())
    outputs = {key: model.output[key] for key in ("rpn_cls", "rpn_box")}
    wanted = {**outputs, "found": proposals.output, "maps": maps}
    first = train_part([model.input], wanted, [batch["image"]])
    boxes, scores = first["found"]

    targets, noise = batch["targets"], _noise(proposals.seed_generator)
    used = sampling.balanced(
        targets["rpn_label"], noise(first["rpn_cls"]), plan.rpn_samples, plan.rpn_share
    )
    truth, classes = ops.cast(targets["truth"], "float32"), targets["truth_cls"]
    rois = ops.concatenate([boxes, truth], axis=1)
    valid = ops.concatenate([scores >= 0.0, classes > 0], axis=1)
    label, code = sampling.label_regions(
        rois, valid, truth, classes, positive=plan.roi_object, negative=plan.roi_none
    )
    chosen = label >= 0
    if not plan.hardest:
        chosen = sampling.balanced(label, noise(label), plan.roi_samples, plan.roi_share)
        count = min(plan.roi_samples, boxes.shape[1])
        chosen, rois, label, code = sampling.gather_chosen(chosen, count, rois, label, code)
    rois = ops.stop_gradient(rois)
    heads = {key: model.output[key] for key in ("cls", "box")}
    second = train_part([*maps, regions], heads, [*first["maps"], rois])
    outputs = {
        "rpn_cls": first["rpn_cls"],
        "rpn_box": first["rpn_box"],
        "rpn_used": used,
        **second,
        "roi_used": chosen,
        "roi_label": ops.maximum(label, 0),
        "roi_code": ops.stop_gradient(code),
    }
    return outputs, maps, first["maps"], rois


def _noise(generator):
    return lambda like: keras.random.uniform(ops.shape(like), dtype="float32", seed=generator)


def loss(targets, outputs, *, plan: Plan) -> dict:
    """{"rpn_objectness", "rpn_box", "roi_class", "roi_box"}: (sum over the batch, samples)."""
    used = ops.cast(outputs["rpn_used"], "float32")
    positive = ops.cast(targets["rpn_label"] > 0, "float32")
    entropy = losses.binary_cross_entropy(positive, outputs["rpn_cls"])
    codes = losses.smooth_l1(targets["rpn_box"], outputs["rpn_box"], plan.rpn_beta)
    rpn_box = positive * ops.sum(codes, axis=-1)
    anchors_used = ops.sum(used)

    first = {"rpn_objectness": used * entropy, "rpn_box": used * rpn_box}
    sums = {name: (ops.sum(each), anchors_used) for name, each in first.items()}
    return {**sums, **region_loss(outputs, plan)}


def region_loss(outputs, plan: Plan) -> dict:
    """{"roi_class", "roi_box"}: (sum over the batch, regions that were used)."""
    label = outputs["roi_label"]
    roi_class = losses.cross_entropy(label, outputs["cls"])
    own = _of_class(outputs["box"], label, outputs["cls"].shape[-1])
    codes = ops.sum(losses.smooth_l1(outputs["roi_code"], own, plan.roi_beta), axis=-1)
    roi_box = ops.where(label > 0, codes, 0.0)
    regions = outputs["roi_used"]
    if plan.hardest:
        regions = sampling.hardest(roi_class + roi_box, regions, plan.roi_samples)
    regions = ops.cast(regions, "float32")
    regions_used = ops.sum(regions)
    sums = {"roi_class": regions * roi_class, "roi_box": regions * roi_box}
    return {name: (ops.sum(each), regions_used) for name, each in sums.items()}


def _of_class(codes, label, classes: int):
    """[B, S, 4 * slots] -> [B, S, 4]: of each region the codes of its class, or of any object."""
    slots = codes.shape[-1] // 4
    codes = ops.reshape(codes, (-1, codes.shape[1], slots, 4))
    slot = label if slots == classes else ops.minimum(label, 1)
    return ops.take_along_axis(codes, slot[..., None, None], axis=2)[:, :, 0]


# What runs in tf.data and in the exported graph is TensorFlow: networks and losses do without it.
def encode(annotation, *, boxes, size, classes: int, plan: Plan):
    """What a picture's anchors learn, and its objects; M may be 0.

    rpn_label [N] int32: 1 object, 0 none, -1 neither; rpn_box [N, 4] float32: codes, 0 where there
    is no object; truth [M + 1, 4] float32: all objects in pixels, zeros where they are not
    `assign.usable`; truth_cls [M + 1] int32: class + 1, 0 for those.
    """
    import tensorflow as tf

    from convoy.models import assign
    from convoy.models.boxes import pairwise_iou

    known = objects_of(annotation, classes)
    objects = tf.boolean_mask(known["truth"], known["truth_cls"] > 0)
    learns = np.arange(len(boxes))
    if plan.whole_anchors:
        learns = np.flatnonzero((boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= size).all(1))
    own = boxes[learns]
    matched = assign.match_best(pairwise_iou(objects, own), plan.rpn_none, plan.rpn_object)
    near = tf.where(matched >= 0)  # [positives, 1]: few of all anchors
    codes = coding.encode(
        tf.gather(objects, tf.gather_nd(matched, near)), tf.gather_nd(own, near), coding.UNIT
    )
    places = tf.constant(learns[:, None], tf.int32)
    label = tf.where(matched >= 0, 1, tf.where(matched == assign.NONE, 0, -1))
    count = len(boxes)
    return {
        "rpn_label": tf.tensor_scatter_nd_update(tf.fill([count], -1), places, label),
        "rpn_box": tf.scatter_nd(tf.gather_nd(places, near), codes, [count, 4]),
        **known,
    }


def objects_of(annotation, classes: int) -> dict:
    """{"truth" [M + 1, 4], "truth_cls" [M + 1]} of `encode`: the objects of a picture."""
    import tensorflow as tf

    from convoy.models import assign

    truth = tf.cast(annotation["boxes"], tf.float32)
    labels = tf.cast(annotation["classes"], tf.int32)
    keep = assign.usable(truth, labels, annotation["valid"], classes)
    return {
        "truth": tf.pad(tf.where(keep[:, None], truth, 0.0), [[0, 1], [0, 0]]),
        "truth_cls": tf.pad(tf.where(keep, labels + 1, 0), [[0, 1]]),
    }


def decode(outputs, *limits, size, **named):
    """Classes and boxes of the proposals -> a detector's `decode`: suppression class by class."""
    from convoy.models.decode import decode_regions

    return decode_regions(outputs, *limits, size=size, **named)
