"""Fast R-CNN: what given regions of a picture are, all from one look at it.

Paper: Girshick 2015 https://arxiv.org/abs/1504.08083 (fast_rcnn_caffenet: S, fast_rcnn_vgg_m: M,
fast_rcnn_vgg16: L; the layers are those of the authors' prototxts).

Proposals come with the picture; in training the objects' own boxes join them. Of each picture 64
regions learn, at most a quarter of them objects (IoU >= 0.5 with one), the others background that
overlaps one by 0.1 to 0.5: hard negatives. RoI max pooling, two full layers, K + 1 classes, and
boxes of each class. Losses of models/detection/two_stage.py's second stage, each by the regions
that learn; codes are divided by 0.1, 0.1, 0.2, 0.2.

Differences from the paper: the authors' fine-tuning keeps conv1 (S, M) or blocks 1 and 2 (L) as
they are and doubles the learning rate of biases; here `train.stages` choose what learns. Their
boxes end on the last pixel, ours beyond it. Dropout of fc6 and fc7 (there 0.5) is the caller's.
The truncated SVD of section 3.1 is `truncated`: fc6 and fc7 become two smaller layers each.

Another backbone with a map of stride 16 may stand in; `width` then narrows fc6 and fc7 as well.
"""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import ops

from convoy.models import layers, sampling
from convoy.models.detection import two_stage
from convoy.models.detection.task import detector
from convoy.models.heads import with_model
from convoy.models.roi import RoIPool
from convoy.models.spec import ModelInfo, Task

PLAN = two_stage.Plan(roi_samples=64, roi_share=0.25, roi_object=0.5, roi_none=0.1)
BINS = {"fast_rcnn_vgg16": 7}  # 6 of the others
WIDTHS = {"fast_rcnn_vgg_m": (4096, 1024)}  # of fc6 and fc7
GOLDEN = 0.618034
READS = ("proposals", "cls", "box")
MINIMUM = 64


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 20,
    width: float = 1.0,
    dropout: float = 0.0,
) -> Task:
    """A detector of `num_classes` (background not counted) on a backbone's map of stride 16."""
    why = "smaller inputs leave too few cells of 16 px"
    layers.check_input(variant, info.preprocess.size, minimum=MINIMUM, why=why)
    (x,) = layers.maps_of(variant, backbone, ("s16",))
    proposals = keras.Input((None, 4), dtype="float32", name="proposals")
    pooled = RoIPool(BINS.get(variant, 6), 1 / 16, name="roi_pool")(x, proposals)
    widths = [int(each * width) for each in WIDTHS.get(variant, (4096, 4096))]

    def start(_, fan_in):
        vgg = variant == "fast_rcnn_vgg16"
        return {"kernel_initializer": layers.GLOROT if vgg else layers.gaussian(0.01)}

    outputs = two_stage.dense_head(pooled, widths, num_classes, dropout, start)
    return on_given(backbone.input, proposals, outputs, info, PLAN)


def on_given(image, proposals, outputs: dict, info: ModelInfo, plan: two_stage.Plan) -> Task:
    """The task of a network that says what given proposals are: {"cls", "box"} of two_stage.py."""
    model = keras.Model([image, proposals], {"proposals": proposals, **outputs}, name=info.name)
    return detector(
        model,
        info,
        encode=functools.partial(two_stage.objects_of, classes=info.num_classes),
        loss=functools.partial(loss, plan=plan),
        decode=functools.partial(decode, size=info.preprocess.size),
        reads=READS,
        wiring=functools.partial(sampled, plan=plan),
    )


def solid(boxes):
    """[..., 4] -> [...] bool: whether a row is a proposal, that is, has an area."""
    return ops.logical_and(boxes[..., 2] > boxes[..., 0], boxes[..., 3] > boxes[..., 1])


def chosen_regions(batch, plan: two_stage.Plan, seeds=None) -> dict:
    """The regions of a batch that learn, S of each picture at most.

    "rois" [B, S, 4]; "roi_used" [B, S] bool; "roi_label" [B, S] int32, 0 background; "roi_code"
    [B, S, 4]. Proposals come in a random order (data/input/proposed.py), so the first ones are a
    random choice; objects are spread among them. Nothing is drawn here, so that a resumed training
    sees the same regions, unless there are seeds (a keras.random.SeedGenerator).
    """
    truth, classes = ops.cast(batch["targets"]["truth"], "float32"), batch["targets"]["truth_cls"]
    given = ops.cast(batch["proposals"], "float32")
    rois = ops.concatenate([given, truth], axis=1)
    valid = ops.concatenate([solid(given), classes > 0], axis=1)
    label, code = sampling.label_regions(
        rois, valid, truth, classes, positive=plan.roi_object, negative=plan.roi_none
    )
    places = np.concatenate([_places(given.shape[1]), _spread(truth.shape[1])])
    noise = ops.broadcast_to(ops.convert_to_tensor(places)[None], ops.shape(label))
    if seeds is not None:
        noise = keras.random.uniform(ops.shape(label), dtype="float32", seed=seeds)
    used = sampling.balanced(label, noise, plan.roi_samples, plan.roi_share)
    count = min(plan.roi_samples, rois.shape[1])
    used, rois, label, code = sampling.gather_chosen(used, count, rois, label, code)
    return {
        "rois": ops.stop_gradient(rois),
        "roi_used": used,
        "roi_label": ops.maximum(label, 0),
        "roi_code": ops.stop_gradient(code),
    }


def _places(count: int) -> np.ndarray:
    return ((np.arange(count) + 0.5) / max(count, 1)).astype(np.float32)


def _spread(count: int) -> np.ndarray:
    """Numbers of 0 to 1 of which the first few are as evenly spread as all of them."""
    return np.float32(np.arange(1, count + 1) * GOLDEN % 1.0)


def sampled(model, batch, *, plan: two_stage.Plan) -> dict:
    """The outputs in training, of the regions that the batch's objects chose."""
    regions = chosen_regions(batch, plan)
    outputs = model([ops.convert_to_tensor(batch["image"]), regions.pop("rois")], training=True)
    return {**outputs, **regions}


def loss(targets, outputs, *, plan: two_stage.Plan) -> dict:
    """{"roi_class", "roi_box"}: (sum over the batch, regions that were used)."""
    return two_stage.region_loss(outputs, plan)


def decode(outputs, *limits, size, **named):
    """Classes and boxes of the proposals -> a detector's `decode`; rows without area are none."""
    there = ops.where(solid(outputs["proposals"]), 1.0, -1.0)
    return two_stage.decode({**outputs, "objectness": there}, *limits, size=size, **named)


def truncated(task: Task, ranks: dict[str, int]) -> Task:
    """The task with full layers split in two by their largest singular values (section 3.1).

    ranks: {"fc6": 1024, "fc7": 256} are the paper's. W is nearly U S V: the first layer has V and
    no bias, NAME_low; the second one U S and the bias.
    """

    def clone(layer):
        if layer.name not in ranks:
            return layer.__class__.from_config(layer.get_config())
        low = keras.layers.Dense(ranks[layer.name], use_bias=False, name=f"{layer.name}_low")
        return keras.Sequential([low, layer.from_config(layer.get_config())], name=layer.name)

    model = keras.models.clone_model(task.model, clone_function=clone)
    for layer in task.model.layers:
        if layer.name not in ranks:
            model.get_layer(layer.name).set_weights(layer.get_weights())
            continue
        kernel, bias = layer.get_weights()
        left, values, right = np.linalg.svd(kernel, full_matrices=False)
        rank = ranks[layer.name]
        low, high = left[:, :rank], values[:rank, None] * right[:rank]
        model.get_layer(layer.name).set_weights([low, high, bias])
    return with_model(task, model)
