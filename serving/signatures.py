"""What a SavedModel answers: encoded pictures, a uint8 batch, sentences or sounds in, outputs out.

serving_default  `image_bytes` string [B]: JPEG, PNG, BMP or GIF (its first frame), sizes mixed,
                 decoded as ingest does or refused by name (serving/decoding.py);
                 of a network for sentences `text` string [B] in UTF-8; of one for sounds and series
                 `signal_bytes` string [B], WAV files (models/signals/waves.py)
serving_tensor   `image` uint8 [B, H, W, 3]: RGB, any H and W; only of networks of pictures

Of a network for other channels or 16 bits: `image_bytes` as serving/bands.py says, and `image` of
its number of channels, uint8 or uint16.

A network that is given something beside the picture has a further input in both:
proposals        float32 [B, R, 4]: ymin, xmin, ymax, xmax in pixels of the pictures sent; R is the
                 same for all pictures of a request, 10,000 at most. They are cut to the picture;
                 rows that have no area then, such as rows of 0, are none
frames           string [B, 4]: the two pictures before and the two behind it in a film, encoded,
                 "" for the picture itself; of serving_tensor uint8 [B, H, W, 12]

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
from convoy.serving import bands
from convoy.serving.decoding import decode_picture
from convoy.serving.graphs import NETWORK_INPUT
from convoy.serving.questions import FRAMES
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
    network = _named(network)
    answer = answering(task, network, labels, limits)
    if task.opened is not None:
        return _strings(task, answer)
    stacked = answering(task, network, labels, limits, stacked=True)
    return _pictures(task, answer, stacked, input_size)


def _named(network: Network) -> Network:
    """The same; its outputs have their names in the graph."""

    def call(inputs):
        outputs = network(inputs)
        if isinstance(outputs, dict):
            return {name: tf.identity(value, name) for name, value in outputs.items()}
        return tf.identity(outputs, "output")

    return call


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
            lambda pair: prepare(bands.decoder(preprocess)(*pair)),
            (image_bytes, indices),
            given,
            answer,
        )

    def raw(image, given):
        if preprocess.channel_order == "gray":
            image = tf.image.rgb_to_grayscale(image)
        image = resize.of_bits(image, preprocess.bits)
        return answered(prepare, image, given, stacked)

    def answered(fitting, pictures, given, answer):
        if preprocess.whole:
            return one_by_one(whole_of(fitting, answer), (pictures, given))
        image, matrix, size = tf.map_fn(fitting, pictures, fn_output_signature=shapes)
        placed = {n: place_proposals(each, matrix, input_size) for n, each in given.items()}
        image = tf.identity(image, NETWORK_INPUT)
        return answer(seen(image, placed, task.takes), matrix, size)

    def whole_of(fitting, answer):
        """What answers one picture and what is given beside it, as a batch of one."""

        def call(asked):
            picture, given = asked
            image, matrix, size = fitting(picture)
            beside = {name: beside_of(frames, image)[None] for name, frames in given.items()}
            return answer(seen(image[None], beside, task.takes), matrix[None], size[None])

        return call

    def beside_of(frames, image):
        if frames.dtype != tf.string:
            return tf.cast(frames, tf.float32)
        return frames_of(frames, image, preprocess.channels)

    return _functions(task, encoded, raw)


def one_by_one(answer: Callable, pictures) -> dict:
    """The answers to pictures of any sizes, each asked about alone; stacked, batch first."""

    def first(picture):
        return {name: value[0] for name, value in answer(picture).items()}

    taken = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape[1:], x.dtype), pictures)
    traced = tf.function(first, autograph=False).get_concrete_function(taken)
    given = {name: tf.TensorSpec(x.shape, x.dtype) for name, x in traced.structured_outputs.items()}
    return tf.map_fn(
        lambda picture: traced(*tf.nest.flatten(picture)),
        pictures,
        fn_output_signature=given,
        parallel_iterations=1,
    )


def _functions(task: Task, encoded: Callable, raw: Callable) -> dict:
    """The signatures (pictures, {name: what is given beside them}) under the names of inputs."""
    strings = tf.TensorSpec([None], tf.string, name=input_of(task))
    preprocess = task.info.preprocess
    count = preprocess.channels if preprocess.channel_order == "bands" else 3
    kind = tf.uint16 if preprocess.bits == 16 else tf.uint8
    pixels = tf.TensorSpec([None, None, None, count], kind, name="image")
    if not task.takes:

        @tf.function(autograph=False, input_signature=[strings])
        def serving_default(image_bytes):
            return encoded(image_bytes, {})

        @tf.function(autograph=False, input_signature=[pixels])
        def serving_tensor(image):
            return raw(image, {})

    elif task.takes == ("frames",):
        names = tf.TensorSpec([None, FRAMES], tf.string, name="frames")
        values = tf.TensorSpec([None, None, None, 3 * FRAMES], tf.uint8, name="frames")

        @tf.function(autograph=False, input_signature=[strings, names])
        def serving_default(image_bytes, frames):
            return encoded(image_bytes, {"frames": frames})

        @tf.function(autograph=False, input_signature=[pixels, values])
        def serving_tensor(image, frames):
            return raw(image, {"frames": frames})

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


def frames_of(frames: tf.Tensor, image: tf.Tensor, channels: int) -> tf.Tensor:
    """float32 [H, W, FRAMES * C] of the encoded frames [FRAMES] beside a picture [H, W, C].

    "" is the picture itself. One of another size is refused.
    """

    def decoded(encoded, index):
        picture = tf.cast(decode_picture(encoded, index, channels), tf.float32)
        same = tf.reduce_all(tf.equal(tf.shape(picture), tf.shape(image)))
        text = "expected frames of the size of their picture (height, width, channels), got"
        check = tf.debugging.Assert(same, [text, tf.shape(picture), "beside", tf.shape(image)])
        with tf.control_dependencies([check]):
            return tf.identity(picture)

    def one(pair):
        return tf.cond(tf.strings.length(pair[0]) > 0, lambda: decoded(*pair), lambda: image)

    found = tf.map_fn(
        one,
        (frames, tf.range(FRAMES)),
        fn_output_signature=tf.TensorSpec([None, None, channels], tf.float32),
    )
    size = tf.shape(image)[:2]
    joined = tf.reshape(tf.transpose(found, [1, 2, 0, 3]), [size[0], size[1], FRAMES * channels])
    return tf.ensure_shape(joined, [None, None, FRAMES * channels])


def _strings(task: Task, answer: Callable) -> dict:
    """The signature of what is no picture, under the name of its input."""
    name = input_of(task)
    strings = tf.TensorSpec([None], tf.string, name=name)

    @tf.function(autograph=False, input_signature=[strings])
    def of_text(text):
        return answer(tf.identity(task.opened(text), NETWORK_INPUT))

    @tf.function(autograph=False, input_signature=[strings])
    def of_signals(signal_bytes):
        return answer(tf.identity(task.opened(signal_bytes), NETWORK_INPUT))

    return {DEFAULT: of_signals if name.endswith("_bytes") else of_text}


def fit(image: tf.Tensor, preprocess: Preprocess, size: tuple[int, int]):
    """uint8 [H, W, C] -> (float32 [*size, C], matrix [3, 3], [H, W] of the picture, int32)."""
    shape = tf.shape(image)[:2]
    fitted, matrix = resize.fit(image, preprocess, size)
    return fitted, matrix, shape
