"""Dense evaluation: the same logits at the network's size, the sliding window's at larger ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models import dense
from convoy.models.classification import overfeat
from convoy.models.pooling import AdaptivePool, Pool
from tests.models.test_parity import assert_close, fill
from tests.models.weightless import weightless
from tests.parity import formula


def valid_net(size=20, classes=4):
    """Without padding, so that a window sees the same in a larger picture; stride 4, then 2 x 2."""
    image = keras.Input((size, size, 3), name="image")
    x = keras.layers.Conv2D(6, 3, 2, activation="relu", name="conv1")(image)
    x = keras.layers.Conv2D(8, 2, activation="relu", name="conv2")(x)
    x = Pool("max", 2, name="pool2")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(10, name="fc1")(x)
    x = keras.layers.Activation("relu", name="relu1")(x)
    x = keras.layers.Dropout(0.5, name="dropout1")(x)
    x = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    return fill(keras.Model(image, x, name="valid"))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lenet5", {}),
        ("lenet5_1998", {}),
        ("vgg11_bn", {"input_size": (32, 64)}),
        ("darknet19", {"input_size": (64, 96)}),
        ("mobilenet_v3_small", {"input_size": (64, 96)}),
        ("alexnet_single", {"input_size": (67, 67)}),  # its last map is one position
        ("overfeat_fast", {"input_size": (71, 103)}),
        ("resnet18", {"input_size": (64, 96)}),
        ("mobilenet_v1", {"input_size": (64, 96), "width": 0.25}),
        ("caltech_convnet", {"input_size": (83, 103)}),
    ],
)
def test_same_logits_at_the_networks_size(name, options):
    model = fill(models.build(name, num_classes=5, **options))
    map_model = dense.to_fully_convolutional(model)
    p = models.describe(name).preprocess
    images = formula.pictures(2, *model.input_shape[1:3], p.channels)
    found = map_model(images, training=False)
    assert found.shape == (2, 1, 1, 5)
    assert_close(found[:, 0, 0], model(images, training=False), 1e-5)
    assert model.count_params() == map_model.count_params()
    assert map_model.output.dtype == "float32"


# These are no windows of one size: a pyramid, extremes of a whole map, a bias for each unit.
REFUSED = {
    "spp_net_zf5": "SpatialPyramid 'pyramid': its bins grow with the picture",
    "weldon_resnet101": "ExtremePool 'logits': it ranks all positions",
    "lecun1989": "h1_bias: a bias for each unit needs a map of known size",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*models.list_models("classification")} - REFUSED.keys()))
def test_every_classifier_has_the_same_logits_as_convolutions(name):
    """At its own size, with its own head, auxiliary ones left out; a map for larger pictures."""
    model = fill(models.build(name))
    map_model = dense.to_fully_convolutional(model)
    height, width, channels = model.input_shape[1:]
    images = formula.pictures(1, height, width, channels)
    expected = model(images, training=False)
    expected = expected["logits"] if isinstance(expected, dict) else expected
    assert_close(map_model(images, training=False)[:, 0, 0], expected, 1e-5)
    _, rows, columns, classes = map_model.compute_output_shape(
        (1, height + 64, width + 96, channels)
    )
    assert classes == expected.shape[1]
    assert min(rows, columns) > 1


def test_heads_of_training_are_left_out():
    model = fill(models.build("googlenet_bn_aux", num_classes=4, input_size=(64, 96)))
    map_model = dense.to_fully_convolutional(model)
    images = formula.pictures(2, 64, 96)
    found = map_model(images, training=False)
    assert_close(found[:, 0, 0], model(images, training=False)["logits"], 1e-5)
    assert map_model.count_params() < model.count_params()


def test_lenet_of_1998_reads_a_row_of_digits():
    """As its paper replicates it over the page: windows of 32 px, 4 px apart, no padding."""
    model = fill(models.build("lenet5_1998"))
    images = formula.pictures(2, 32, 60, 1)
    found = dense.to_fully_convolutional(model)(images, training=False)
    assert found.shape == (2, 1, 8, 10)
    assert_close(found, dense.sliding_windows(model, images, 4), 1e-5)


def test_bins_of_one_position_each_go():
    """As alexnet_owt's at 224 px; at 100 they would mix positions of different windows."""
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    x = keras.layers.Flatten(name="flat")(AdaptivePool(6, name="bins")(x))
    model = fill(keras.Model(image, keras.layers.Dense(2, name="logits")(x), name="bins"))
    map_model = dense.to_fully_convolutional(model)
    images = formula.pictures(2, 11, 12)
    assert_close(map_model(images), dense.sliding_windows(model, images, 1), 1e-5)
    smaller = weightless("alexnet_owt", num_classes=3, input_size=(100, 100))
    with pytest.raises(ValueError, match="alexnet_owt: 'bins' averages a 2x2 map into 6x6"):
        dense.to_fully_convolutional(smaller)


@pytest.mark.parametrize("offsets", [False, True])
def test_equals_the_sliding_window(offsets):
    """At the network's stride of 4; with offsets at 2, where the last pooling had 2 x 2 of them.

    The network sees 19 of its 20 pixels: it finds one row more of 33 than windows of 20 fit.
    """
    model = valid_net()
    images = formula.pictures(2, 33, 40)
    stride = 2 if offsets else 4
    windows = dense.sliding_windows(model, images, stride)
    found = np.asarray(dense.to_fully_convolutional(model, offsets=offsets)(images))
    assert found.shape[1:3] == ((8, 10) if offsets else (4, 6))
    rows, columns = (min(a, b) for a, b in zip(found.shape[1:3], windows.shape[1:3], strict=True))
    assert_close(found[:, :rows, :columns], windows[:, :rows, :columns], 1e-5)


def test_sliding_window_takes_each_window():
    """5 rows and 6 columns of windows of 20 at stride 3 in 33 x 36; the last of the second row."""
    model = valid_net()
    images = formula.pictures(2, 33, 36)
    found = dense.sliding_windows(model, images, 3)
    assert found.shape == (2, 5, 6, 4)
    expected = model(images[:, 3:23, 15:35], training=False)
    np.testing.assert_allclose(found[:, 1, 5], expected, rtol=1e-5)


def test_number_of_windows():
    """(33 - 20) // 3 + 1 = 5 by 6; at half the size 16 x 18 of windows 10 at 3: 3 by 3."""
    assert dense.count_windows([(33, 36)], (20, 20), 3) == 30
    assert dense.count_windows([(33, 36), (16, 18)], (10, 10), 3) == 8 * 9 + 3 * 3
    assert dense.count_windows([(448, 448)], (224, 224)) == 225 * 225


def tiny_vgg(size):
    """VGG-16's layout with one channel a layer."""
    image = keras.Input((size, size, 3), name="image")
    x = image
    for block in range(1, 6):
        x = keras.layers.Conv2D(1, 3, padding="same", name=f"block{block}_conv1")(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    for index in (1, 2):
        x = keras.layers.Dense(2, activation="relu", name=f"fc{index}")(x)
    return keras.Model(image, keras.layers.Dense(3, name="logits")(x), name="tiny_vgg")


def test_sizes_of_vggs_maps():
    """n / 32 - 6 a side."""
    model = dense.to_fully_convolutional(tiny_vgg(224))
    assert model.output_shape == (None, None, None, 3)
    for size, side in ((224, 1), (256, 2), (384, 6), (448, 8), (512, 10)):
        found = model(np.zeros((1, size, size, 3), np.float32))
        assert found.shape == (1, side, side, 3)


@pytest.mark.slow
def test_vgg16_has_the_same_logits_as_convolutions():
    model = models.build("vgg16", num_classes=7)
    map_model = dense.to_fully_convolutional(model)
    images = formula.pictures(1, 224, 224)
    assert_close(map_model(images)[:, 0, 0], model(images), 1e-5)
    assert map_model.count_params() == model.count_params()
    kernel = model.get_layer("fc1").kernel.numpy().reshape(7, 7, 512, 4096)
    np.testing.assert_array_equal(map_model.get_layer("fc1").kernel, kernel)


# Size of the picture -> map before the last pooling, map of logits: table 5 of the paper, but for
# the 35 it prints where 38 alone gives the 24 columns it prints as well.
OVERFEAT_SCALES = {
    (245, 245): ((17, 17), (3, 3)),
    (281, 317): ((20, 23), (6, 9)),
    (317, 389): ((23, 29), (9, 15)),
    (389, 461): ((29, 35), (15, 21)),
    (425, 497): ((32, 38), (18, 24)),
    (461, 569): ((35, 44), (21, 30)),
}


@pytest.mark.parametrize("size", OVERFEAT_SCALES)
def test_overfeats_offsets_give_the_papers_maps(size):
    model = weightless("overfeat_accurate", num_classes=None, input_size=size)
    before, expected = OVERFEAT_SCALES[size]
    assert tuple(model.output["s12"].shape[1:3]) == before
    pooled = dense.OffsetPool(3).compute_output_shape((1, *before, 8))
    classified = (9, *(n - 4 for n in pooled[1:3]), 10)  # 5 x 5 windows
    assert dense.OffsetJoin(3).compute_output_shape(classified) == (1, *expected, 10)
    assert overfeat.VARIANTS["overfeat_accurate"][0][-1][-1] == 3


def test_offset_pooling_by_loops():
    x = np.random.default_rng(0).normal(size=(2, 8, 10, 3)).astype(np.float32)
    pooled = dense.OffsetPool(3)(x)
    assert pooled.shape == (18, 2, 2, 3)
    joined = np.asarray(dense.OffsetJoin(3)(pooled))
    assert joined.shape == (2, 6, 6, 3)
    for i, j in np.ndindex(6, 6):
        np.testing.assert_array_equal(joined[:, i, j], x[:, i : i + 3, j : j + 3].max((1, 2)))


def test_offsets_need_a_pooling_to_shift():
    model = valid_net()
    x = keras.layers.Conv2D(2, 1, name="last")(model.get_layer("pool2").output)
    x = keras.layers.Dense(2, name="logits")(keras.layers.Flatten(name="flat")(x))
    model = keras.Model(model.input, x, name="valid")
    with pytest.raises(ValueError, match="valid: offsets need a max pooling"):
        dense.to_fully_convolutional(model, offsets=True)


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_are_no_windows_say_so(name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        dense.to_fully_convolutional(weightless(name))


def test_biases_of_units_fit_one_size():
    model = models.build("lecun1989")
    images = formula.pictures(2, 16, 16, 1)
    same = dense.to_fully_convolutional(model, (16, 16))
    assert_close(same(images)[:, 0, 0], model(images), 1e-5)
    with pytest.raises(ValueError, match="'h1_bias' has weights for each position"):
        dense.to_fully_convolutional(model, (32, 32))


def test_two_outputs_are_refused():
    model = models.build("lenet5", num_classes=None)
    with pytest.raises(ValueError, match="lenet5: expected one output, got 2"):
        dense.to_fully_convolutional(model)
    model = models.build_task("lenet5", task="localization").model
    with pytest.raises(ValueError, match="lenet5: expected one output, got 2"):
        dense.to_fully_convolutional(model)


@pytest.mark.parametrize("pool", ["max", "mean"])
def test_several_sizes_are_averaged(pool):
    map_model = dense.to_fully_convolutional(valid_net())
    pictures = [formula.pictures(2, 20, 24), formula.pictures(2, 28, 36)]
    reduce = np.max if pool == "max" else np.mean
    expected = np.zeros((2, 4))
    for x in pictures:
        for view in (x, x[:, :, ::-1]):
            logits = reduce(np.asarray(map_model(view)), axis=(1, 2))
            e = np.exp(logits - logits.max(1, keepdims=True))
            expected += e / e.sum(1, keepdims=True) / 4
    found = dense.classify(map_model, pictures, pool=pool, mirror=True)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_saved_dense_network_is_the_same(tmp_path):
    map_model = dense.to_fully_convolutional(valid_net(), offsets=True)
    map_model.save(tmp_path / "model.keras")
    x = formula.pictures(1, 30, 26)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), map_model(x))
