"""TensorFlow Serving's warm-up records: real requests that a server replays before it takes calls.

https://www.tensorflow.org/tfx/serving/saved_model_warmup: `assets.extra/tf_serving_warmup_requests`
in the SavedModel, a TFRecord of at most 1,000 PredictionLog messages.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Iterator, Sequence

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from convoy.serving import questions
from convoy.serving.questions import Question

PLACE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
MOST = 1000


def write(
    model: pathlib.Path,
    name: str,
    samples: Sequence[bytes | Question],
    sizes: Sequence[int] = (1,),
    input_name: str = "image_bytes",
    takes: Collection[str] = (),
) -> None:
    """Writes requests of the default signature: one for each sample, then of each batch size > 1.

    model: the SavedModel's folder; name: the model's name in the requests; takes: what the model
    is given beside each sample.
    """
    path = model / PLACE
    path.parent.mkdir(exist_ok=True)
    batches = [[sample] for sample in samples]
    batches += [[samples[i % len(samples)] for i in range(size)] for size in sizes if size > 1]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for batch in batches[:MOST]:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(
                request(name, batch, input_name=input_name, takes=takes)
            )
            writer.write(log.SerializeToString(deterministic=True))


def request(
    name: str,
    images: Sequence[bytes | Question],
    *,
    version: int | None = None,
    signature_name: str = "serving_default",
    input_name: str = "image_bytes",
    takes: Collection[str] | None = None,
) -> predict_pb2.PredictRequest:
    """A PredictRequest with encoded pictures, or sentences, and what is given beside them."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = name
    message.model_spec.signature_name = signature_name
    if version is not None:
        message.model_spec.version.value = version
    for key, values in questions.inputs(images, input_name, takes).items():
        tensor = message.inputs[key]
        if values.dtype == object:  # strings take no detour over NumPy's copies
            tensor.dtype = tf.string.as_datatype_enum
            for side in values.shape:
                tensor.tensor_shape.dim.add().size = side
            tensor.string_val.extend(values.ravel())
        else:
            tensor.CopyFrom(tf.make_tensor_proto(values))
    return message


def questions_of(request: predict_pb2.PredictRequest) -> tuple[str, list[Question]]:
    """(name of the input that holds pictures or sentences, the rows) of a recorded request."""
    arrays = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
    strings = (key for key, values in arrays.items() if values.dtype == object)
    (name,) = (key for key in strings if key not in questions.STRINGS)
    payloads = arrays.pop(name)
    return name, [
        Question(payload, {key: values[index] for key, values in arrays.items()})
        for index, payload in enumerate(payloads)
    ]


def read(model: pathlib.Path) -> Iterator[predict_pb2.PredictRequest]:
    """The recorded requests of a SavedModel; nothing where it has none."""
    path = model / PLACE
    if not path.exists():
        return
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if not log.HasField("predict_log"):
            raise ValueError(
                f"{path}: expected Predict requests alone, got {log.WhichOneof('log_type')}"
            )
        yield log.predict_log.request
