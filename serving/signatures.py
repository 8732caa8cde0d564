"""What a SavedModel answers: encoded pictures, a uint8 batch or sentences in, named outputs out.

serving_default  `image_bytes` string [B]: JPEG, PNG, BMP or GIF (its first frame), sizes mixed,
                 decoded as ingest does or refused by name (serving/decoding.py);
                 of a network for sentences `text` string [B] in UTF-8
serving_tensor   `image` uint8 [B, H, W, 3]: RGB, any H and W; not of a network for sentences

A network on given proposals has a further input in both:
proposals        float32 [B, R, 4]: ymin, xmin, ymax, xmax in pixels of the pictures sent; R is the
                 same for all pictures of a request, 10,000 at most. They are cut to the picture;
                 rows that have no area then, such as rows of 0, are none

What is answered is `answer` of the task (models/TASK/task.py): named outputs, batch first; of
serving_tensor its `stacked`, where it has one. A task without pictures has serving_default alone.

Preprocessing, words, labels and thresholds are part of the graph, built of plain TensorFlow ops.
Pictures are turned upright as their EXIF says; boxes and label maps are of the upright picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from convoy.models import boxes, resize, tasks
from convoy.models.answering import answering
from convoy.models.spec import Preprocess, Task, seen
from convoy.serving.decoding import decode_picture
from convoy.serving.servable import DEFAULT, TENSOR

MOST_PROPOSALS = 10_000  # per picture: Selective Search's quality finds no more of most
Network = Callable[[tf.Tensor], "tf.Tensor | dict[str, tf.Tensor]"]


def input_of(task: Task) -> str:
    """Name of the default signature's input."""
    return tasks.REQUESTS[tasks.TASKS[task.info.task].request]


def build(
    task: Task,
    network: Network,
    *,
    labels: Sequence[str],
    input_size: tuple[int, ...],
    **limits,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The signatures around `network`: float32 [B, *input_size, C] -> raw outputs, float32.

    limits: of the task's decoding, as its row in models/tasks.py names them.
    """
    answer = answering(task, network, labels, limits)
    if task.tokens is not None:
        return _sentences(task, answer)
    stacked = answering(task, network, labels, limits, stacked=True)
    return _pictures(task, answer, stacked, input_size)


def _pictures(task: Task, answer: Callable, stacked: Callable, input_size: tuple[int, ...]) -> dict:
    """Signatures of pictures and what the task takes beside them, its names as those of inputs.

    `stacked` answers pictures of one size.
    """
    preprocess = task.info.preprocess
    shapes = (  # of a picture, its matrix, its size
        tf.TensorSpec((*input_size, preprocess.channels), tf.float32),
        tf.TensorSpec((3, 3), tf.float32),
        tf.TensorSpec((2,), tf.int32),
    )

    def prepare(image):
        image, matrix, size = fit(image, preprocess, input_size)
        return tf.ensure_shape(image, shapes[0].shape), matrix, size

    def encoded(image_bytes, given):
        count = tf.size(image_bytes)
        check = tf.debugging.Assert(count > 0, ["the request holds no picture"])
        with tf.control_dependencies([check]):
            indices = tf.range(count)
        return answered(
            lambda pair: prepare(decode_picture(*pair, preprocess.channels)),
            (image_bytes, indices),
            given,
            answer,
        )

    def raw(image, given):
        if preprocess.channels == 1:
            image = tf.image.rgb_to_grayscale(image)
        return answered(prepare, image, given, stacked)

    def answered(fitting, pictures, given, answer):
        image, matrix, size = tf.map_fn(fitting, pictures, fn_output_signature=shapes)
        placed = {name: PLACE[name](each, matrix, input_size) for name, each in given.items()}
        return answer(seen(image, placed, task.takes), matrix, size)

    return _functions(task, encoded, raw)


def _functions(task: Task, encoded: Callable, raw: Callable) -> dict:
    """The signatures (pictures, {name: what is given beside them}) under the names of inputs."""
    strings = tf.TensorSpec([None], tf.string, name=input_of(task))
    pixels = tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")
    if not task.takes:

        @tf.function(autograph=False, input_signature=[strings])
        def serving_default(image_bytes):
            return encoded(image_bytes, {})

        @tf.function(autograph=False, input_signature=[pixels])
        def serving_tensor(image):
            return raw(image, {})

    else:
        (given,) = (tf.TensorSpec([None, None, 4], tf.float32, name=each) for each in task.takes)

        @tf.function(autograph=False, input_signature=[strings, given])
        def serving_default(image_bytes, proposals):
            return encoded(image_bytes, {given.name: proposals})

        @tf.function(autograph=False, input_signature=[pixels, given])
        def serving_tensor(image, proposals):
            return raw(image, {given.name: proposals})

    return {DEFAULT: serving_default, TENSOR: serving_tensor}


def place_proposals(proposals: tf.Tensor, matrices: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """[B, R, 4] pixels of the pictures sent -> [B, R + 1, 4] pixels of the network's input.

    Cut to the input. Rows with a corner that is no number become rows of 0, and one such row is
    added: what follows never sees a tensor without rows.
    """
    pictures, rows = tf.shape(proposals)[0], tf.shape(proposals)[1]
    wanted = tf.shape(matrices)[0]
    checks = [
        tf.debugging.Assert(
            tf.equal(pictures, wanted),
            [
                "expected proposals for all pictures of the request, got them for",
                pictures,
                "of",
                wanted,
            ],
        ),
        tf.debugging.Assert(
            rows <= MOST_PROPOSALS,
            [f"expected at most {MOST_PROPOSALS} proposals per picture, got", rows],
        ),
    ]
    with tf.control_dependencies(checks):
        finite = tf.reduce_all(tf.math.is_finite(proposals), axis=-1, keepdims=True)
    placed = boxes.clip(boxes.in_input(tf.where(finite, proposals, 0.0), matrices), size)
    return tf.pad(tf.where(finite, placed, 0.0), [[0, 0], [0, 1], [0, 0]])


PLACE = {"proposals": place_proposals}  # of models.spec.Task.takes


def _sentences(task: Task, answer: Callable) -> dict:
    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name=input_of(task))]
    )
    def serving_default(text):
        return answer(task.tokens(text))

    return {DEFAULT: serving_default}


def fit(image: tf.Tensor, preprocess: Preprocess, size: tuple[int, int]):
    """uint8 [H, W, C] -> (float32 [*size, C], matrix [3, 3], [H, W] of the picture, int32)."""
    shape = tf.shape(image)[:2]
    fitted, matrix = resize.fit(image, preprocess, size)
    return fitted, matrix, shape
