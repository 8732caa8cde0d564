"""The feature pyramid against its sums written out, at sizes that do not divide each other."""

from __future__ import annotations

import keras
import numpy as np

from convoy.models import fpn

SIZES = {"s8": (7, 9), "s16": (4, 5), "s32": (2, 2)}
CHANNELS = {"s8": 3, "s16": 5, "s32": 6}


def built(extra=None) -> keras.Model:
    inputs = {
        stride: keras.Input((*size, CHANNELS[stride]), name=stride)
        for stride, size in SIZES.items()
    }
    maps = fpn.fpn(inputs, 4)
    if extra:
        maps = extra(maps, inputs)
    return keras.Model(inputs, maps)


def pictures() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    return {
        stride: draw.normal(size=(2, *size, CHANNELS[stride])).astype(np.float32)
        for stride, size in SIZES.items()
    }


def convolved(x, layer, stride: int = 1) -> np.ndarray:
    """Padded by half the kernel on all sides, position after position."""
    kernel, bias = (np.asarray(weight, np.float64) for weight in layer.weights)
    side = kernel.shape[0]
    x = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)])
    rows = range(0, x.shape[1] - side + 1, stride)
    columns = range(0, x.shape[2] - side + 1, stride)
    return (
        np.stack(
            [
                np.stack(
                    [
                        np.einsum("byxc,yxco->bo", x[:, i : i + side, j : j + side], kernel)
                        for j in columns
                    ],
                    axis=1,
                )
                for i in rows
            ],
            axis=1,
        )
        + bias
    )


def test_each_map_is_the_sum_of_its_own_and_the_coarser_one():
    keras.utils.set_random_seed(0)
    model, given = built(), pictures()
    found = model(given)
    assert list(found) == list(SIZES)
    above = None
    for index, stride in ((3, "s32"), (2, "s16"), (1, "s8")):
        x = convolved(given[stride], model.get_layer(f"fpn_inner{index}"))
        if above is not None:
            (height, width), (h, w) = x.shape[1:3], above.shape[1:3]
            for i in range(height):
                for j in range(width):
                    x[:, i, j] += above[:, int(i * h / height), int(j * w / width)]
        above = x
        expected = convolved(x, model.get_layer(f"fpn_layer{index}"))
        np.testing.assert_allclose(found[stride], expected, atol=1e-5)


def test_coarser_maps_by_pooling_and_by_convolutions():
    keras.utils.set_random_seed(1)
    model, given = built(lambda maps, _: fpn.pooled(maps)), pictures()
    found = model(given)
    assert list(found) == [*SIZES, "s64"]
    np.testing.assert_array_equal(found["s64"], np.asarray(found["s32"])[:, ::2, ::2])

    for source in (False, True):
        model = built(
            lambda maps, inputs: fpn.convolved(maps, inputs["s32"] if source else None, 4)  # noqa: B023
        )
        found = model(given)
        assert list(found) == [*SIZES, "s64", "s128"]
        seen = given["s32"] if source else np.asarray(found["s32"])
        p6 = convolved(seen, model.get_layer("fpn_p6"), 2)
        np.testing.assert_allclose(found["s64"], p6, atol=1e-5)
        p7 = convolved(np.maximum(p6, 0), model.get_layer("fpn_p7"), 2)
        np.testing.assert_allclose(found["s128"], p7, atol=1e-5)


def test_enlarging_takes_the_nearest():
    """Rows of 3 for 7: floor(i * 3 / 7)."""
    x = np.arange(3, dtype=np.float32)[None, :, None, None]
    layer = fpn.Enlarge(7, 2)
    copy = fpn.Enlarge.from_config(layer.get_config())
    for one in (layer, copy):
        assert np.asarray(one(x))[0, :, 1, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert layer.compute_output_shape((None, 3, 1, 5)) == (None, 7, 2, 5)
