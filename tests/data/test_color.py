"""Recolouring against PIL.ImageEnhance and hand numbers."""

from __future__ import annotations

import math

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import tensorflow as tf

from convoy.data.augment import color
from convoy.data.augment.policy import Augment


def picture(seed=0, low=60, high=190) -> np.ndarray:
    """Mild colours, so that nothing is clipped."""
    return np.random.default_rng(seed).integers(low, high, (12, 16, 3)).astype(np.float32)


def recolored(image, policy: Augment, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.5):
    return changed(image, policy, b=brightness, c=contrast, s=saturation, h=hue)


NAMES = ("b", "c", "s", "h", "exposure", "gray", "p1", "p2", "p3", "on_b", "on_c", "on_s", "on_h")


def changed(image, policy: Augment, **given):
    draws = tf.constant([given.get(name, 0.5) for name in NAMES])
    return color.recolor(tf.constant(image), color.random_map(policy, draws)).numpy()


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("channels", [1, 3])
def test_strengths_of_zero_change_nothing(draw, channels):
    image = picture()[..., :channels]
    np.testing.assert_allclose(recolored(image, Augment(), *[draw] * 4), image, atol=0.01)
    assert not color.active(Augment(flip_horizontal=1.0, rotate_deg=9))


@pytest.mark.parametrize(
    "name", ["brightness", "contrast", "saturation", "hue", "gray", "pca_color"]
)
def test_any_strength_is_active(name):
    assert color.active(Augment(**{name: 0.1}))


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_adds_a_part_of_255_and_clips(channels):
    image = np.array([0.0, 100.0, 250.0], np.float32).reshape(3, 1, 1).repeat(channels, 2)
    policy = Augment(brightness=0.2)
    brighter = recolored(image, policy, brightness=1.0)
    np.testing.assert_allclose(brighter[:, 0, 0], [51, 151, 255], atol=1e-3)
    darker = recolored(image, policy, brightness=0.25)
    np.testing.assert_allclose(darker[:, 0, 0], [0, 74.5, 224.5], atol=1e-3)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.6), (0.75, 1.2)])
def test_contrast_equals_pil(draw, factor):
    image = picture()
    enhanced = PIL.ImageEnhance.Contrast(PIL.Image.fromarray(image.astype(np.uint8)))
    expected = np.asarray(enhanced.enhance(factor), np.float32)
    ours = recolored(image, Augment(contrast=0.4), contrast=draw)
    # PIL rounds the mean to a whole number and cuts the result off.
    np.testing.assert_allclose(ours, expected, atol=1.3)


@pytest.mark.parametrize(("draw", "factor"), [(0.0, 0.5), (1.0, 1.5)])
def test_saturation_equals_pil(draw, factor):
    image = picture()
    enhanced = PIL.ImageEnhance.Color(PIL.Image.fromarray(image.astype(np.uint8)))
    expected = np.asarray(enhanced.enhance(factor), np.float32)
    ours = recolored(image, Augment(saturation=0.5), saturation=draw)
    np.testing.assert_allclose(ours, expected, atol=1.5)


def test_saturation_of_zero_is_luminance():
    gray = np.einsum("hwc,c->hw", picture(), [0.299, 0.587, 0.114])
    ours = picture() @ color.saturation_matrix(0.0).numpy().T
    np.testing.assert_allclose(ours, gray[..., None].repeat(3, 2), rtol=1e-5)


@pytest.mark.parametrize("angle", [0.3, math.pi / 2, math.pi, -2.0])
def test_hue_keeps_gray_and_luminance(angle):
    matrix = color.hue_matrix(tf.constant(angle)).numpy()
    np.testing.assert_allclose(matrix @ [1, 1, 1], [1, 1, 1], atol=1e-5)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(weights @ matrix, weights, atol=1e-5)
    assert np.abs(matrix - np.eye(3)).max() > 0.2


def test_hue_turns_add_up():
    third = color.hue_matrix(tf.constant(2 * math.pi / 3)).numpy()
    np.testing.assert_allclose(third @ third @ third, np.eye(3), atol=1e-5)
    full = color.hue_matrix(tf.constant(2 * math.pi)).numpy()
    np.testing.assert_allclose(full, np.eye(3), atol=1e-5)


def test_half_a_hue_turn_gives_the_complement():
    """Red (I, Q) = (0.5957, 0.2115) * 200 becomes its negative, luminance 59.8 stays."""
    red = np.full((1, 1, 3), 0, np.float32)
    red[..., 0] = 100
    ours = recolored(red + 60, Augment(hue=0.5), hue=0.0)[0, 0]
    # gray 60 + luminance 29.9, chroma (70.1, -29.9, -29.9) negated
    np.testing.assert_allclose(ours, [60 + 29.9 - 70.1, 60 + 59.8, 60 + 59.8], atol=0.05)


def test_gray_pictures_have_no_colour_to_change():
    image = picture()[..., :1]
    policy = Augment(contrast=0.4, saturation=0.9, hue=0.5)
    ours = recolored(image, policy, contrast=1.0, saturation=0.0, hue=0.1)
    expected = np.clip((image - image.mean()) * 1.4 + image.mean(), 0, 255)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_gray_in_rgb_equals_one_channel():
    image = picture()[..., :1]
    policy = Augment(brightness=0.1, contrast=0.4, saturation=0.9, hue=0.5)
    one = recolored(image, policy, 0.9, 0.2, 0.1, 0.3)
    three = recolored(image.repeat(3, 2), policy, 0.9, 0.2, 0.1, 0.3)
    np.testing.assert_allclose(three, one.repeat(3, 2), atol=0.02)


def test_changes_combine_to_one_map():
    """hue after saturation, both scaled by contrast about the gray mean, then brightness."""
    image = picture(low=100, high=150)
    policy = Augment(brightness=0.1, contrast=0.4, saturation=0.5, hue=0.2)
    ours = recolored(image, policy, 0.75, 0.25, 1.0, 0.75)
    weights = np.array([0.299, 0.587, 0.114])
    gray = (image @ weights)[..., None]
    vivid = gray + 1.5 * (image - gray)
    turned = vivid @ color.hue_matrix(tf.constant(0.1 * 2 * math.pi)).numpy().T
    mean = gray.mean()
    expected = mean + 0.8 * (turned - mean) + 0.05 * 255
    np.testing.assert_allclose(ours, np.clip(expected, 0, 255), atol=0.05)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_inside_a_dataset(channels):
    image = tf.constant(picture()[..., :channels])
    policy = Augment(brightness=0.2, contrast=0.3, saturation=0.4, hue=0.2)
    numbers = tf.constant(np.random.default_rng(1).random((5, color.DRAWS)), tf.float32)
    mapped = tf.data.Dataset.from_tensor_slices(numbers).map(
        lambda row: color.recolor(image, color.random_map(policy, row))
    )
    block = color.random_map(policy, numbers)
    for index, ours in enumerate(mapped):
        one = tf.nest.map_structure(lambda values, index=index: values[index], block)
        np.testing.assert_allclose(ours, color.recolor(image, one), atol=2e-3)


@pytest.mark.parametrize(("draw", "factor"), [(0.5, 1.0), (1.0, 1.5), (0.0, 1 / 1.5), (0.75, 1.25)])
@pytest.mark.parametrize("channels", [1, 3])
def test_exposure_is_a_factor_or_one_over_it(draw, factor, channels):
    image = picture(high=150)[..., :channels]
    ours = changed(image, Augment(exposure=1.5), exposure=draw)
    np.testing.assert_allclose(ours, image * factor, atol=0.02)


def test_each_change_can_be_left_out():
    """Of brightness 0.2 * 255 and hue, drawn with probability a half, only one is on."""
    policy = Augment(brightness=0.2, hue=0.5, color_probability=0.5)
    image = picture(high=150)
    only_brighter = changed(image, policy, b=1.0, h=1.0, on_b=0.4, on_h=0.5)
    np.testing.assert_allclose(only_brighter, image + 51, atol=0.01)
    neither = changed(image, policy, b=1.0, h=1.0, on_b=0.9, on_h=0.9)
    np.testing.assert_allclose(neither, image, atol=0.01)


def test_gray_by_probability():
    image = picture()
    luminance = (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    gray = changed(image, Augment(gray=0.3), gray=0.29)
    np.testing.assert_allclose(gray, luminance.repeat(3, 2), atol=0.01)
    np.testing.assert_allclose(changed(image, Augment(gray=0.3), gray=0.3), image, atol=0.01)


def test_pca_colour_adds_the_first_component():
    """One sigma (draw 0.8413) of 0.1: 0.1 * 0.2175 * 255 = 5.546 along the first column."""
    image = picture()
    ours = changed(image, Augment(pca_color=0.1), p1=0.8413447)
    added = 5.54625 * np.array([-0.5675, -0.5808, -0.5836])
    np.testing.assert_allclose(ours - image, np.broadcast_to(added, image.shape), atol=0.01)


def test_components_are_orthonormal():
    np.testing.assert_allclose(color.PCA_COLORS.T @ color.PCA_COLORS, np.eye(3), atol=1e-3)


def test_the_mean_of_a_large_picture_is_sampled():
    image = tf.image.resize(picture(), [200, 300]).numpy()
    ours = changed(image, Augment(contrast=0.5), c=1.0)
    mean = (image @ np.array([0.299, 0.587, 0.114])).mean()
    np.testing.assert_allclose(ours, np.clip((image - mean) * 1.5 + mean, 0, 255), atol=1.0)
