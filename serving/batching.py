"""Dynamic batching: calls of several clients run as one, by TensorFlow Serving's parameter file.

    max_batch_size { value: 8 }              rows of a batch; a larger call is cut into pieces
    batch_timeout_micros { value: 2000 }     how long a batch waits for more, from its first call on
    max_enqueued_batches { value: 100 }      batches that wait; one more is answered UNAVAILABLE
    num_batch_threads { value: 4 }           batches that run at once
    allowed_batch_sizes: 1                   ... repeated, rising, the last one max_batch_size: a
    allowed_batch_sizes: 8                   batch is filled up to the next of them by its first row

Calls are joined whose inputs have the same names, types and sizes but for their rows. Rows stay in
their order, and each call gets its own. A batch that fails is run again call by call, so that an
error is of the call that caused it. Source of the fields: tensorflow_serving/servables/tensorflow/
session_bundle_config.proto, which the package tensorflow-serving-api does not hold.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import threading
import time
from collections.abc import Callable, Mapping

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from convoy.serving.errors import UNAVAILABLE, ServingError
from convoy.serving.servable import Servable

IDLE_S = 2.0  # without work for so long a thread ends; the next call starts another
Tensors = Mapping[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Of one server; the defaults are TensorFlow Serving's."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = os.cpu_count() or 1
    allowed_batch_sizes: tuple[int, ...] = ()


def read(path: pathlib.Path) -> Parameters:
    """Of a file. Raises ValueError, FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected a batching parameters file")
    try:
        given = text_format.Parse(path.read_text(encoding="utf-8"), _message())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is no batching parameters file: {error}") from error
    values = {name: getattr(given, name).value for name in _WRAPPED if given.HasField(name)}
    for name, value in values.items():
        least = 0 if name == "batch_timeout_micros" else 1
        if value < least:
            raise ValueError(f"{path}: {name}: expected {least} or more, got {value}")
    sizes = tuple(given.allowed_batch_sizes)
    parameters = Parameters(**values, allowed_batch_sizes=sizes)
    rising = all(a < b for a, b in zip((0, *sizes), sizes, strict=False))
    if sizes and not (rising and sizes[-1] == parameters.max_batch_size):
        raise ValueError(
            f"{path}: allowed_batch_sizes: expected rising numbers whose last one is "
            f"max_batch_size, {parameters.max_batch_size}, got {', '.join(map(str, sizes))}"
        )
    return parameters


_WRAPPED = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


def _message():
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", syntax="proto3")
    wrapper = file.message_type.add(name="Int64Value")
    wrapper.field.add(name="value", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    message = file.message_type.add(name="BatchingParameters")
    for number, name in enumerate(_WRAPPED, 1):
        message.field.add(
            name=name,
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=".Int64Value",
            label=kinds.LABEL_OPTIONAL,
        )
    message.field.add(
        name="allowed_batch_sizes", number=6, type=kinds.TYPE_INT64, label=kinds.LABEL_REPEATED
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("BatchingParameters")
    return message_factory.GetMessageClass(found)()


def settle(servable: Servable, parameters: Parameters) -> None:
    """Joins the calls of each signature of a loaded model."""
    for name in servable.definitions:
        servable.replace(name, Batched(servable.call(name), parameters))


class _Call:
    """The rows that one client sent, or a piece of them, and what comes back."""

    def __init__(self, inputs: Tensors, rows: int):
        self.inputs, self.rows = inputs, rows
        self.done = threading.Event()
        self.outputs: Tensors = {}
        self.error: Exception | None = None


@dataclasses.dataclass
class _Batch:
    key: tuple
    due: float  # time.monotonic() from which on it waits for no more
    calls: list[_Call] = dataclasses.field(default_factory=list)
    full: bool = False

    @property
    def rows(self) -> int:
        return sum(call.rows for call in self.calls)


class Batched:
    """Runs `call`, a signature's function of tensors by name, for several threads at once."""

    def __init__(self, call: Callable[..., Tensors], parameters: Parameters):
        self._call, self._parameters = call, parameters
        self._changed = threading.Condition()
        self._waiting: list[_Batch] = []  # the oldest first
        self._threads = self._idle = 0

    def __call__(self, **inputs: tf.Tensor) -> Tensors:
        """As `call`. Raises what it raises for these inputs, and ServingError UNAVAILABLE."""
        rows = _rows(inputs)
        if rows is None:
            return self._call(**inputs)
        most = self._parameters.max_batch_size
        calls = [
            _Call({name: tensor[at : at + most] for name, tensor in inputs.items()}, size)
            for at in range(0, rows, most)
            for size in [min(most, rows - at)]
        ]
        self._enqueue(calls, _key(inputs))
        for call in calls:
            call.done.wait()
        for call in calls:
            if call.error is not None:
                raise call.error
        if len(calls) == 1:
            return calls[0].outputs
        names = calls[0].outputs
        return {name: tf.concat([call.outputs[name] for call in calls], axis=0) for name in names}

    def _enqueue(self, calls: list[_Call], key: tuple) -> None:
        """All of them or, where the queue is full, none."""
        most, now = self._parameters.max_batch_size, time.monotonic()
        with self._changed:
            added = 0
            for call in calls:
                batch = next((b for b in self._waiting if b.key == key and not b.full), None)
                if batch is not None and batch.rows + call.rows > most:
                    batch.full, batch = True, None
                if batch is None:
                    if len(self._waiting) - added >= self._parameters.max_enqueued_batches:
                        raise ServingError(
                            UNAVAILABLE,
                            f"The batch scheduling queue is full: {len(self._waiting)} batches "
                            "wait, as many as max_enqueued_batches allows",
                        )
                    batch = _Batch(key, now + self._parameters.batch_timeout_micros / 1e6)
                    self._waiting.append(batch)
                    added += 1
                batch.calls.append(call)
                batch.full = batch.rows >= most
            if self._idle < len(self._waiting) and (
                self._threads < self._parameters.num_batch_threads
            ):
                self._threads += 1
                threading.Thread(target=self._work, name="batch", daemon=True).start()
            self._changed.notify_all()

    def _work(self) -> None:
        """Runs batches until there was none for a while: an unloaded model keeps no thread."""
        while (batch := self._next()) is not None:
            self._run(batch.calls)

    def _next(self) -> _Batch | None:
        idle_until = time.monotonic() + IDLE_S
        with self._changed:
            while True:
                now = time.monotonic()
                ready = next((b for b in self._waiting if b.full or b.due <= now), None)
                if ready is not None:
                    self._waiting.remove(ready)
                    return ready
                until = min([batch.due for batch in self._waiting], default=idle_until)
                if not self._waiting and now >= idle_until:
                    self._threads -= 1
                    return None
                self._idle += 1
                self._changed.wait(until - now)
                self._idle -= 1

    def _run(self, calls: list[_Call]) -> None:
        try:
            for call, outputs in zip(calls, self._joined(calls), strict=True):
                call.outputs = outputs
        except Exception as error:  # whatever it is, it is the caller's to see
            if len(calls) == 1:
                calls[0].error = error
            else:
                for call in calls:
                    self._run([call])
        finally:
            for call in calls:
                call.done.set()

    def _joined(self, calls: list[_Call]) -> list[Tensors]:
        """The outputs of each call."""
        sizes = [call.rows for call in calls]
        rows = sum(sizes)
        inputs = calls[0].inputs
        if len(calls) > 1:
            inputs = {name: tf.concat([c.inputs[name] for c in calls], axis=0) for name in inputs}
        allowed = self._parameters.allowed_batch_sizes
        lacking = next((size for size in allowed if size >= rows), rows) - rows
        if lacking:
            first = {name: tensor[:1] for name, tensor in inputs.items()}
            inputs = {
                name: tf.concat([tensor, *[first[name]] * lacking], axis=0)
                for name, tensor in inputs.items()
            }
        outputs = self._call(**inputs)
        if len(calls) == 1 and not lacking:
            return [outputs]
        for name, tensor in outputs.items():
            if not tensor.shape.rank or tensor.shape[0] != rows + lacking:
                raise ValueError(f"output {name} of shape {tensor.shape} has no row per picture")
        ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
        return [
            {name: tensor[end - size : end] for name, tensor in outputs.items()}
            for size, end in zip(sizes, ends, strict=True)
        ]


def _rows(inputs: Tensors) -> int | None:
    """How many, None where the inputs do not have the same number of them, or none."""
    counts = {tensor.shape[0] if tensor.shape.rank else None for tensor in inputs.values()}
    (count,) = counts if len(counts) == 1 else (None,)
    return count or None


def _key(inputs: Tensors) -> tuple:
    """What calls that run together share."""
    return tuple(
        (name, tensor.dtype.name, tuple(tensor.shape[1:]))
        for name, tensor in sorted(inputs.items())
    )
