"""Elastic deformation: displacements by hand, and pixels against points and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.augment import draws, elastic, plan, render
from convoy.data.augment.policy import Augment

HEIGHT, WIDTH = 96, 128
POLICY = Augment(elastic=0.04, rotate_deg=20, zoom=(0.9, 1.1), min_visible=0.0)


def block(policy: Augment = POLICY, name="a"):
    key = draws.key_for(0, tf.constant([name]), 0)
    return plan.make(policy, key, tf.constant([HEIGHT]), tf.constant([WIDTH]))


def row_of(made):
    return tf.nest.map_structure(lambda values: values[0], made)


def constant_field(x, y):
    return tf.tile(tf.constant([[[x, y]]], tf.float32), [elastic.FINE, elastic.FINE, 1])


def test_sigma_is_a_part_of_the_shorter_side():
    """Nodes of a coarse grid of 3: 1,000 fields' middles have sigma 0.02 * 96 = 1.92 pixels."""
    normals = tf.constant(np.random.default_rng(0).normal(size=(1000, elastic.DRAWS)), tf.float32)
    size = tf.fill([1000], HEIGHT), tf.fill([1000], WIDTH)
    fields = elastic.field(*size, 0.02, normals).numpy()
    middle = fields[:, elastic.FINE // 2 - 1 : elastic.FINE // 2 + 1].mean(1)
    middle = middle[:, elastic.FINE // 2 - 1 : elastic.FINE // 2 + 1].mean(1)
    assert middle.std() == pytest.approx(1.92, rel=0.05)
    grid = np.reshape(normals, [1000, 3, 3, 2])
    np.testing.assert_allclose(middle, grid[:, 1, 1] * 1.92, atol=0.04)
    steps = np.abs(np.diff(fields, axis=1))
    assert steps.max() < 1.0  # smooth: neighbours on 64 nodes differ by little


def test_a_constant_field_shifts():
    """The pixel at q comes from q + (3, 2): the picture moves left by 3 and up by 2."""
    image = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    image[40:50, 60:70] = 200
    eye, field = tf.eye(3), constant_field(3.0, 2.0)
    for nearest in (False, True):
        drawn = elastic.draw(tf.constant(image), eye, field, (HEIGHT, WIDTH), 7.0, nearest).numpy()
        np.testing.assert_allclose(drawn[38:48, 57:67], 200, atol=1e-3)
        assert drawn[:-2, :-3].sum() == pytest.approx(200 * 100, rel=1e-4)
        assert (drawn[-2:] == 7).all()
        assert (drawn[:, -3:] == 7).all()
    points = tf.constant([[[63.5, 42.0]]])
    size = tf.constant([HEIGHT]), tf.constant([WIDTH])
    np.testing.assert_allclose(elastic.unbend(field[None], points, *size), [[[60.5, 40.0]]])


def test_unbend_is_the_inverse():
    made = block()
    points = tf.constant(np.random.default_rng(0).random((1, 40, 2)) * [WIDTH, HEIGHT], tf.float32)
    size = tf.constant([HEIGHT]), tf.constant([WIDTH])
    there = elastic.unbend(made["field"], points, *size)
    assert np.abs(there - points).max() > 1.0
    back = there + elastic.displacement(made["field"], there, *size)
    np.testing.assert_allclose(back, points, atol=0.02)


def test_no_displacement_is_the_affine_warp():
    image = tf.random.stateless_uniform([HEIGHT, WIDTH, 3], [0, 1]) * 255
    image = tf.image.resize(tf.image.resize(image, [12, 16]), [HEIGHT, WIDTH])
    row = row_of(block(POLICY.model_copy(update={"elastic": 0.0})))
    plain = render.picture(image, Augment(), row, (64, 64)).numpy()
    bent = {**row, "field": constant_field(0.0, 0.0)}
    ours = render.picture(image, Augment(), bent, (64, 64)).numpy()
    seen = (plain != 127.5).all(-1) & (ours != 127.5).all(-1)
    assert seen.mean() > 0.8
    difference = np.abs(ours[seen] - plain[seen])
    # The warp mixes the outermost pixels with what lies around.
    assert np.quantile(difference, 0.98) < 0.1
    assert difference.max() < 20


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_dots_and_boxes_follow_the_pixels(name):
    made = block(name=name)
    size = tf.constant([HEIGHT]), tf.constant([WIDTH])
    box = (30, 40, 58, 80)
    image = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    image[box[0] : box[2], box[1] : box[3]] = 255
    mask = render.labels(tf.constant(image), row_of(made), (HEIGHT, WIDTH), 0).numpy()[..., 0]
    rows, columns = np.nonzero(mask)
    extent = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    boxes = tf.constant([[box]], tf.float32)
    moved, keep = plan.move_boxes(POLICY, made, boxes, *size, (HEIGHT, WIDTH))
    assert keep.numpy().all()
    np.testing.assert_allclose(extent, moved[0, 0], atol=1.5)
    dot = np.zeros((HEIGHT, WIDTH, 1), np.float32)
    dot[43:46, 58:61] = 255
    drawn = render.picture(tf.constant(dot), Augment(), row_of(made), (HEIGHT, WIDTH)).numpy()
    weights = np.where(drawn[..., 0] == 127.5, 0, drawn[..., 0])
    y, x = (np.mgrid[:HEIGHT, :WIDTH] + 0.5) * weights
    center = [y.sum() / weights.sum(), x.sum() / weights.sum(), 2]
    points = tf.constant([[[[44.5, 59.5, 2.0]]]])
    found = plan.move_keypoints(POLICY, made, points, *size, (HEIGHT, WIDTH))
    np.testing.assert_allclose(found[0, 0, 0], center, atol=0.3)


def test_pictures_smaller_than_the_field():
    image = tf.fill([2, 3, 3], tf.constant(9, tf.uint8))
    row = row_of(block())
    drawn = render.picture(image, Augment(), row, (5, 4)).numpy()
    assert set(np.unique(np.round(drawn, 3))) <= {9.0, 127.5}
