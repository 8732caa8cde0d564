"""What a SavedModel answers: encoded pictures, a uint8 batch or sentences in, named outputs out.

serving_default  `image_bytes` string [B]: JPEG, PNG, BMP or GIF (its first frame), sizes mixed;
                 of a network for sentences `text` string [B] in UTF-8
serving_tensor   `image` uint8 [B, H, W, 3]: RGB, any H and W; not of a network for sentences

Detection answers, D = max_detections, entries beyond `num_detections` zero or empty:
    boxes [B, D, 4] float32 ymin, xmin, ymax, xmax in pixels of the picture that was sent;
    scores [B, D] float32, falling; classes [B, D] int64; class_names [B, D] string;
    num_detections [B] int32
Classification answers, of pictures and sentences: scores [B, K] float32 in the order of
    labels.txt; class_id [B] int64 and class_name [B] string of the best.
Localisation answers: those, and box [B, 4] float32 in pixels of the picture that was sent.
Multi-label answers: scores [B, K]; chosen [B, K] bool; num_labels [B] int32; class_names [B, K]
    string, the chosen ones by falling score, then empty.

Preprocessing, words, labels and thresholds are part of the graph, built of plain TensorFlow ops.
EXIF orientation is not read (TensorFlow's decoder ignores it): send pictures upright.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from convoy.models import resize
from convoy.models.spec import Classifier, Detector, Localizer, Preprocess, TextClassifier

DEFAULT, TENSOR = "serving_default", "serving_tensor"
NOT_A_PICTURE = "of the request is not a picture: expected the bytes of a JPEG, PNG, BMP or GIF"


def input_of(task) -> str:
    """Name of the default signature's input."""
    return "text" if isinstance(task, TextClassifier) else "image_bytes"


def build(
    task: Classifier | Localizer | TextClassifier | Detector,
    network: Callable[[tf.Tensor], tf.Tensor | dict[str, tf.Tensor]],
    *,
    labels: Sequence[str],
    input_size: tuple[int, ...],
    **limits,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """The signatures around `network`: float32 [B, *input_size, C] -> raw outputs, float32.

    limits: of detection score_threshold, iou_threshold and max_detections; of multilabel
    label_threshold and label_count. Others are not looked at.
    """
    preprocess = task.info.preprocess
    names = tf.constant(list(labels))
    if isinstance(task, TextClassifier):
        return {DEFAULT: sentences(task, network, names)}

    def answer(images, matrices, sizes):
        outputs = network(images)
        if isinstance(task, Detector):
            asked = (limits[k] for k in ("score_threshold", "iou_threshold", "max_detections"))
            return detections(task.decode(outputs, *asked), matrices, sizes, names)
        if task.info.task == "multilabel":
            asked = (limits.get(k) for k in ("label_threshold", "label_count"))
            return several(task.decode(outputs, *asked), names)
        found = task.decode(outputs)
        answers = classification(found, names)
        if isinstance(task, Localizer):
            answers["box"] = to_source(found["box"][:, None], matrices, sizes)[:, 0]
        return answers

    shapes = (
        tf.TensorSpec((*input_size, preprocess.channels), tf.float32),
        tf.TensorSpec((3, 3), tf.float32),
        tf.TensorSpec((2,), tf.int32),
    )

    def prepare(image):
        image, matrix, size = fit(image, preprocess, input_size)
        return tf.ensure_shape(image, shapes[0].shape), matrix, size

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_default(image_bytes):
        count = tf.size(image_bytes)
        check = tf.debugging.Assert(count > 0, ["the request holds no picture"])
        with tf.control_dependencies([check]):
            indices = tf.range(count)
        fitted = tf.map_fn(
            lambda pair: prepare(decode_picture(*pair, preprocess.channels)),
            (image_bytes, indices),
            fn_output_signature=shapes,
        )
        return answer(*fitted)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")])
    def serving_tensor(image):
        if preprocess.channels == 1:
            image = tf.image.rgb_to_grayscale(image)
        return answer(*tf.map_fn(prepare, image, fn_output_signature=shapes))

    return {DEFAULT: serving_default, TENSOR: serving_tensor}


def sentences(task: TextClassifier, network, names):
    """The signature of a network for sentences."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serving_default(text):
        return classification(task.decode(network(task.tokens(text))), names)

    return serving_default


def decode_picture(image_bytes: tf.Tensor, index: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """uint8 [H, W, channels] of one encoded picture; `index` is named if it is of no known kind.

    The first bytes are looked at before the decoder does, whose own message (still given for a
    picture that breaks off later) does not say which of the batch it was.
    """
    head = tf.strings.substr(image_bytes, 0, 4)
    known = tf.constant([b"\xff\xd8\xff", b"\x89PN", b"GIF"])
    ok = tf.reduce_any(tf.strings.substr(head, 0, 3) == known)
    ok |= tf.strings.substr(head, 0, 2) == b"BM"
    check = tf.debugging.Assert(ok, ["picture", index, NOT_A_PICTURE])
    with tf.control_dependencies([check]):
        image = tf.io.decode_image(image_bytes, channels=channels, expand_animations=False)
    return tf.ensure_shape(image, [None, None, channels])


def fit(image: tf.Tensor, preprocess: Preprocess, size: tuple[int, int]):
    """uint8 [H, W, C] -> (float32 [*size, C], matrix [3, 3], [H, W] of the picture, int32)."""
    shape = tf.shape(image)[:2]
    fitted, matrix = resize.fit(image, preprocess, size)
    return fitted, matrix, shape


def detections(found: dict[str, tf.Tensor], matrices, sizes, names) -> dict[str, tf.Tensor]:
    """The decoder's detections, in pixels of the network input, as the signature answers them."""
    valid = found["valid"]
    rank = tf.where(valid, found["scores"], -1.0)
    order = tf.argsort(rank, axis=1, direction="DESCENDING", stable=True)
    valid = tf.gather(valid, order, batch_dims=1)
    boxes = to_source(tf.gather(found["boxes"], order, batch_dims=1), matrices, sizes)
    scores = tf.gather(found["scores"], order, batch_dims=1)
    classes = tf.cast(tf.gather(found["classes"], order, batch_dims=1), tf.int64)
    classes = tf.where(valid, classes, 0)
    return {
        "boxes": tf.where(valid[..., None], boxes, 0.0),
        "scores": tf.where(valid, scores, 0.0),
        "classes": classes,
        "class_names": tf.where(valid, tf.gather(names, classes), ""),
        "num_detections": tf.reduce_sum(tf.cast(valid, tf.int32), axis=1),
    }


def to_source(boxes: tf.Tensor, matrices: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Boxes [B, D, 4] of the network input -> pixels of the pictures sent, clipped to them.

    matrices [B, 3, 3] as `models.resize.fit` returns them (scale and shift only), sizes [B, 2].
    """
    scale = tf.stack([matrices[:, 1, 1], matrices[:, 0, 0]] * 2, axis=-1)[:, None]
    shift = tf.stack([matrices[:, 1, 2], matrices[:, 0, 2]] * 2, axis=-1)[:, None]
    limit = tf.cast(tf.tile(sizes, [1, 2]), tf.float32)[:, None]
    return tf.clip_by_value((boxes - shift) / scale, 0.0, limit)


def classification(found: dict[str, tf.Tensor], names) -> dict[str, tf.Tensor]:
    """The classifier's scores as the signature answers them."""
    best = tf.cast(found["classes"], tf.int64)
    return {"scores": found["scores"], "class_id": best, "class_name": tf.gather(names, best)}


def several(found: dict[str, tf.Tensor], names) -> dict[str, tf.Tensor]:
    """The scores and decisions of several classes a picture as the signature answers them."""
    scores, chosen = found["scores"], found["chosen"]
    order = tf.argsort(tf.where(chosen, scores, -1.0), axis=1, direction="DESCENDING", stable=True)
    return {
        "scores": scores,
        "chosen": chosen,
        "class_names": tf.where(
            tf.gather(chosen, order, batch_dims=1), tf.gather(names, order), ""
        ),
        "num_labels": tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1),
    }
