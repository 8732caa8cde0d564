"""What every network must do: the rows of smallest.py against the properties that are tests here.

One network a row serves all properties but half precision. Its weights are of a formula, so that
neither BatchNorm's statistics nor Text-CNN's last layer are 0 or 1. By default the smallest network
of each family runs, under -m slow the deep families and all other networks do.
"""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses, resize, spec, tasks
from convoy.models.captioning import speaker
from convoy.models.heads import without_heads
from convoy.models.registry import MODELS
from convoy.pipeline.config import Train
from convoy.pipeline.training import optimizers
from convoy.serving import export
from tests.models.settled import encoded, find_somebody, given, proposals, settle, targets
from tests.models.smallest import CASES, DEEP, QUICK
from tests.models.test_parity import fill
from tests.models.weightless import weightless
from tests.parity import formula

NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
# One network per kind of layer and of answer; the others' layers are in these.
KINDS = (
    *("lenet5", "lm_resnet20", "mobilenet_v1", "googlenet_bn_aux", "spp_net_zf5"),
    *("ssd_mobilenet_v1", "yolov3_tiny", "faster_rcnn"),
    *("segnet_basic", "srcnn_915", "text_cnn_rand", "cnn_trad_fpool3", "series_fcn"),
    "show_and_tell",
)
# A CPU computes float16 slowly, seconds per network.
IN_FLOAT16 = ("lenet5", "lm_resnet20", "mobilenet_v1", "ssd_mobilenet_v1", "segnet_basic")
HALVES = [
    pair
    if name in {"mixed_bfloat16": KINDS, "mixed_float16": IN_FLOAT16}[policy]
    else pytest.param(*pair, marks=pytest.mark.slow)
    for name in CASES
    for policy in ("mixed_bfloat16", "mixed_float16")
    for pair in [(name, policy)]
]
OF_KINDS = [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
# As many as a picture has, the others are 0 for all.
RANKED = ("proposals", "objectness", "found", "found_scores", "found_classes", "masks")
ZERO_FOR_ALL = (*RANKED, "picture")  # the latter: units behind a ReLU
SCALES = 16  # of the loss, at most: from 2**15, where the trainer begins, down to 1

LIMITS = dict(
    score_threshold=0.01, iou_threshold=0.45, max_detections=20, suppression="hard", beam=3
)


def limits(task) -> dict:
    return {name: LIMITS[name] for name in tasks.TASKS[task.info.task].limits}


def built(name: str):
    keras.utils.set_random_seed(0)
    return models.build_task(name, **CASES[name].options)


@pytest.fixture(scope="module", params=NAMES)
def task(request):
    """One network of each row; a test that trains it puts its statistics back."""
    task = built(request.param)
    fill(task.model)
    settle(task.model, inputs(task, 4))
    if "segmentation" in tasks.TASKS[task.info.task].fields:
        balance(task)
        return task
    find_somebody(task, inputs(task, 4))
    if task.windows is not None:  # of a spread of 1: small windows hardly differ
        kernel, bias = task.model.get_layer("roi_cls").get_weights()
        spread = np.std(task.model(inputs(task, 4))["cls"])
        task.model.get_layer("roi_cls").set_weights([kernel / spread, bias / spread])
    last = next((layer for layer in task.model.layers if layer.name == "logits"), None)
    if last is not None and last.weights:  # of a spread of 1, so that no score is just 0 or 1
        outputs = task.model(inputs(task, 4))
        spread = np.std(outputs["logits"] if isinstance(outputs, dict) else outputs)
        last.set_weights([weight / spread for weight in last.get_weights()])
    return task


def balance(task) -> None:
    """Takes each class's mean over all pixels away, so that none is the largest everywhere."""
    *_, last = (layer for layer in task.model.layers if layer.name.endswith("logits"))
    means = np.asarray(task.model(inputs(task, 4))).mean(axis=(0, 1, 2))
    last.bias.assign(last.bias - means)


def inputs(task, count: int) -> np.ndarray | list[np.ndarray]:
    """What the network is given when `raw` pictures, or `encoded` others, are sent to it."""
    if task.opened:
        return task.opened(encoded(task, count)).numpy()
    images = fitted(task, raw(task, count))[0].numpy()
    return spec.seen(images, {name: beside(task, name, count) for name in given(task)}, given(task))


def raw(task, count: int) -> tf.Tensor:
    """Pictures of the network's own size as they are sent: uint8 [count, H, W, 3]."""
    p = task.info.preprocess
    pictures = formula.pictures(count, *p.size, p.channels)
    return tf.cast(np.broadcast_to(pictures, (*pictures.shape[:3], 3)), tf.uint8)


def fitted(task, sent: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Images as the network takes them, a centre crop of its own size included, and matrices."""
    p = task.info.preprocess
    channels = sent if p.channels == 3 else tf.image.rgb_to_grayscale(sent)
    images, matrices = zip(*(resize.fit(picture, p, p.size) for picture in channels), strict=True)
    return tf.stack(images), tf.stack(matrices)


def beside(task, name: str, count: int) -> np.ndarray:
    """What the model is given beside `count` pictures of its own size."""
    if name == "proposals":
        return proposals(task, count)
    return np.float32(np.floor(formula.pictures(count, *task.info.preprocess.size, 12)))


def rows(batch, part: slice):
    return tf.nest.map_structure(lambda values: values[part], batch)


def gradients(task, scale=lambda total: total):
    """(loss, gradient of scale(loss) in each trainable weight) of a training step of two inputs."""
    with tf.GradientTape() as tape:
        truth = targets(task, 2)
        opened = dict.fromkeys(("tokens", "samples"), inputs(task, 2)) if task.opened else {}
        batch = {"targets": {**truth, **opened}}
        seen = inputs(task, 2)
        names = ("image", *given(task))
        pictures = dict(zip(names, seen if given(task) else [seen], strict=True))
        parts = task.loss(truth, task.forward({**batch, **pictures}))
        assert all(value.dtype == tf.float32 for part in parts.values() for value in part)
        assert all(float(count) >= 2 for _, count in parts.values())
        total = losses.total(parts)
        scaled = scale(total)
    weights = task.model.trainable_variables
    found = tape.gradient(scaled, [weight.value for weight in weights])
    missing = [w.path for w, grad in zip(weights, found, strict=True) if grad is None]
    assert not missing
    return total, {
        w.path: tf.convert_to_tensor(g).numpy() for w, g in zip(weights, found, strict=True)
    }


def assert_finite(found: dict[str, np.ndarray]) -> None:
    assert [path for path, value in found.items() if not np.isfinite(value).all()] == []


def test_every_network_has_a_row():
    assert set(CASES) == set(MODELS)


def test_every_family_is_checked_by_default_or_is_deep():
    quick, deep = ({MODELS[name].family.module for name in names} for names in (QUICK, DEEP))
    assert quick | deep == {row.family.module for row in MODELS.values()}
    assert not quick & deep


def test_every_trainable_weight_gets_a_finite_gradient(task):
    state = [variable.numpy() for variable in task.model.non_trainable_variables]
    total, found = gradients(task)
    for variable, value in zip(task.model.non_trainable_variables, state, strict=True):
        variable.assign(value)
    assert np.isfinite(total)
    assert_finite(found)
    assert [path for path, value in found.items() if not value.any()] == []


def test_one_input_equals_its_row_in_a_batch(task):
    batch = inputs(task, 4)
    together = task.model(batch, training=False)
    alone = task.model(rows(batch, slice(2, 3)), training=False)
    names = sorted(together) if isinstance(together, dict) else [""]
    outputs = zip(names, tf.nest.flatten(together), tf.nest.flatten(alone), strict=True)
    for name, a, b in outputs:
        assert a.dtype == (tf.int32 if name == "found_classes" else tf.float32)
        # Each class, and each prior, sees the input: a dead head would answer the same to all.
        changes = np.ptp(a, axis=0)
        if name in speaker.WEIGHTS:  # without a batch
            np.testing.assert_array_equal(a, b)
            continue
        if name not in ZERO_FOR_ALL:
            assert (changes if a.ndim == 2 else changes.max(-1)).min() > 1e-4 * np.abs(a).max()
        np.testing.assert_allclose(a[2:3], b, rtol=1e-4, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize("task", OF_KINDS, indirect=True)
def test_saving_keeps_the_network(task, tmp_path):
    task.model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = inputs(task, 2)
    pairs = zip(tf.nest.flatten(task.model(x)), tf.nest.flatten(loaded(x)), strict=True)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("task", OF_KINDS, indirect=True)
def test_the_saved_model_answers_as_the_network(task, tmp_path):
    """The float32 form of the export, of a batch size that its graph does not know."""
    labels = [f"class {index}" for index in range(task.info.num_classes)]
    p = task.info.preprocess
    size = (None, None) if task.around else getattr(p, "size", p.shape)
    exported = without_heads(task)
    build = {"labels": labels, "input_size": size, **limits(task)}
    export.save(exported, tmp_path / "m", "float32", **build)
    served = tf.saved_model.load(str(tmp_path / "m")).signatures
    if task.opened:
        name = tasks.REQUESTS[tasks.TASKS[task.info.task].request]
        found = served["serving_default"](**{name: encoded(task, 3)})
        outputs = task.model(task.opened(encoded(task, 3)), training=False)
        expected = task.answer(task.decode(outputs), None, None, tf.constant(labels))
    else:
        sent = raw(task, 4)[:3]  # of those that its statistics are of
        given = {name: tf.constant(beside(task, name, 3)) for name in task.takes}
        asked = {n: tf.cast(x, tf.uint8) if n == "frames" else x for n, x in given.items()}
        found = served["serving_tensor"](image=sent, **asked)
        expected = answers(exported, sent, labels, given)
    found, expected = ({k: v.numpy() for k, v in each.items()} for each in (found, expected))
    assert set(found) == set(expected)
    assert task.difference(expected, found, **limits(task)) < 1e-4
    for name, value in expected.items():
        if value.dtype == object:
            np.testing.assert_array_equal(found[name], value)
    # Another picture has other scores, by ten times the 1e-4 that are allowed above and more.
    one, other = ({key: value[n : n + 1] for key, value in expected.items()} for n in (0, 1))
    apart = np.ptp(expected["scores"], axis=0).max() if "scores" in expected else 0.0
    assert max(apart, task.difference(one, other, **limits(task))) > 1e-3


def answers(task, sent: tf.Tensor, labels, given) -> dict[str, tf.Tensor]:
    """What the network in memory says of uint8 pictures [B, H, W, 3] of its own size.

    given: what it takes beside them, in pixels of them.
    """
    images, matrices = fitted(task, sent)
    seen = spec.seen(images, given, task.takes)
    if task.windows is not None:
        seen = [seen, tf.constant(np.tile(task.windows, (len(images), 1, 1)))]
    outputs = task.around(task.model)(seen) if task.around else task.model(seen, training=False)
    sizes = tf.constant([task.info.preprocess.size] * len(sent))
    decoded = task.decode(outputs, **limits(task))
    return (task.stacked or task.answer)(decoded, matrices, sizes, tf.constant(labels))


@pytest.mark.parametrize(("name", "policy"), HALVES)
def test_half_precision_is_finite(name, policy):
    """The trainer's scaled loss, then inference with the statistics of that step.

    With those of an untrained network, 0 and 1, each residual block doubles the variance, and
    ResNet-101 passes float16's 65504.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        task = built(name)
        optimizer = optimizers.build(Train(precision=policy), total_steps=10, steps_per_epoch=1)
        optimizer.build(task.model.trainable_variables)
    finally:
        keras.config.set_dtype_policy(before)
    half = policy.removeprefix("mixed_")
    assert any(layer.weights and layer.compute_dtype == half for layer in task.model.layers)
    for layer in task.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    for _ in range(SCALES if policy == "mixed_float16" else 1):
        total, found = gradients(task, optimizer.scale_loss)
        assert np.isfinite(total)
        if all(np.isfinite(value).all() for value in found.values()):
            break
        # As in training: the step is left out and the scale of the loss halved.
        optimizer.apply(list(map(tf.constant, found.values())), task.model.trainable_variables)
    assert_finite(found)
    for output in tf.nest.flatten(task.model(inputs(task, 2), training=False)):
        assert output.dtype == tf.float32
        assert np.isfinite(output).all()


@pytest.mark.parametrize("name", NAMES)
def test_backbone_maps_have_their_strides(name):
    """Maps of the sides in the table; a picture larger by a multiple of all strides adds that."""
    case = CASES[name]
    if case.no_maps:
        with pytest.raises(ValueError, match=case.no_maps):
            models.build(name, num_classes=None)
        return
    assert maps(name, 0) == {f"s{stride}": (side, side) for stride, side in case.maps.items()}
    more = math.lcm(*case.maps)
    if case.one_size:
        with pytest.raises(ValueError, match=case.one_size):
            maps(name, more)
        return
    expected = {f"s{n}": (side + more // n, side) for n, side in case.maps.items()}
    assert maps(name, more) == expected


def maps(name: str, taller: int) -> dict[str, tuple[int, int]]:
    side = CASES[name].side
    model = weightless(name, num_classes=None, input_size=(side + taller, side))
    return {key: tuple(tensor.shape[1:3]) for key, tensor in model.output.items()}
