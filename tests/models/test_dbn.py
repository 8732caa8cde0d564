"""DBN: counts, outputs by PyTorch, pictures of any size, frames in requests."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import count
from convoy.models.restoration import dbn
from convoy.serving import client, export, signatures, warmup
from convoy.serving.questions import Question
from tests.models.test_parity import fill
from tests.models.weightless import weightless


def test_counts_are_exact():
    """By the issue of the authors' file: 15,305,291 that learn, 9,764 running statistics."""
    model = weightless("dbn")
    assert count.params(model) == 15_305_291
    assert model.count_params() == 15_315_055


@pytest.fixture(scope="module")
def task():
    built = models.build_task("dbn", input_size=(32, 40), width=0.125)
    fill(built.model)
    return built


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def test_other_sides_are_continued_by_their_border(task):
    """13 x 21 pixels: as the picture of 16 x 24 whose last row and column are repeated."""
    image = np.float32(picture(13, 21))
    frames = np.concatenate([np.float32(picture(13, 21, seed)) for seed in (1, 2, 3, 4)], axis=-1)
    found = task.around(task.model)([image[None], frames[None]])["image"][0].numpy()
    padded = [np.pad(x, [(0, 3), (0, 3), (0, 0)], mode="edge")[None] for x in (image, frames)]
    expected = task.model(padded, training=False)[0, :13, :21].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.fixture(scope="module")
def served(task):
    network = lambda x: task.model(x, training=False)  # noqa: E731
    return signatures.build(task, network, labels=["picture"], input_size=(None, None))


def test_requests_hold_frames_or_none(task, served):
    """Frames are taken in their order; "" is the picture itself; sizes of pictures are mixed."""
    first, second = picture(16, 24), picture(8, 9, seed=9)
    near = [picture(16, 24, seed) for seed in (1, 2, 3)]
    frames = [[png(near[0]), png(near[1]), b"", png(near[2])], [b""] * 4]
    answered = served["serving_default"](
        tf.constant([png(first), png(second)]), tf.constant(frames)
    )["image_bytes"].numpy()
    around = task.around(lambda x: task.model(x, training=False))

    def expected(pixels, beside):
        both = [np.float32(pixels)[None], np.float32(np.concatenate(beside, axis=-1))[None]]
        return np.clip(np.floor(around(both)["image"][0].numpy() + 0.5), 0, 255)

    wanted = [
        expected(first, [near[0], near[1], first, near[2]]),
        expected(second, [second] * 4),
    ]
    for data, values in zip(answered, wanted, strict=True):
        assert np.abs(opened(data) - values).max() <= 1  # a half may be rounded otherwise
    raw = np.concatenate([near[0], near[1], first, near[2]], axis=-1)
    stacked = served["serving_tensor"](tf.constant(first[None]), tf.constant(raw[None]))
    np.testing.assert_array_equal(stacked["image"][0], opened(answered[0]))
    other = expected(first, [near[1], near[0], first, near[2]])
    assert np.abs(other - wanted[0]).max() > 1  # the order matters


def test_a_frame_of_another_size_is_refused(served):
    with pytest.raises(tf.errors.InvalidArgumentError, match="frames of the size of their picture"):
        served["serving_default"](
            tf.constant([png(picture(16, 24))]),
            tf.constant([[png(picture(16, 25)), b"", b"", b""]]),
        )


@pytest.mark.slow
def test_the_export_answers_as_the_network(task, tmp_path):
    """Three forms compared with the network, warm-up requests with frames written and read."""
    samples = [
        Question(png(picture(16, 24)), {"frames": [png(picture(16, 24, s)) for s in range(1, 5)]}),
        Question(png(picture(10, 9, seed=5))),
    ]
    report = export.export(
        task,
        tmp_path / "model",
        labels=["picture"],
        input_size=(None, None),
        samples=samples,
        tolerance=0.1,
        budget_s=0.1,
        precision="float32",
        given={"frames": {"align": "none"}},
    )
    assert report["takes"] == {"frames": {"align": "none"}}
    assert max(form["score_difference"] for form in report["forms"].values()) <= 1 / 255 + 1e-6
    recorded = [warmup.questions_of(request) for request in warmup.read(tmp_path / "model")]
    assert all(name == "image_bytes" for name, _ in recorded)
    ask = client.load_local(tmp_path / "model")
    expected = ask(samples)["image_bytes"]
    assert [opened(data).shape for data in expected] == [(16, 24, 3), (10, 9, 3)]
    again = ask([rows[0] for _, rows in recorded[:2]])["image_bytes"]
    for one, other in zip(again, expected, strict=True):
        assert np.abs(np.int16(opened(one)) - opened(other)).max() <= 1
    with pytest.raises(ValueError, match="frames: expected 4 encoded pictures, got 3"):
        ask([Question(samples[0].payload, {"frames": [b""] * 3})])


def test_what_it_cannot_take_is_named():
    with pytest.raises(ValueError, match="multiples of 8, got 30x40"):
        models.build("dbn", input_size=(30, 40))
    with pytest.raises(ValueError, match="pictures of the size sent: expected scale 1, got 2"):
        models.build_task("dbn", input_size=(32, 40), scale=2, width=0.125)
    assert dbn.FRAMES == 4
