"""Searched policies: RandAugment by keras-cv's operations, AutoAugment by the Model Garden's.

Papers: Cubuk 2019 https://arxiv.org/abs/1909.13719 (RandAugment); Cubuk 2018
https://arxiv.org/abs/1805.09501 (AutoAugment).

Both libraries draw from generators of the process, which neither resuming nor a change of workers
survives. So only their operations (and the Model Garden's policies) are used, called with the
sample's own uniform numbers: what a sample looks like is a function of these alone.

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

from convoy.data.augment.policy import Augment

RANGE = (0, 255)
GRAY = 127.5  # drawn outside the picture by RandAugment
MAX_LEVEL = 10  # of the papers' scale
LEVELLESS = ("AutoContrast", "Equalize", "Invert")
TURN_DEG, SHEAR, SHIFT, ENHANCE = 30.0, 0.3, 150 / 331, 0.9  # at MAX_LEVEL, with either sign
EACH = 2  # uniform numbers of an operation of RandAugment: which, and its sign
POLICY = 5  # of AutoAugment: which sub-policy; whether and with which sign, of its two operations


def active(policy: Augment) -> bool:
    """Whether the policy searches at all."""
    return bool(policy.randaugment or policy.autoaugment)


def draws_of(policy: Augment) -> int:
    """Uniform numbers used by `searched`."""
    own = EACH * policy.randaugment[0] if policy.randaugment else 0
    return own + (POLICY if policy.autoaugment else 0)


def searched(
    image: tf.Tensor, policy: Augment, fields: tuple[str, ...], draws: tf.Tensor
) -> tf.Tensor:
    """Float image [H, W, C] in 0..255 after AutoAugment and RandAugment, as far as asked for.

    draws: [draws_of(policy)] uniform in [0, 1). fields: of annotation that are read; pixels move
    where labels alone are, and AutoAugment is for those.
    """
    moving = fields == ("labels",)
    if policy.autoaugment:
        if not moving:
            raise ValueError(
                f"augment.autoaugment moves pixels: it is for labels alone, the task learns "
                f"{', '.join(fields)}"
            )
        image = autoaugment(image, policy.autoaugment, draws[:POLICY])
    if policy.randaugment:
        count, magnitude = policy.randaugment
        numbers = draws[-EACH * count :]
        image = randaugment(image, count, magnitude, numbers, geometric=moving)
    return image


def randaugment(
    image: tf.Tensor, count: int, magnitude: float, draws: tf.Tensor, *, geometric: bool = True
) -> tf.Tensor:
    """`count` operations in turn, each drawn evenly, of `magnitude` 0..10 and a random sign.

    image: float32 [H, W, C] in 0..255, C 3 or 1; draws: [EACH * count] uniform in [0, 1). Without
    `geometric` no pixel moves: for detection and whatever else has targets in places.
    """
    operations = [identity, *colors(magnitude, image.shape[-1]).values()]
    if geometric:
        operations += moves(magnitude).values()
    drawn = image[None]
    for step in range(count):
        choice, side = draws[EACH * step], draws[EACH * step + 1]
        sign = tf.where(side < 0.5, -1.0, 1.0)
        branches = [functools.partial(operation, drawn, sign) for operation in operations]
        drawn = tf.switch_case(tf.cast(choice * len(operations), tf.int32), branches)
    return tf.ensure_shape(drawn[0], image.shape)


def identity(images: tf.Tensor, sign: tf.Tensor) -> tf.Tensor:
    return images


def colors(magnitude: float, channels: int) -> dict[str, Callable]:
    """Operations (images [B, H, W, C], sign) -> images that move no pixel; keras-cv's."""
    from keras_cv import layers

    options = {"value_range": RANGE, "dtype": "float32"}  # whatever the precision of the network
    part = magnitude / MAX_LEVEL
    autocontrast, equalize = layers.AutoContrast(**options), layers.Equalization(**options)
    solarize = layers.Solarization(**options)
    posterize = layers.Posterization(bits=8 - round(4 * part), **options)
    contrast = layers.RandomContrast(factor=0.5, **options)
    sharpness = layers.RandomSharpness(factor=0.5, **options)
    color = layers.RandomColorDegeneration(factor=0.5, dtype="float32")
    solarizing = {"additions": 0.0, "thresholds": 256.0 * (1.0 - part)}
    change = ENHANCE * part
    operations = {
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
        del operations["color"]
    return operations


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


def autoaugment(image: tf.Tensor, name: str, draws: tf.Tensor) -> tf.Tensor:
    """One sub-policy, drawn evenly, of the policy `name` (data.augment.policy.Searched).

    image: float32 [H, W, C] in 0..255, C 3 or 1, rounded to whole numbers on the way; draws:
    [POLICY] uniform in [0, 1). These policies turn, shear and shift: boxes would not follow.
    """
    from official.vision.ops import augment

    policies = augment.AutoAugment(name).policies
    whole = tf.cast(tf.round(tf.clip_by_value(image, 0.0, 255.0)), tf.uint8)
    if image.shape[-1] == 1:
        whole = tf.image.grayscale_to_rgb(whole)
    drawn = tf.cast(_policy(whole, policies, draws), tf.float32)
    return tf.ensure_shape(drawn[..., : image.shape[-1]], image.shape)


def _policy(image: tf.Tensor, policies: list, draws: tf.Tensor) -> tf.Tensor:
    """One of the sub-policies, pairs of (operation, probability, level), on a uint8 image.

    Graphs hold each different operation once per place, as building them takes seconds.
    """
    chosen = tf.cast(draws[0] * len(policies), tf.int32)
    for place in range(2):
        choices = [
            (name, 0 if name in LEVELLESS else level)
            for name, _, level in (sub_policy[place] for sub_policy in policies)
        ]
        distinct = sorted(set(choices))
        probability = tf.gather([sub_policy[place][1] for sub_policy in policies], chosen)
        taken = draws[1 + 2 * place] < tf.cast(probability, tf.float32)
        branch = tf.gather([distinct.index(choice) for choice in choices], chosen)
        sign = tf.where(draws[2 + 2 * place] < 0.5, -1.0, 1.0)
        branches = [
            functools.partial(operation, name, image, level, sign) for name, level in distinct
        ]
        branches.append(functools.partial(identity, image, sign))
        image = tf.switch_case(tf.where(taken, branch, len(distinct)), branches)
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
