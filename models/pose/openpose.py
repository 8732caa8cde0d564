"""OpenPose (CMU-Pose): heat maps of parts and part affinity fields, refined stage by stage.

Paper: Cao 2017 https://arxiv.org/abs/1611.08050; the layers are those of the authors' Caffe files
(_trained_COCO and _trained_MPI, https://github.com/ZheC/Realtime_Multi-Person_Pose_Estimation):

    VGG-19 to conv4_2 -> 3x3 256 -> 3x3 128 = features F at stride 8
    stage 1, per branch:     F -> 3 x (3x3 128) -> 1x1 512 -> 1x1 out
    stages 2 to 6, per branch: [fields, heat maps, F] -> 5 x (7x7 128) -> 1x1 128 -> 1x1 out

"Out" is 2 numbers for each limb, the x and y of a unit vector along it, or one heat map for each
part and one more of the background. ReLU follows every convolution but the last of a stage.

openpose_mobilenet is ours, in the manner of Osokin 2018 https://arxiv.org/abs/1811.12004: any
backbone's maps of stride 8 and 16 for F, fewer stages and channels, 3x3 kernels in the stages.

Which parts and limbs: models/pose/skeleton.py, by the names of the keypoints. New layers start
N(0, 0.01), biases zero, as in the authors' files; those of openpose_mobilenet, but for the last of
each stage, by He's rule. The authors let stages 2 to 6 learn at 4 times the
rate of the first; here all learn alike.
Checked against OpenCV's reading of the Caffe networks.
"""

from __future__ import annotations

import dataclasses

import keras

from convoy.models import layers
from convoy.models.pose import skeleton, task
from convoy.models.spec import ModelInfo, Task
from convoy.models.upsampling import Resize

STRIDE = 8
BRANCHES = ("paf", "heat")


@dataclasses.dataclass(frozen=True)
class Variant:
    stages: int = 6
    features: int = 128  # channels of F
    filters: int = 128  # of a stage
    wide: int = 512  # of the last hidden layer of the first stage
    depth: int = 5  # convolutions of a later stage
    kernel: int = 7  # of these
    last: str = ""  # layer of the backbone that is read; "" = its maps of stride 8 and 16


VARIANTS = {
    "openpose_coco": Variant(last="block4_conv2"),
    "openpose_mpi": Variant(last="block4_conv2"),
    "openpose_mobilenet": Variant(stages=3, filters=64, wide=128, depth=3, kernel=3),
}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 17,
    width: float = 1.0,
    keypoints: tuple[str, ...] = (),
) -> Task:
    """Finds `num_classes` keypoints of everybody; keypoints: their names, () = by their number.

    The network's outputs are paf1, heat1, paf2, ... [B, H/8, W/8, 2 limbs | parts + 1], float32.
    width: of openpose_mobilenet, factor of the channels of its own and of its backbone's layers.
    Raises ValueError for a single keypoint, which no limb joins, and names of another number.
    """
    if keypoints and len(keypoints) != num_classes:
        raise ValueError(
            f"{variant}: expected names of {num_classes} keypoints, got {len(keypoints)}"
        )
    if num_classes < 2:
        raise ValueError(
            f"{variant}: expected at least two keypoints, which limbs join, got {num_classes}; "
            "keypoint_heatmaps finds one"
        )
    why = "its maps have stride 8"
    layers.check_input(variant, info.preprocess.size, minimum=2 * STRIDE, why=why)
    bones = skeleton.of(tuple(keypoints), num_classes)
    plan = VARIANTS[variant]
    x = _features(variant, plan, backbone, width)
    outs = {"paf": 2 * len(bones.limbs), "heat": len(bones.parts) + 1}
    outputs, seen = {}, x
    for stage in range(1, plan.stages + 1):
        made = {}
        for branch, count in outs.items():
            made[branch] = _stage(seen, plan, stage, branch, count, width)
            outputs[f"{branch}{stage}"] = made[branch]
        if stage < plan.stages:
            name = f"stage{stage + 1}_input"
            seen = keras.layers.Concatenate(name=name)([*made.values(), x])
    model = keras.Model(backbone.input, outputs, name=variant)
    return task.bottom_up(model, info, bones, plan.stages, STRIDE)


def _conv(x, plan: Variant, filters: int, kernel: int, *, name: str):
    return keras.layers.Conv2D(
        filters,
        kernel,
        padding="same",
        activation="relu",
        kernel_initializer=layers.gaussian(0.01) if plan.last else layers.HE,
        name=name,
    )(x)


def _features(variant: str, plan: Variant, backbone: keras.Model, width: float):
    """F [B, H/8, W/8, features]."""
    count = max(8, int(plan.features * width))
    if plan.last:
        x = backbone.get_layer(plan.last).output
        x = _conv(x, plan, 2 * count, 3, name="features_conv1")
        return _conv(x, plan, count, 3, name="features_conv2")
    fine, coarse = layers.maps_of(variant, backbone, ("s8", "s16"))
    fine = _conv(fine, plan, count, 1, name="s8_lateral")
    coarse = _conv(coarse, plan, count, 1, name="s16_lateral")
    coarse = Resize(fine.shape[1:3], name="s16_resize")(coarse)
    x = keras.layers.Add(name="s8_add")([fine, coarse])
    return _conv(x, plan, count, 3, name="features_conv1")


def _stage(x, plan: Variant, stage: int, branch: str, outputs: int, width: float):
    """One branch of one stage: [B, h, w, *] -> [B, h, w, outputs]."""
    kernel, depth = (3, 3) if stage == 1 else (plan.kernel, plan.depth)
    count = max(8, int(plan.filters * width))
    for index in range(1, depth + 1):
        x = _conv(x, plan, count, kernel, name=f"stage{stage}_{branch}_conv{index}")
    wide = max(8, int((plan.wide if stage == 1 else plan.filters) * width))
    x = _conv(x, plan, wide, 1, name=f"stage{stage}_{branch}_conv{depth + 1}")
    return keras.layers.Conv2D(
        outputs,
        1,
        kernel_initializer=layers.gaussian(0.01),
        dtype="float32",
        name=f"stage{stage}_{branch}_logits",
    )(x)
