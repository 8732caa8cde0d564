"""Searched policies: RandAugment by keras-cv's operations, AutoAugment by the Model Garden's.

Papers: Cubuk 2019 https://arxiv.org/abs/1909.13719 (RandAugment); Cubuk 2018
https://arxiv.org/abs/1805.09501 (AutoAugment).

Both libraries draw from generators of the process, which neither resuming nor a change of workers
survives. So only their operations (and the Model Garden's policies) are used, called with numbers
drawn here from the sample's key: what a sample looks like is a function of its key alone.

Operations and ranges are the papers', with these differences. RandAugment: solarizing grows with
the magnitude, contrast turns about the mean of each channel. AutoAugment: what comes in from
outside is mirrored, not gray. Both: shifts are parts of the side (the papers' 150 of 331 pixels).
The libraries are imported on use, as each costs a second.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import tensorflow as tf

RANGE = (0, 255)
GRAY = 127.5  # drawn outside the picture by RandAugment
MAX_LEVEL = 10  # of the papers' scale
TURN_DEG, SHEAR, SHIFT, ENHANCE = 30.0, 0.3, 150 / 331, 0.9  # at MAX_LEVEL, with either sign
AUTOAUGMENT = ("v0", "reduced_imagenet", "reduced_cifar10", "svhn", "simple")


def randaugment(
    image: tf.Tensor, key: tf.Tensor, count: int, magnitude: float, *, geometric: bool = True
) -> tf.Tensor:
    """`count` operations in turn, each drawn evenly, of `magnitude` 0..10 and a random sign.

    image: float32 [H, W, C] in 0..255, C 3 or 1; key: [2] int64. Without `geometric` no pixel
    moves: for detection and whatever else has targets in places.
    """
    if not 0 <= magnitude <= MAX_LEVEL:
        raise ValueError(f"randaugment: expected a magnitude in 0..{MAX_LEVEL}, got {magnitude}")
    operations = [identity, *colors(magnitude, image.shape[-1]).values()]
    if geometric:
        operations += moves(magnitude).values()
    draws = tf.random.stateless_uniform([count, 2], key)
    drawn = image[None]
    for step in range(count):
        chosen = tf.cast(draws[step, 0] * len(operations), tf.int32)
        sign = tf.where(draws[step, 1] < 0.5, -1.0, 1.0)
        branches = [functools.partial(operation, drawn, sign) for operation in operations]
        drawn = tf.switch_case(chosen, branches)
    return tf.ensure_shape(drawn[0], image.shape)


def identity(images: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return images


def colors(magnitude: float, channels: int) -> dict[str, Callable]:
    """Operations (images [B, H, W, C], sign) -> images that move no pixel; keras-cv's."""
    from keras_cv import layers

    given = {"value_range": RANGE, "dtype": "float32"}  # whatever the precision of the network
    part = magnitude / MAX_LEVEL
    autocontrast, equalize = layers.AutoContrast(**given), layers.Equalization(**given)
    solarize = layers.Solarization(**given)
    posterize = layers.Posterization(bits=8 - round(4 * part), **given)
    contrast = layers.RandomContrast(factor=0.5, **given)
    sharpness = layers.RandomSharpness(factor=0.5, **given)
    color = layers.RandomColorDegeneration(factor=0.5, dtype="float32")
    solarizing = {"additions": 0.0, "thresholds": 256.0 * (1.0 - part)}
    change = ENHANCE * part
    found = {
        "autocontrast": lambda images, sign: autocontrast.augment_images(images),
        # These two count in whole numbers, which they cut off.
        "equalize": lambda images, sign: equalize.augment_images(tf.round(images)),
        "posterize": lambda images, sign: posterize.augment_image(tf.round(images)),
        "solarize": lambda images, sign: solarize.augment_images(images, solarizing),
        "contrast": lambda images, sign: contrast.augment_images(images, 1.0 + change * sign),
        "brightness": lambda images, sign: tf.clip_by_value(
            images * (1.0 + change * sign), *map(float, RANGE)
        ),
        # These two mix with a smoothed and with a gray picture: by a negative part away from it.
        "sharpness": lambda images, sign: sharpness.augment_images(images, -change * sign),
        "color": lambda images, sign: color.augment_images(images, -change * sign),
    }
    if channels == 1:
        del found["color"]
    return found


def moves(magnitude: float) -> dict[str, Callable]:
    """Operations (images [B, H, W, C], sign) -> images that move pixels; keras-cv's."""
    from keras_cv import layers

    outside = {"fill_mode": "constant", "fill_value": GRAY, "dtype": "float32"}
    rotation = layers.RandomRotation(0.5, **outside)
    shear = layers.RandomShear(0.5, 0.5, **outside)
    translation = layers.RandomTranslation(0.5, 0.5, **outside)
    part = magnitude / MAX_LEVEL

    def rotate(images, sign):
        angle = sign * part * TURN_DEG * math.pi / 180
        return rotation.augment_images(images, {"angles": angle[None]})

    def sheared(images, sign, axis):
        factor = (sign * part * SHEAR)[None, None]
        both = {"shear_x": None, "shear_y": None, f"shear_{axis}": factor}
        return shear.augment_images(images, both)

    def shifted(images, sign, axis):
        factor = (sign * part * SHIFT)[None, None]
        both = {"width_translations": 0 * factor, "height_translations": 0 * factor}
        return translation.augment_images(images, {**both, f"{axis}_translations": factor})

    return {
        "rotate": rotate,
        "shear_x": functools.partial(sheared, axis="x"),
        "shear_y": functools.partial(sheared, axis="y"),
        "translate_x": functools.partial(shifted, axis="width"),
        "translate_y": functools.partial(shifted, axis="height"),
    }


def autoaugment(image: tf.Tensor, key: tf.Tensor, name: str) -> tf.Tensor:
    """One sub-policy of the policy `name` (one of AUTOAUGMENT), drawn evenly; classification only.

    image: float32 [H, W, C] in 0..255, C 3 or 1, rounded to whole numbers on the way; key: [2]
    int64. These policies turn, shear and shift: boxes would not follow.
    """
    if name not in AUTOAUGMENT:
        raise ValueError(f"autoaugment: expected one of {', '.join(AUTOAUGMENT)}, got {name!r}")
    from official.vision.ops import augment

    policies = augment.AutoAugment(name).policies
    draws = tf.random.stateless_uniform([1 + 2 * max(map(len, policies))], key)
    whole = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    if image.shape[-1] == 1:
        whole = tf.image.grayscale_to_rgb(whole)
    chosen = tf.cast(draws[0] * len(policies), tf.int32)
    branches = [functools.partial(_sub_policy, whole, policy, draws[1:]) for policy in policies]
    drawn = tf.cast(tf.switch_case(chosen, branches), tf.float32)
    return tf.ensure_shape(drawn[..., : image.shape[-1]], image.shape)


def _sub_policy(image: tf.Tensor, policy, draws: tf.Tensor) -> tf.Tensor:
    """Each (operation, probability, level) in turn; draws: two numbers an operation."""
    for step, (name, probability, level) in enumerate(policy):
        sign = tf.where(draws[2 * step + 1] < 0.5, -1.0, 1.0)
        image = tf.cond(
            draws[2 * step] < probability,
            functools.partial(operation, name, image, level, sign),
            lambda image=image: image,
        )
    return image


def operation(name: str, image: tf.Tensor, level: float, sign: tf.Tensor) -> tf.Tensor:
    """The Model Garden's operation of that name on uint8 [H, W, 3] at level 0..10."""
    from official.vision.ops import augment

    part = level / MAX_LEVEL * sign
    height, width = (tf.cast(side, tf.float32) for side in tf.unstack(tf.shape(image)[:2]))
    signed = {
        "Rotate": part * TURN_DEG,
        "ShearX": part * SHEAR,
        "ShearY": part * SHEAR,
        "TranslateX": part * SHIFT * width,
        "TranslateY": part * SHIFT * height,
    }
    if name in signed:
        arguments = (signed[name],)
    else:  # these draw nothing; the two constants are of operations that no policy here has
        arguments = augment.level_to_arg(cutout_const=0.0, translate_const=0.0)[name](level)
    if name in augment.REPLACE_FUNCS:
        arguments += ([128] * 3,)
    return augment.NAME_TO_FUNC[name](image, *arguments)
