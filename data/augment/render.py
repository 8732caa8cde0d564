"""Draws a sample of a plan: its picture, masks and class maps, the other picture of a pair."""

from __future__ import annotations

import tensorflow as tf

from convoy.data.augment import elastic
from convoy.data.augment.noise import FILL
from convoy.data.augment.plan import Plan, finish
from convoy.data.augment.policy import Augment
from convoy.models.resize import warp

IGNORE = 255  # in class maps: what lies outside the picture


def picture(image: tf.Tensor, policy: Augment, row: Plan, size) -> tf.Tensor:
    """float32 [*size, C] of a decoded picture [H, W, C], recoloured and with noise."""
    return finish(_drawn(image, row, size), policy, row)


def pair(image: tf.Tensor, row: Plan, source, canvas, size) -> tf.Tensor:
    """float32 [*size, C]: the other picture [H, W, C] of a pair, by the same geometry.

    It is neither recoloured nor given noise. source, canvas: (height, width) of the first picture
    and of what it is drawn on, of which this one and `size` are larger or smaller versions.
    """
    sides = tf.cast(tf.shape(image)[:2], tf.float32) / tf.cast(tf.stack(source), tf.float32)
    there = scaling(size[0] / canvas[0], size[1] / canvas[1])
    own = {"matrix": there @ row["matrix"] @ scaling(1 / sides[0], 1 / sides[1])}
    if "field" in row:
        own["field"] = row["field"] * tf.reverse(sides, [0])
    return _drawn(image, own, size)


def labels(image: tf.Tensor, row: Plan, size, fill: int) -> tf.Tensor:
    """uint8 [*size, C] of masks or class maps [H, W, C]: the nearest pixel, `fill` outside."""
    if "field" in row:
        return elastic.draw(image, row["matrix"], row["field"], size, fill, nearest=True)
    return warp(image, row["matrix"], size, float(fill), interpolation="NEAREST")


def scaling(y, x) -> tf.Tensor:
    """[3, 3] of two factors."""
    return tf.linalg.diag(tf.stack([x, y, 1.0]))


def _drawn(image: tf.Tensor, row: Plan, size) -> tf.Tensor:
    if "field" in row:
        return elastic.draw(image, row["matrix"], row["field"], size, FILL)
    return warp(tf.cast(image, tf.float32), row["matrix"], size, FILL)
