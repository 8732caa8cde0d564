"""Calls of several clients as one: their order, their errors, their limits, their file."""

from __future__ import annotations

import pathlib
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from convoy.serving import batching, client, server
from convoy.serving.batching import Batched, Parameters
from convoy.serving.errors import UNAVAILABLE, ServingError
from tests.serving import tiny

SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "serving/deploy/batching.config"


class Doubling:
    """A model: its rows times two. Keeps the sizes of its batches; negative rows are an error."""

    def __init__(self, gate: threading.Event | None = None):
        self.sizes: list[int] = []
        self._gate = gate

    def __call__(self, x):
        self.sizes.append(int(x.shape[0]))
        if self._gate:
            self._gate.wait()
        if float(tf.reduce_min(x)) < 0:
            raise tf.errors.InvalidArgumentError(None, None, "a negative row")
        return {"y": 2 * x}


def rows(*values: float) -> tf.Tensor:
    return tf.constant(values, tf.float32)[:, None]


def one(answer) -> float:
    """The only number of it."""
    return answer["y"].numpy().item()


def at_once(call, inputs: list) -> list:
    """What each of them is answered, or raises; all are sent before the first answer is awaited."""
    found: list = [None] * len(inputs)

    def ask(place):
        try:
            found[place] = call(**inputs[place])
        except Exception as error:
            found[place] = error

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(inputs))]
    for thread in threads:
        thread.start()
        time.sleep(0.005)  # in this order
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    return found


WAITING = Parameters(max_batch_size=8, batch_timeout_micros=500_000, num_batch_threads=1)


def test_calls_run_together_and_each_gets_its_own():
    model = Doubling()
    sent = [{"x": rows(1)}, {"x": rows(2, 3)}, {"x": rows(4)}]
    found = at_once(Batched(model, WAITING), sent)
    assert model.sizes == [4]
    assert [answer["y"].numpy().ravel().tolist() for answer in found] == [[2], [4, 6], [8]]


def test_a_full_batch_does_not_wait():
    model = Doubling()
    slow = Parameters(max_batch_size=2, batch_timeout_micros=60_000_000, num_batch_threads=1)
    found = at_once(Batched(model, slow), [{"x": rows(n)} for n in range(4)])
    assert model.sizes == [2, 2]
    assert [one(answer) for answer in found] == [0, 2, 4, 6]


def test_a_lone_call_waits_no_longer_than_it_says():
    model = Doubling()
    call = Batched(model, Parameters(max_batch_size=8, batch_timeout_micros=1000))
    assert one(call(x=rows(3))) == 6
    assert model.sizes == [1]


def test_a_call_larger_than_a_batch_is_cut_and_joined_in_order():
    model = Doubling()
    values = np.arange(19.0)
    found = Batched(model, Parameters(max_batch_size=8, num_batch_threads=1))(x=rows(*values))
    assert found["y"].numpy().ravel().tolist() == (2 * values).tolist()
    assert sum(model.sizes) == 19
    assert max(model.sizes) == 8


def test_an_error_reaches_the_call_that_caused_it_alone():
    model = Doubling()
    sent = [{"x": rows(1)}, {"x": rows(-1)}, {"x": rows(3)}]
    good, bad, fine = at_once(Batched(model, WAITING), sent)
    assert one(good) == 2
    assert one(fine) == 6
    assert isinstance(bad, tf.errors.InvalidArgumentError)
    assert model.sizes == [3, 1, 1, 1]


def test_inputs_of_other_sizes_and_types_run_apart():
    model = Doubling()
    sent = [
        {"x": tf.zeros([1, 2])},
        {"x": tf.zeros([1, 3])},
        {"x": tf.zeros([1, 2])},
        {"x": tf.zeros([1, 2], tf.float64)},
    ]
    found = at_once(Batched(model, WAITING), sent)
    assert sorted(model.sizes) == [1, 1, 2]
    assert [tuple(answer["y"].shape) for answer in found] == [(1, 2), (1, 3), (1, 2), (1, 2)]
    assert found[3]["y"].dtype == tf.float64


def test_a_full_queue_is_unavailable_and_those_in_it_are_answered():
    gate = threading.Event()
    model = Doubling(gate)
    limits = Parameters(max_batch_size=1, max_enqueued_batches=2, num_batch_threads=1)
    call = Batched(model, limits)
    threading.Timer(1.0, gate.set).start()
    found = at_once(call, [{"x": rows(n)} for n in range(5)])  # one runs, two wait
    refused = [answer for answer in found if isinstance(answer, ServingError)]
    assert len(refused) == 2
    assert {error.code for error in refused} == {UNAVAILABLE}
    assert "The batch scheduling queue is full: 2 batches wait" in str(refused[0])
    assert [one(answer) for answer in found[:3]] == [0, 2, 4]
    assert one(call(x=rows(9))) == 18


def test_a_call_that_is_cut_is_refused_as_a_whole():
    gate = threading.Event()
    model = Doubling(gate)
    call = Batched(model, Parameters(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1))
    threading.Timer(1.0, gate.set).start()
    first, second = at_once(call, [{"x": rows(1)}, {"x": rows(2)}])
    assert (one(first), one(second)) == (2, 4)
    assert sum(model.sizes) == 2


def test_batches_are_filled_up_to_the_sizes_that_are_allowed():
    model = Doubling()
    parameters = Parameters(
        max_batch_size=8,
        batch_timeout_micros=200_000,
        num_batch_threads=1,
        allowed_batch_sizes=(1, 4, 8),
    )
    found = at_once(Batched(model, parameters), [{"x": rows(1)}, {"x": rows(2)}])
    assert model.sizes == [4]
    assert [answer["y"].numpy().tolist() for answer in found] == [[[2]], [[4]]]


def test_outputs_without_a_row_per_picture_are_answered_call_by_call():
    def total(x):
        return {"sum": tf.reduce_sum(x)}

    found = at_once(Batched(total, WAITING), [{"x": rows(1)}, {"x": rows(2, 3)}])
    assert [float(answer["sum"]) for answer in found] == [1, 5]


def test_many_clients_lose_and_mix_up_nothing():
    model = Doubling()
    call = Batched(model, Parameters(max_batch_size=16, batch_timeout_micros=500))
    wrong: list = []

    def client(number):
        for turn in range(50):
            value = number * 1000 + turn
            if one(call(x=rows(value))) != 2 * value:
                wrong.append(value)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong
    assert sum(model.sizes) == 800
    assert max(model.sizes) <= 16


def test_an_idle_model_keeps_no_thread(monkeypatch):
    monkeypatch.setattr(batching, "IDLE_S", 0.05)
    call = Batched(Doubling(), Parameters(max_batch_size=2))
    call(x=rows(1))
    deadline = time.monotonic() + 10
    while any(thread.name == "batch" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert one(call(x=rows(5))) == 10


def test_the_file_of_tensorflow_serving():
    found = batching.read(SHIPPED)
    assert found == Parameters(8, 2000, 100, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_batch_size: 8", "is no batching parameters file"),
        ("max_batch { value: 8 }", "no field named"),
        ("max_batch_size { value: 0 }", "expected 1 or more, got 0"),
        ("num_batch_threads { value: -1 }", "expected 1 or more, got -1"),
        ("max_batch_size { value: 8 }\nallowed_batch_sizes: 4", "max_batch_size, 8, got 4"),
        ("max_batch_size { value: 4 }\nallowed_batch_sizes: [4, 2, 4]", "rising numbers"),
    ],
)
def test_files_that_are_wrong(tmp_path, text, says):
    (tmp_path / "b.config").write_text(text)
    with pytest.raises(ValueError, match=says):
        batching.read(tmp_path / "b.config")
    with pytest.raises(FileNotFoundError, match="expected a batching parameters file"):
        batching.read(tmp_path / "none.config")


def test_a_server_joins_calls_and_tells_each_its_own(base):
    """As without batching: answers, and the error of a picture that is none."""
    pictures = [tiny.jpeg(20 + n, 30, seed=n) for n in range(12)]
    alone = client.load_local(base)
    expected = alone(pictures)["scores"]
    together = Parameters(max_batch_size=8, batch_timeout_micros=20_000, num_batch_threads=2)
    running = server.start(base, port=0, rest_api_port=0, poll_s=0, together=together)
    channel = client.grpc_channel(f"127.0.0.1:{running.grpc_port}")
    found: dict = {}

    def ask(number, picture):
        try:
            found[number] = client.predict_grpc(channel, "served", [picture])["scores"][0]
        except client.RequestFailed as error:
            found[number] = error

    sent = [*pictures[:5], b"no picture", *pictures[5:]]
    try:
        threads = [threading.Thread(target=ask, args=pair) for pair in enumerate(sent)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        several = client.predict_grpc(channel, "served", pictures)["scores"]
    finally:
        channel.close()
        running.stop()
    wrong = found.pop(5)
    assert isinstance(wrong, client.RequestFailed)
    assert wrong.code == "INVALID_ARGUMENT"
    np.testing.assert_allclose([found[n] for n in sorted(found)], expected, atol=1e-6)
    np.testing.assert_allclose(several, expected, atol=1e-6)  # 12 rows in batches of 8
