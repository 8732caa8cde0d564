"""R-CNN, SPP-net and the sliding window: warps, pyramids and windows by loops, counts by hand."""

from __future__ import annotations

import itertools
import math

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import coding, pooling
from convoy.models.detection import margins, rcnn, sliding_window, sppnet
from convoy.models.roi import RoIAlign
from tests.models.test_parity import fill
from tests.parity import formula

ALEXNET = ((11, 3, 96, 1), (5, 96, 256, 2), (3, 256, 384, 1), (3, 384, 384, 2), (3, 384, 256, 2))
ZF5 = ((7, 3, 96, 1), (5, 96, 256, 1), (3, 256, 384, 1), (3, 384, 384, 1), (3, 384, 256, 1))


def trunk(convolutions) -> int:
    """kernel * kernel * in / groups * out + out of each."""
    return sum(k * k * i // g * o + o for k, i, o, g in convolutions)


def full(*sizes: int) -> int:
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def test_layers_sum_to_the_counts():
    """20 classes: 21 logits and 20 SVMs on fc7, 80 numbers of boxes on what fc6 sees."""
    finetuned = trunk(ALEXNET) + full(9216, 4096, 4096, 21)
    assert finetuned == 56_954_261  # rcnn's pascal_finetune_deploy
    fitted = full(4096, 20) + full(9216, 80)
    assert models.describe("rcnn_alexnet").params == finetuned + fitted
    length = 256 * (36 + 9 + 4 + 1)
    learnt = trunk(ZF5) + full(length, 4096, 4096, 21)
    assert length == 12_800
    assert models.describe("sppnet_zf5").params == learnt + full(4096, 20) + full(length, 80)
    assert models.describe("sliding_window").params == 272_384 - full(64, 10) + full(64, 21)


def warped(image: np.ndarray, box, side: int, factor: float) -> np.ndarray:
    """[side, side, C] by loops: bilinear at the middle of each pixel, 0 beyond the picture."""
    ymin, xmin, ymax, xmax = (float(v) for v in box)
    height, width = (ymax - ymin) * factor, (xmax - xmin) * factor
    top, left = (ymin + ymax - height) / 2, (xmin + xmax - width) / 2
    found = np.zeros((side, side, image.shape[2]))
    for i, j in np.ndindex(side, side):
        y, x = top + (i + 0.5) * height / side - 0.5, left + (j + 0.5) * width / side - 0.5
        if not (-1 <= y <= image.shape[0] and -1 <= x <= image.shape[1]):
            continue
        y, x = (min(max(v, 0), n - 1) for v, n in zip((y, x), image.shape[:2], strict=True))
        rows, columns = ((math.floor(v), min(math.floor(v) + 1, n - 1), v - math.floor(v))
                         for v, n in zip((y, x), image.shape[:2], strict=True))  # fmt: skip
        for row, row_weight in ((rows[0], 1 - rows[2]), (rows[1], rows[2])):
            for column, weight in ((columns[0], 1 - columns[2]), (columns[1], columns[2])):
                found[i, j] += row_weight * weight * image[row, column]
    return found


def test_regions_are_warped_with_context():
    """Inside, across two borders, and a sliver; against loops."""
    image = formula.pictures(1, 40, 60)
    boxes = np.float32([[10, 15, 30, 40], [0, 0, 12, 9], [30, 2, 33, 58]])
    grown = rcnn.Grown(rcnn.CONTEXT)(boxes[None])
    found = RoIAlign(19, (1.0,), 1, aligned=True)(image, grown)[0]
    for box, crop in zip(boxes, np.array(found), strict=True):
        np.testing.assert_allclose(crop, warped(image[0], box, 19, rcnn.CONTEXT), atol=0.01)


def test_a_warp_without_context_is_opencv_s_resize():
    image = formula.pictures(1, 40, 60)
    found = RoIAlign(21, (1.0,), 1, aligned=True)(image, np.float32([[[8, 10, 36, 52]]]))
    expected = cv2.resize(image[0, 8:36, 10:52], (21, 21), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(found[0, 0], expected, atol=0.05)


def test_a_region_has_sixteen_of_227_pixels_of_context():
    """195 px between pixels 16 and 211 of the warp; a box of 39 x 78 has 3.2 and 6.4 px more."""
    found = np.array(rcnn.Grown(rcnn.CONTEXT)(np.float32([[[100, 100, 139, 178]]])))[0, 0]
    np.testing.assert_allclose(found, [96.8, 93.6, 142.2, 184.4], atol=1e-4)


def test_cells_of_a_region_by_hand():
    """Cells look at pixels 20, 36, 52, ...: strictly inside a region; one at least."""
    boxes = [[0, 0, 100, 200], [20, 36, 52, 53], [21, 37, 52, 60], [0, 0, 8, 8]]
    found = np.array(sppnet.Cells()(np.float32([boxes])))[0]
    expected = [
        [0, 0, 5, 12],  # 20 ... 84 and 20 ... 196
        [1, 2, 2, 3],  # of 20 < y < 52 and 36 < x < 53: 36; 52
        [1, 2, 2, 3],  # 36; 52
        [0, 0, 1, 1],
    ]
    assert found.tolist() == expected


def test_a_cell_looks_where_it_should():
    """The picture's pixel that moves the middle of what conv5's cell (2, 3) sees most."""
    model = models.build("spp_net_zf5", num_classes=None, input_size=(128, 160))
    for layer in model.layers:  # positive kernels: sums of what is seen
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([np.full_like(kernel, 1e-2), np.zeros_like(bias)])
    with tf.GradientTape() as tape:
        image = tf.fill([1, 128, 160, 3], 150.0)
        tape.watch(image)
        value = tf.reduce_sum(model(image)["s16"][0, 2, 3])
    gradient = np.abs(tape.gradient(value, image).numpy()[0].sum(-1))
    rows, columns = np.nonzero(gradient)
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    expected = (sppnet.FIRST + 2 * sppnet.STRIDE, sppnet.FIRST + 3 * sppnet.STRIDE)
    assert np.abs(np.subtract(middle, expected)).max() <= 12  # maxima choose a part of it


@pytest.mark.slow  # 74 million weights
def test_a_pyramid_of_a_region_is_that_of_its_cells_alone():
    keras.utils.set_random_seed(0)
    task = models.build_task("sppnet_zf5", num_classes=3, input_size=(128, 160))
    fill(task.model)
    picture, box = formula.pictures(1, 128, 160), np.float32([[[10, 20, 100, 120]]])
    names = ("pyramid", "conv5")
    probe = keras.Model(task.model.inputs, [task.model.get_layer(n).output for n in names])
    found, maps = probe([picture, box])
    low, high = np.array(sppnet.Cells()(box))[0, 0].reshape(2, 2).astype(int)
    part = maps[:, low[0] : high[0], low[1] : high[1]]
    np.testing.assert_allclose(found[0], pooling.SpatialPyramid(sppnet.LEVELS)(part), rtol=1e-6)


def small(**options):
    keras.utils.set_random_seed(0)
    options = {"backbone": "lenet5", "width": 0.02, "num_classes": 3, **options}
    return models.build_task("rcnn_alexnet", input_size=(64, 96), **options)


def test_a_region_is_seen_as_the_classifier_sees_its_warp():
    """Whatever else is in the batch; LeNet's gray 28 x 28."""
    task = small()
    fill(task.model)
    pictures = formula.pictures(2, 64, 96, 1)
    boxes = np.float32([[[10, 15, 30, 40], [0, 0, 12, 9]], [[20, 20, 60, 90], [5, 5, 50, 20]]])
    found = task.model([pictures, boxes])["cls"]
    body = models.build("lenet5", num_classes=None)
    for layer in body.layers:
        if layer.weights:
            layer.set_weights(task.model.get_layer(layer.name).get_weights())
    normalize = body.get_layer("normalize")
    for picture, box, logits in zip(
        pictures.repeat(2, 0), boxes.reshape(-1, 4), np.array(found).reshape(4, -1), strict=True
    ):
        crop = warped(np.array(normalize(picture[None]))[0], box, 28, rcnn.CONTEXT)
        scale, mean = normalize.scale, normalize.mean[0]
        x = list(body((crop[None] + mean) / scale).values())[-1]
        x = np.reshape(x, (1, -1))
        for name in ("fc6", "fc7", "roi_cls"):
            x = task.model.get_layer(name)(x)
        np.testing.assert_allclose(x[0], logits, rtol=1e-3, atol=1e-3 * np.abs(logits).max())


def test_scores_are_those_of_the_classes_until_there_are_svms():
    logits, margin = np.float32([[[0, 1, 2, 3]]]), np.float32([[[-1, 0, 2]]])
    verdict = margins.Verdict()
    soft = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(verdict(logits, 0 * margin), soft[..., 1:], rtol=1e-5)
    np.testing.assert_allclose(verdict(logits, margin), 1 / (1 + np.exp(-margin)), rtol=1e-5)


def test_boxes_are_regions_until_there_is_a_regression_and_then_codes_move_them():
    task = small()
    given = np.float32([[[10, 20, 30, 50], [0, 0, 0, 0]]])
    scores = np.float32([[[0.9, 0.1, 0.0], [0.8, 0.9, 0.9]]])
    outputs = {"proposals": given, "scores": scores, "box": np.zeros((1, 2, 12), np.float32)}
    found = task.decode(outputs, 0.5, 0.3, 4)
    assert found["valid"].numpy().tolist() == [[True, False, False, False]]
    np.testing.assert_allclose(found["boxes"][0, 0], given[0, 0])
    target = np.float32([12, 18, 40, 60])
    outputs["box"][0, 0, :4] = coding.encode(target, given[0, 0], coding.UNIT)
    np.testing.assert_allclose(task.decode(outputs, 0.5, 0.3, 4)["boxes"][0, 0], target, rtol=1e-5)


def test_fitted_layers_do_not_learn_by_steps():
    task = small()
    learnt = {weight.path.split("/")[0] for weight in task.model.trainable_variables}
    assert not learnt & {task.fitted.svm, task.fitted.box}
    assert {"fc6", "fc7", "roi_cls"} <= learnt


@pytest.mark.parametrize("size", [(240, 320), (64, 64)])
def test_windows_are_as_many_as_the_formula_says(size):
    """(floor((W - w) / s) + 1) (floor((H - h) / s) + 1) of each size and shape."""
    boxes, count = sliding_window.windows(size), 0
    side = 0.1 * math.sqrt(size[0] * size[1])
    while side <= max(size):
        for ratio in (0.5, 1.0, 2.0):
            h, w = side * ratio**0.5, side / ratio**0.5
            if h <= size[0] and w <= size[1]:
                rows = math.floor((size[0] - h) / (h / 4)) + 1
                count += rows * (math.floor((size[1] - w) / (w / 4)) + 1)
        side *= 2**0.5
    assert len(boxes) == count
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= np.array(size) + 1e-3).all()
    sizes = np.unique(np.round(boxes[:, 2:] - boxes[:, :2], 2), axis=0)
    assert len(sizes) == len({tuple(each) for each in sizes.tolist()})


def test_every_object_has_a_window_over_half_of_it():
    rng = np.random.default_rng(0)
    boxes = sliding_window.windows((240, 320))
    for _ in range(50):
        side, ratio = rng.uniform(30, 150), rng.uniform(0.6, 1.6)
        height, width = side * ratio**0.5, side / ratio**0.5
        y, x = rng.uniform(0, 240 - height), rng.uniform(0, 320 - width)
        low = np.maximum(boxes[:, :2], [y, x])
        high = np.minimum(boxes[:, 2:], [y + height, x + width])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + height * width - shared
        assert (shared / union).max() > 0.5


def test_windows_choose_at_random_and_go_on_where_they_were():
    """128 windows, an object's own box among them; another sample in the next step."""
    keras.utils.set_random_seed(0)
    options = {"backbone": "lenet5", "num_classes": 3, "input_size": (64, 96)}
    task = models.build_task("sliding_window", **options)
    encoded = task.encode(
        {
            "boxes": np.float32([[10, 20, 50, 70]]),
            "classes": np.array([1]),
            "valid": np.array([True]),
        }
    )
    batch = {
        "image": formula.pictures(1, 64, 96, 1),
        "targets": {key: value[None] for key, value in encoded.items()},
    }
    first, second = (task.forward(batch) for _ in range(2))
    assert first["cls"].shape == (1, 128, 4)
    assert np.array(first["roi_used"]).all()
    assert 1 <= np.array(first["roi_label"] == 2).sum() <= 32
    assert not np.allclose(first["cls"], second["cls"])
    (name,) = task.loss(batch["targets"], first)
    assert name == "roi_class"
