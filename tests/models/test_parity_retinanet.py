"""RetinaNet against torchvision's under identical weights; its loss against loops.

tests/golden/torch_retinanet.npz is written by tests/parity/retinanet_reference.py: our two others
are torchvision's parts put together as the paper says.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import boxes as box_ops
from convoy.models import losses
from convoy.models.detection import retinanet
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula

STEP = 149  # of the rows that are stored
SMALL = {"input_size": (64, 96), "backbone": "mobilenet_v1", "width": 0.25}


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "torch_retinanet.npz")


def objects(height: int):
    """Annotations of two pictures, one without objects; those of 300 px scaled."""
    for boxes, classes in formula.objects():
        valid = np.ones(len(boxes), bool)
        yield {"boxes": boxes * height / 300, "classes": classes % 10, "valid": valid}


@pytest.mark.parametrize("size", [(96, 128), (150, 221)])
@pytest.mark.parametrize(
    "network",
    [
        "retinanet",
        "retinanet_resnet50_fpn",
        pytest.param("retinanet_resnet50_fpn_c5", marks=pytest.mark.slow),
    ],
)
def test_outputs_are_torchvision_s(network, size, golden):
    task = models.build_task(network, num_classes=10, input_size=size)
    fill(task.model)
    outputs = task.model(formula.pictures(2, *size), training=False)
    case = f"{network}_{size[0]}x{size[1]}"
    for name in ("cls", "box"):
        assert_close(outputs[name][:, ::STEP], golden[f"{case}_{name}"])
    if network == "retinanet_resnet50_fpn":
        _the_rest_is_torchvision_s(task, outputs, case, golden)


def _the_rest_is_torchvision_s(task, outputs, case: str, golden) -> None:
    """Anchors, the loss of each picture, and the 25 best detections."""
    np.testing.assert_array_equal(task.priors.boxes[::STEP], golden[f"{case}_anchors"])
    theirs = {"cls": "classification", "box": "bbox_regression"}
    for index, annotation in enumerate(objects(task.info.preprocess.size[0])):
        targets = {key: value[None] for key, value in task.encode(annotation).items()}
        one = {key: value[index : index + 1] for key, value in outputs.items()}
        for name, (value, count) in task.loss(targets, one).items():
            found = value / max(float(count), 1.0)
            np.testing.assert_allclose(found, golden[f"{case}_{theirs[name]}{index}"], rtol=1e-4)
    found = task.decode(outputs, 0.05, 0.5, 300)
    for index in range(2):
        best = slice(0, 25)
        assert_close(found["scores"][index, best], golden[f"{case}_scores{index}"])
        np.testing.assert_array_equal(
            found["classes"][index, best], golden[f"{case}_labels{index}"]
        )
        assert_close(found["boxes"][index, best], golden[f"{case}_boxes{index}"])


def test_anchors_by_hand():
    """torchvision has 120,087 at 800 x 800; the paper's smallest are 32 px high and wide."""
    levels = [
        retinanet.level(np.empty((1, n, n, 1)), stride, (800, 800), retinanet.TORCHVISION)
        for n, stride in ((100, 8), (50, 16), (25, 32), (13, 64), (7, 128))
    ]
    assert sum(level.count for level in levels) == 120_087
    assert [level.step[0] for level in levels] == [8, 16, 32, 61, 114]
    # 2 * round(32 * sqrt(0.5) / 2), 2 * round(32 / sqrt(0.5) / 2); 40 = floor(32 * 2^(1/3))
    assert levels[0].shapes[:3] == ((22, 46), (28, 56), (36, 70))
    assert levels[0].shapes[3:6] == ((32, 32), (40, 40), (50, 50))
    paper = retinanet.level(np.empty((1, 13, 13, 1)), 64, (800, 800), retinanet.Variant())
    assert paper.step == (64, 64)
    assert paper.offset == 0.5
    assert paper.shapes[3] == (256, 256)
    np.testing.assert_allclose(paper.shapes[1], (322.5398 / 2**0.5, 322.5398 * 2**0.5), rtol=1e-6)


def test_focal_loss_by_hand():
    """p = 0.9: of the class -0.25 * 0.1^2 log 0.9, of no class -0.75 * 0.9^2 log 0.1."""
    logit = math.log(9)
    found = losses.focal(np.float32([1, 0]), np.float32([logit, logit]))
    expected = [-0.25 * 0.01 * math.log(0.9), -0.75 * 0.81 * math.log(0.1)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    extreme = tf.Variable([[-200.0, 200.0], [200.0, -200.0]])
    with tf.GradientTape() as tape:
        value = losses.focal(np.float32([[0, 1], [0, 1]]), extreme)
    np.testing.assert_allclose(value, [[0, 0], [150, 50]])
    assert np.isfinite(tape.gradient(value, extreme)).all()


def test_loss_equals_loops():
    """The paper's, anchor after anchor: objects that overlap, one far from all anchors' shapes."""
    task = models.build_task("retinanet", num_classes=3, **SMALL)
    priors = task.priors.boxes.astype(float)
    boxes = np.float32([[2, 3, 36, 40], [4, 8, 40, 40], [50, 80, 53, 83], [0, 0, 64, 96]])
    classes = np.array([2, 0, 1, 1])
    given = {"boxes": boxes, "classes": classes, "valid": np.ones(4, bool)}
    targets = {key: value[None] for key, value in task.encode(given).items()}
    draw = np.random.default_rng(3)
    outputs = {
        "cls": draw.normal(0, 1, (1, len(priors), 3)).astype(np.float32),
        "box": draw.normal(0, 0.3, (1, len(priors), 4)).astype(np.float32),
    }
    overlap = box_ops.pairwise_iou(boxes, task.priors.boxes).numpy()  # exact ties are its own
    cls = box = count = 0
    undecided = 0
    for n, prior in enumerate(priors):
        m = overlap[:, n].argmax()
        forced = any(overlap[i, n] == overlap[i].max() for i in range(4))
        positive = overlap[m, n] >= 0.5 or forced
        if not positive and overlap[m, n] >= 0.4:
            undecided += 1
            continue
        for k in range(3):
            p = 1 / (1 + math.exp(-float(outputs["cls"][0, n, k])))
            learns = positive and classes[m] == k
            p, a = (p, 0.25) if learns else (1 - p, 0.75)
            cls -= a * (1 - p) ** 2 * math.log(p)
        if positive:
            count += 1
            size, other = prior[2:] - prior[:2], boxes[m, 2:] - boxes[m, :2]
            shift = (boxes[m, :2] + boxes[m, 2:] - prior[:2] - prior[2:]) / 2 / size
            code = [*shift, *np.log(other / size)]
            for d in np.abs(outputs["box"][0, n] - code):
                box += d * d / 2 * 9 if d < 1 / 9 else d - 1 / 18
    assert count > 4
    assert undecided > 0
    found = task.loss(targets, outputs)
    np.testing.assert_allclose([found["cls"][0], found["box"][0]], [cls, box], rtol=1e-4)
    assert float(found["cls"][1]) == float(found["box"][1]) == count


@pytest.mark.parametrize("count", [0, 200])
def test_losses_and_gradients_are_finite(count):
    task = models.build_task("retinanet", num_classes=3, **SMALL)
    draw = np.random.default_rng(2)
    low = draw.uniform(0, 60, (count, 2))
    boxes = np.float32(np.concatenate([low, low + draw.uniform(0.5, 30, (count, 2))], 1))
    given = {"boxes": boxes, "classes": draw.integers(0, 3, count), "valid": np.ones(count, bool)}
    targets = {key: value[None] for key, value in task.encode(given).items()}
    outputs = {
        key: tf.Variable(draw.normal(0, 3, (1, *tensor.shape[1:])).astype(np.float32))
        for key, tensor in task.model.output.items()
    }
    with tf.GradientTape() as tape:
        found = task.loss(targets, outputs)
        total = losses.total(found)
    assert np.isfinite(total)
    assert float(total) > 0
    assert (float(found["cls"][1]) > 0) == (count > 0)
    for gradient in tape.gradient(total, outputs).values():
        assert np.isfinite(gradient).all()


def test_what_answers_its_targets_finds_the_objects():
    task = models.build_task("retinanet", num_classes=3, **SMALL)
    boxes = np.float32([[2, 3, 36, 40], [30, 60, 64, 96]])
    found = task.encode({"boxes": boxes, "classes": np.array([2, 0]), "valid": np.ones(2, bool)})
    outputs = {
        "cls": 40.0 * tf.one_hot(found["cls"] - 1, 3)[None] - 20.0,
        "box": found["box"][None],
    }
    decoded = {key: value.numpy()[0] for key, value in task.decode(outputs, 0.5, 0.5, 10).items()}
    assert decoded["valid"].sum() == 2
    order = decoded["classes"][:2].argsort()
    assert decoded["classes"][order].tolist() == [0, 2]
    np.testing.assert_allclose(decoded["boxes"][order], boxes[::-1], atol=1e-3)
