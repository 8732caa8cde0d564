"""`convoy serve --engine`: the same answers and the same errors, whoever runs the network."""

from __future__ import annotations

import logging
import shutil
import threading

import numpy as np
import pytest

from convoy import models
from convoy.serving import client, engines, export, server
from convoy.serving.errors import ServingError
from convoy.serving.runtimes import kinds
from convoy.serving.servable import Servable
from tests.serving import tiny
from tests.serving.test_parts import drawn


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with version 1 of a classifier with weights that see the picture."""
    task = drawn(models.build_task("mobilenet_v1", num_classes=3, input_size=(64, 64), width=0.25))
    base = tmp_path_factory.mktemp("engines") / "m"
    arguments = tiny.export_arguments(input_size=(64, 64), precision="float32")
    export.export(task, base / "1", **arguments)
    return base


def test_names_and_missing_packages(monkeypatch, caplog, model):
    with pytest.raises(ValueError, match="expected one of auto, tensorflow, openvino, got 'onnx'"):
        engines.check("onnx")
    monkeypatch.setattr(kinds, "missing", lambda kind: ["openvino"])
    with pytest.raises(kinds.NotInstalled, match=r"convoy-vision\[openvino\]"):
        server.start(model, port=0, rest_api_port=0, engine="openvino")
    with caplog.at_level(logging.INFO, logger="convoy.serving"):
        engines.check("auto")
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "engine tensorflow: openvino is not installed" in caplog.text
    servable = Servable(model / "1")
    plain = servable.call("serving_default")
    engines.settle(servable, "auto")
    assert servable.call("serving_default") is plain


def test_openvino_answers_and_refuses_as_tensorflow_does(model, caplog):
    pytest.importorskip("openvino")
    plain = client.load_local(model)
    pictures = [tiny.jpeg(80, 70), tiny.png(33, 44, 1)]
    with caplog.at_level(logging.INFO, logger="convoy.serving"):
        served = server.start(model, port=0, rest_api_port=0, engine="openvino")
    try:
        assert "engine openvino in" in caplog.text
        channel = client.grpc_channel(f"127.0.0.1:{served.grpc_port}")
        received = client.predict_grpc(channel, "m", pictures)
        expected = plain(pictures)
        np.testing.assert_allclose(received["scores"], expected["scores"], atol=0.02)
        assert received["class_name"].tolist() == expected["class_name"].tolist()
        with pytest.raises(client.RequestFailed, match="picture 1 of the request is not a picture"):
            client.predict_grpc(channel, "m", [tiny.jpeg(8, 8), b"text"])
        connection = client.rest_connection(f"127.0.0.1:{served.rest_port}")
        rest = client.predict_rest(connection, "m", pictures)
        np.testing.assert_allclose(rest["scores"], received["scores"], atol=1e-6)
        channel.close()
    finally:
        served.stop()


def test_calls_at_once_get_their_own_answers(model):
    pytest.importorskip("openvino")
    servable = Servable(model / "1")
    engines.settle(servable, "openvino")
    pictures = [tiny.jpeg(40, 40, seed) for seed in range(4)]
    expected = [servable.run("", inputs(picture))["scores"] for picture in pictures]
    wrong: list[int] = []

    def ask(place):
        for _ in range(10):
            found = servable.run("", inputs(pictures[place]))["scores"]
            if np.abs(found - expected[place]).max() > 1e-6:
                wrong.append(place)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def inputs(picture: bytes) -> dict:
    import tensorflow as tf

    return {"image_bytes": tf.constant([picture])}


@pytest.mark.parametrize("faster", ["openvino", "tensorflow"])
def test_auto_takes_what_is_faster_and_says_so(model, monkeypatch, caplog, faster):
    pytest.importorskip("openvino")
    seconds = [0.002, 0.001] if faster == "openvino" else [0.001, 0.002]
    monkeypatch.setattr(engines, "_medians", lambda *_: seconds)
    servable = Servable(model / "1")
    plain = servable.call("serving_default")
    with caplog.at_level(logging.INFO, logger="convoy.serving"):
        engines.settle(servable, "auto")
    assert (servable.call("serving_default") is plain) == (faster == "tensorflow")
    assert f"engine {faster}" in caplog.text
    assert "1.0 ms" in caplog.text


def test_what_does_not_agree_is_not_taken(model, monkeypatch, tmp_path, caplog):
    pytest.importorskip("openvino")
    monkeypatch.setattr(engines, "_apart", lambda *_: 0.5)
    servable = Servable(model / "1")
    with caplog.at_level(logging.INFO, logger="convoy.serving"):
        engines.settle(servable, "auto")
    assert "engine tensorflow: answers of openvino differ by 0.5 in" in caplog.text
    with pytest.raises(ServingError, match=r"--engine openvino: answers .*export.tolerance=0.02"):
        engines.settle(servable, "openvino")
    shutil.copytree(model / "1", tmp_path / "1")
    (tmp_path / "1/assets.extra/tf_serving_warmup_requests").unlink()
    with caplog.at_level(logging.INFO, logger="convoy.serving"):
        engines.settle(Servable(tmp_path / "1"), "auto")
    assert "engine tensorflow: the model has no warm-up requests" in caplog.text
