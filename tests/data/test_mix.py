"""MixUp, CutMix and Mosaic: numbers by hand, keras-cv where it agrees, and where they come from."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from convoy.data.augment import mix
from convoy.data.augment.policy import Augment

H, W = 8, 12


def numbers(rows: int) -> tf.Tensor:
    return tf.random.stateless_uniform([rows, mix.DRAWS], [rows, 5])


def flat(values, height: int = H, width: int = W) -> tf.Tensor:
    """Pictures of one gray value each."""
    return tf.ones([len(values), height, width, 3]) * tf.reshape(tf.constant(values), [-1, 1, 1, 1])


def smooth(count: int, height: int = H, width: int = W) -> np.ndarray:
    """Every pixel tells its picture, row and column: 100 b + 10 y + x."""
    b, y, x, c = np.meshgrid(*map(np.arange, (count, height, width, 3)), indexing="ij")
    return (100 * b + 10 * y + x + 0 * c).astype(np.float32)


def mapped(function, *arguments):
    """The function inside tf.data.map, over one element."""
    data = tf.data.Dataset.from_tensors(arguments).map(function)
    return next(data.as_numpy_iterator())


def test_mixup_by_hand():
    """Shares 0.75 and 0.5 of 100 and 20: 80 and 60; a class of both keeps weight 1."""
    batch = {"image": flat([100.0, 20.0]), "labels": tf.constant([[1, 0, 1], [0, 1, 1]])}
    mixed = mix.blend(batch, mix.mixup_weight(tf.constant([0.75, 0.5])))
    np.testing.assert_allclose(mixed["image"][:, 0, 0, 0], [80, 60])
    np.testing.assert_allclose(mixed["labels"], [[0.75, 0.25, 1], [0.5, 0.5, 1]])


def test_mixup_equals_keras_cv():
    import keras_cv

    layer = keras_cv.layers.MixUp(dtype="float32")
    image = tf.constant(smooth(4))
    labels = tf.one_hot([0, 2, 1, 0], 3)
    share = tf.constant([0.3, 0.9, 0.0, 1.0])
    mixed = mix.blend({"image": image, "labels": labels}, mix.mixup_weight(share))
    pairs = [1, 0, 3, 2]
    np.testing.assert_allclose(
        mixed["image"], layer._update_segmentation_masks(image, share, pairs), rtol=1e-6
    )
    np.testing.assert_allclose(mixed["labels"], layer._update_labels(labels, share, pairs))


def test_cutmix_by_hand():
    """A share of 3/4 cuts half of each side, 4 x 6 of 8 x 12, round the centre (2, 10).

    Rows 0..3; columns 7..12, of which 13 is outside: 4 x 5 of 96 pixels are the other's.
    """
    center = tf.constant([[2, 10], [4, 6]])
    weight = mix.cutmix_weight(tf.constant([0.75, 0.75]), center, H, W)
    expected = np.ones([2, H, W])
    expected[0, 0:4, 7:13] = 0
    expected[1, 2:6, 3:9] = 0
    np.testing.assert_array_equal(weight[..., 0], expected)
    mixed = mix.blend({"image": flat([0.0, 50.0]), "labels": tf.eye(2)}, weight)
    np.testing.assert_array_equal(mixed["image"][0, ..., 0], 50 * (1 - expected[0]))
    np.testing.assert_allclose(mixed["labels"], [[76 / 96, 20 / 96], [24 / 96, 72 / 96]])


def test_cutmix_draws_the_rectangles_of_keras_cv():
    """Its pictures; not its labels, which count the part of the rectangle outside as well."""
    import keras_cv

    layer = keras_cv.layers.CutMix(dtype="float32")
    image, share = tf.constant(smooth(4)), tf.constant([0.1, 0.5, 0.75, 1.0])
    center = tf.constant([[0, 0], [7, 3], [4, 11], [2, 2]])
    cut = tf.cast(tf.sqrt(1 - share)[:, None] * tf.constant([H, W], tf.float32), tf.int32)
    expected = layer._update_segmentation_masks(
        image, [1, 0, 3, 2], center[:, 0], center[:, 1], cut[:, 1], cut[:, 0]
    )
    weight = mix.cutmix_weight(share, center, H, W)
    mixed = mix.blend({"image": image, "labels": tf.eye(4)}, weight)
    np.testing.assert_array_equal(mixed["image"], expected)


def test_a_share_of_nothing_is_the_other_picture():
    batch = {"image": flat([1.0, 2.0]), "labels": tf.eye(2)}
    whole = mix.cutmix_weight(tf.zeros([2]), tf.constant([[4, 6], [4, 6]]), H, W)
    for weight in (mix.mixup_weight(tf.zeros([2])), whole):
        mixed = mix.blend(batch, weight)
        np.testing.assert_array_equal(mixed["image"], flat([2.0, 1.0]))
        np.testing.assert_array_equal(mixed["labels"], [[0, 1], [1, 0]])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 1.5])
def test_shares_are_beta(alpha):
    """SciPy's quantiles; of a tenth, most are next to 0 or 1."""
    draws = tf.random.stateless_uniform([200], [3, 5])
    expected = scipy.stats.beta.ppf(draws.numpy().astype(np.float64), alpha, alpha)
    np.testing.assert_allclose(mapped(lambda u: mix.beta(u, alpha), draws), expected, atol=2e-7)
    ends = mix.beta(tf.constant([0.0, 0.5, 1 - 2**-24]), alpha).numpy()
    assert ends[0] < 1e-6
    assert ends[2] > 0.999
    np.testing.assert_allclose(ends[1], 0.5, atol=1e-6)


def test_both_asked_for_are_chosen_by_row():
    """The fifth number below 1/2 takes MixUp of share 1/4, above it CutMix of share 3/4.

    With alphas of 1 the shares are the numbers themselves.
    """
    draws = tf.constant([[0.25, 0.75, 0.5, 0.5, 0.4], [0.25, 0.75, 0.5, 0.5, 0.6]])
    batch = {"image": flat([0.0, 100.0]), "labels": tf.eye(2)}
    mixed = mapped(lambda batch, draws: mix.mix_labels(batch, draws, 1.0, 1.0), batch, draws)
    np.testing.assert_allclose(mixed["labels"], [[0.25, 0.75], [0.25, 0.75]], atol=1e-6)
    np.testing.assert_allclose(mixed["image"][0], 75, atol=1e-4)
    assert set(np.unique(mixed["image"][1])) == {0, 100}
    alone = mix.mix_labels(batch, draws, 1.0, 0.0)
    np.testing.assert_allclose(alone["image"][1], 25, atol=1e-4)
    alone = mix.mix_labels(batch, draws, 0.0, 1.0)
    np.testing.assert_allclose(alone["labels"], [[0.75, 0.25], [0.25, 0.75]], atol=1e-6)


def test_groups_do_not_look_at_the_rest_of_the_batch():
    """Two parts of four rows are the whole of eight: workers and replicas do not matter."""
    draws = numbers(8)
    batch = {"image": tf.constant(smooth(8)), "labels": tf.eye(8)}
    objects = {**objects_of(8), "image": batch["image"]}
    for function, rows in (
        (lambda rows, d: mix.mix_labels(rows, d, 0.3, 0.7), batch),
        (lambda rows, d: mix.mix_objects(rows, d, 0.3, 0.8, 0.3), objects),
    ):
        whole = function(rows, draws)
        halves = [
            function({name: value[part] for name, value in rows.items()}, draws[part])
            for part in (slice(0, 4), slice(4, 8))
        ]
        for name, value in whole.items():
            np.testing.assert_array_equal(value, tf.concat([h[name] for h in halves], 0))


def test_rows_that_have_no_partner_are_an_error():
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiple of 2 rows"):
        mix.blend({"image": flat([1.0]), "labels": tf.eye(1)}, mix.mixup_weight(tf.ones([1])))
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiple of 4 rows"):
        mix.join({"image": flat([1.0, 2.0]), **objects_of(2)}, tf.constant([[4, 6]] * 2), 0.3)


def test_which_rows_meet_for_which_annotation():
    mixup, cutmix, mosaic = Augment(mixup=0.2), Augment(cutmix=1), Augment(mosaic=0.5, mixup=1)
    assert mix.rows_together(Augment(), ("segmentation",)) == 1
    assert mix.rows_together(mixup, ("labels",)) == 2
    assert mix.rows_together(cutmix, ("labels",)) == 2
    assert mix.rows_together(mixup, ("boxes",)) == 2
    assert mix.rows_together(mosaic, ("boxes",)) == 4
    with pytest.raises(ValueError, match="cutmix mixes labels, the task learns boxes"):
        mix.rows_together(cutmix, ("boxes",))
    with pytest.raises(ValueError, match="mixup mixes labels or boxes, the task learns seg"):
        mix.rows_together(mixup, ("segmentation",))


def test_a_stream_of_rows_is_mixed():
    """Six rows of three pairs; shares of alpha 1 are the numbers: 1/4 of its own."""
    rows = {
        "image": flat([0.0, 100, 0, 200, 0, 40]),
        "targets": {"label": tf.constant([0, 1, 2, 2, 1, 0], tf.int64)},
        "mix": tf.tile([[0.25, 0.5, 0.5, 0.5, 0.5]], [6, 1]),
        "source_id": tf.constant(list("abcdef")),
    }
    data = tf.data.Dataset.from_tensor_slices(rows)
    found = list(mix.mixed(data, Augment(mixup=1), ("labels",), 3, None).as_numpy_iterator())
    assert [row["source_id"] for row in found] == [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert [set(row) for row in found] == [{"image", "targets", "source_id"}] * 6
    values = [row["image"][0, 0, 0] for row in found]
    np.testing.assert_allclose(values, [75, 25, 150, 50, 30, 10], atol=1e-4)
    weights = np.stack([row["targets"]["distribution"] for row in found])
    quarter, most, whole = [0.25, 0.75, 0], [0.75, 0.25, 0], [0, 0, 1]
    expected = [quarter, most, whole, whole, most, quarter]
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_a_stream_of_objects_is_mixed():
    objects = objects_of(8)
    rows = {"image": smooth(8), "targets": objects, "mix": numbers(8)}
    policy = Augment(mosaic=0.7, mixup=1.5, min_visible=0.2)
    found = mix.mixed(tf.data.Dataset.from_tensor_slices(rows), policy, ("boxes",), 0, encode_boxes)
    (found,) = found.batch(8).as_numpy_iterator()
    batch = {"image": tf.constant(smooth(8)), **objects}
    expected = mix.mix_objects(batch, numbers(8), 1.5, 0.7, 0.2)
    np.testing.assert_allclose(found["image"], expected["image"], atol=1e-3)
    objects, valid = found["targets"]["rows"], found["targets"]["valid"]
    np.testing.assert_array_equal(objects[..., :4], expected["boxes"])
    np.testing.assert_array_equal(objects[..., 4], expected["classes"])
    np.testing.assert_array_equal(valid, expected["valid"])


def encode_boxes(annotation) -> dict:
    classes = tf.cast(annotation["classes"][:, None], tf.float32)
    rows = tf.concat([annotation["boxes"], classes], axis=-1)
    return {"rows": rows, "valid": annotation["valid"]}


def objects_of(count: int, slots: int = 3) -> dict:
    """One object a picture, of class 10 + b, over its rows 1..5 and columns 2..10."""
    box = tf.constant([[1.0, 2, 5, 10]])
    return {
        "boxes": tf.tile(tf.pad(box, [[0, slots - 1], [0, 0]])[None], [count, 1, 1]),
        "classes": tf.pad(10 + tf.range(count, dtype=tf.int64)[:, None], [[0, 0], [0, slots - 1]]),
        "valid": tf.tile(tf.range(slots)[None] < 1, [count, 1]),
    }


def test_mosaic_by_hand():
    """8 x 12 pictures round (3, 4): of the first, rows 5.. and columns 8.. are seen, and so on.

    Each box is (1, 2, 5, 10) in its picture. Moved by (3 - 8 or 3, 4 - 12 or 4):
    own: (-4, -6, 0, 2), outside; right: (-4, 6, 0, 14), outside; below: (4, -6, 8, 2), of 32
    pixels 8 seen; below right: (4, 6, 8, 14), 24 seen.
    """
    image = smooth(4)
    batch = {"image": tf.constant(image), **objects_of(4, slots=5)}
    center = tf.constant([[3, 4]] * 4)
    found = mix.join(batch, center, 0.25)
    for row in range(4):
        own, right, below, across = (image[(row + i) % 4] for i in range(4))
        np.testing.assert_array_equal(found["image"][row, :3, :4], own[5:, 8:])
        np.testing.assert_array_equal(found["image"][row, :3, 4:], right[5:, :8])
        np.testing.assert_array_equal(found["image"][row, 3:, :4], below[:5, 8:])
        np.testing.assert_array_equal(found["image"][row, 3:, 4:], across[:5, :8])
        assert found["valid"][row].numpy().tolist() == [True, True, False, False, False]
        np.testing.assert_array_equal(
            found["boxes"][row], [[4, 0, 8, 2], [4, 6, 8, 12], [0] * 4, [0] * 4, [0] * 4]
        )
        expected = [10 + (row + 2) % 4, 10 + (row + 3) % 4, 0, 0, 0]
        assert found["classes"][row].numpy().tolist() == expected
    strict = mix.join(batch, center, 0.5)
    assert strict["valid"].numpy().sum(axis=1).tolist() == [1, 1, 1, 1]


def test_mosaic_is_near_keras_cv():
    """Equal boxes; pixels of a slope (10 a row, 1 a column) within the pixel that it stretches."""
    import keras_cv

    layer = keras_cv.layers.Mosaic(bounding_box_format="yxyx", dtype="float32")
    batch = {"image": tf.repeat(smooth(1), 4, axis=0), **objects_of(4)}
    found = mix.join(batch, tf.constant([[4, 6]] * 4), 0.0)
    given = {
        "permutation_order": [[(row + i) % 4 for i in range(4)] for row in range(4)],
        "mosaic_centers": tf.constant([[0.5, 0.5]] * 4),
    }
    expected = layer.augment_images(batch["image"], given)
    np.testing.assert_allclose(found["image"][:, :3, :5], expected[:, :3, :5], atol=11.01)
    np.testing.assert_allclose(found["image"][:, 4:, 6:], expected[:, 4:, 6:], atol=11.01)
    boxes = {"boxes": batch["boxes"], "classes": batch["classes"]}
    expected = layer.augment_bounding_boxes(boxes, given, images=batch["image"])
    # Of its four times three boxes, those of the objects (the others pad) that are still seen.
    seen = expected["classes"][0] >= 10
    np.testing.assert_array_equal(found["boxes"][0], expected["boxes"][0][seen][:3])


def test_a_row_without_mosaic_stays():
    batch = {"image": tf.constant(smooth(4)), **objects_of(4)}
    draws = tf.constant([[1.0, 1, 0.5, 0.5, 0.9]] * 3 + [[1.0, 1, 0.5, 0.5, 0.1]])
    found = mapped(lambda batch, draws: mix.mix_objects(batch, draws, 0.0, 0.5, 0.3), batch, draws)
    for name, value in batch.items():
        np.testing.assert_array_equal(found[name][:3], value[:3])
    assert not np.array_equal(found["image"][3], batch["image"][3])


def test_objects_beyond_the_slots_are_cut():
    """Each of four pictures fills both slots; in the mosaic the first that are seen stay."""
    objects = objects_of(4, slots=2)
    objects["valid"] = tf.ones([4, 2], tf.bool)
    objects["boxes"] = tf.tile(tf.constant([[[0.0, 0, 8, 12]]]), [4, 2, 1])
    found = mix.join({"image": tf.constant(smooth(4)), **objects}, tf.constant([[4, 6]] * 4), 0.0)
    assert found["valid"].numpy().all()
    np.testing.assert_array_equal(found["boxes"][0], [[0, 0, 4, 6], [0, 0, 4, 6]])


def test_mixup_of_objects_keeps_those_of_both():
    batch = {"image": flat([0.0, 100.0]), **objects_of(2)}
    draws = tf.constant([[0.25, 1, 0, 0, 0], [0.5, 1, 0, 0, 0]])
    found = mix.mix_objects(batch, draws, 1.0, 0.0, 0.3)
    np.testing.assert_allclose(found["image"][:, 0, 0, 0], [75, 50], atol=1e-4)
    assert found["classes"].numpy().tolist() == [[10, 11, 0], [11, 10, 0]]
    assert found["valid"].numpy().tolist() == [[True, True, False]] * 2
    np.testing.assert_array_equal(found["boxes"][0, :2], [[1, 2, 5, 10]] * 2)


def test_pictures_without_objects():
    objects = {name: tf.zeros_like(value) for name, value in objects_of(4).items()}
    batch = {"image": tf.constant(smooth(4)), **objects}
    draws = numbers(4)
    found = mix.mix_objects(batch, draws, 1.5, 1.0, 0.3)
    assert not found["valid"].numpy().any()
    assert not found["boxes"].numpy().any()
