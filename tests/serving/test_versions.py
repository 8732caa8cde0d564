"""The embedded server over time: versions, hot reload under load, ports, signals, clients."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from convoy.serving import client, errors, export, server, warmup
from tests.serving import tiny
from tests.serving.running import PICTURE, add_version, serving, wait_for


def test_versions_latest_all_and_one(base, saved_model):
    add_version(base, 10, saved_model)  # 10 > 9 > 2: by number, not by letter
    add_version(base, 9, saved_model)
    (base / "11").mkdir()  # half written
    (base / "notes").mkdir()
    for policy, expected in (("latest", {10}), ("all", {1, 9, 10}), ("9", {9})):
        with serving(base, versions=policy, name="n") as (_, channel, _):
            assert set(client.status_grpc(channel, "n")) == expected
            client.predict_grpc(channel, "n", [PICTURE], version=min(expected))
    with pytest.raises(ValueError, match="expected latest, all or a number"):
        server.start(base, versions="newest", port=0, rest_api_port=0)


def test_a_folder_of_models(tmp_path, saved_model):
    for name in ("ants", "bees"):
        shutil.copytree(saved_model, tmp_path / name / "3")
    with serving(tmp_path) as (running, channel, _):
        assert running.manager.names() == ["ants", "bees"]
        for name in ("ants", "bees"):
            assert client.status_grpc(channel, name) == {3: {"state": "AVAILABLE", "error": ""}}
        shutil.copytree(saved_model, tmp_path / "new" / "1")
        wait_for(lambda: client.predict_grpc(channel, "new", [PICTURE]))


def test_hot_reload_under_load_fails_no_request(base, saved_model, tmp_path):
    export.export(
        tiny.classifier(seed=3), tmp_path / "other", **tiny.export_arguments(precision="float32")
    )
    want = {
        1: client.load_local(saved_model)([PICTURE])["scores"],
        2: client.load_local(tmp_path / "other")([PICTURE])["scores"],
    }
    assert not np.allclose(want[1], want[2], atol=1e-3)
    stop, failures, seen = threading.Event(), [], []

    def load(call):
        while not stop.is_set():
            try:
                scores = call()["scores"]
            except Exception as error:
                failures.append(error)
                return
            which = [number for number, expected in want.items() if np.allclose(scores, expected)]
            seen.append(which[0])

    with serving(base, name="m") as (running, channel, connection):
        other = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        threads = [
            threading.Thread(target=load, args=(call,))
            for call in (
                lambda: client.predict_grpc(channel, "m", [PICTURE]),
                lambda: client.predict_grpc(channel, "m", [PICTURE]),
                lambda: client.predict_rest(other, "m", [PICTURE]),
            )
        ]
        for thread in threads:
            thread.start()
        for number in (2, 3):
            add_version(base, number, tmp_path / "other")
            wait_for(
                lambda n=number: client.status_rest(connection, "m")[n]["state"] == "AVAILABLE"
            )
        wait_for(lambda: client.status_rest(connection, "m")[2]["state"] == "END")
        stop.set()
        for thread in threads:
            thread.join()
        other.close()
    assert not failures
    assert seen[0] == 1
    assert seen[-1] == 2
    assert len(seen) > 20


def test_a_broken_version_is_reported_and_the_old_one_stays(base, saved_model):
    with serving(base, name="m") as (_, channel, connection):
        broken = base / "2"
        broken.mkdir()
        (broken / "saved_model.pb").write_bytes(b"broken")
        wait_for(lambda: client.status_rest(connection, "m")[2]["state"] == "END")
        status = client.status_rest(connection, "m")
        assert status[2]["error"]
        assert status[1] == {"state": "AVAILABLE", "error": ""}
        client.predict_grpc(channel, "m", [PICTURE])
        shutil.rmtree(broken)
        add_version(base, 2, saved_model)  # repaired
        wait_for(lambda: client.status_rest(connection, "m")[2]["state"] == "AVAILABLE")
    (base / "3").mkdir()
    (base / "3" / "saved_model.pb").write_bytes(b"broken")
    with serving(base, name="m") as (_, channel, _):  # also after a restart
        status = client.status_grpc(channel, "m")
        assert (status[3]["state"], status[2]["state"]) == ("END", "AVAILABLE")


def test_removing_the_newest_version_rolls_back(base, saved_model):
    add_version(base, 2, saved_model)
    with serving(base, name="m") as (running, channel, _):
        assert set(client.status_grpc(channel, "m")) == {2}
        shutil.rmtree(base / "2")
        wait_for(lambda: client.status_grpc(channel, "m")[1]["state"] == "AVAILABLE")
        (base / "1").rename(base / "aside")
        wait_for(lambda: not running.manager.names())  # as TensorFlow Serving: none is left
        with pytest.raises(client.RequestFailed, match=r"Latest\(m\)"):
            client.predict_grpc(channel, "m", [PICTURE])
        (base / "aside").rename(base / "1")
        wait_for(lambda: client.predict_grpc(channel, "m", [PICTURE]))


def test_without_its_base_path_a_model_goes_on(base, caplog):
    with serving(base, name="m") as (_, channel, _):
        base.rename(base.with_name("away"))
        wait_for(lambda: "what serves goes on" in caplog.text)
        time.sleep(0.3)
        client.predict_grpc(channel, "m", [PICTURE])
        assert caplog.text.count("what serves goes on") == 1


def test_a_version_that_cannot_load_does_not_take_the_last_one_away(base):
    with serving(base, name="m") as (_, channel, _):
        (base / "2").mkdir()  # will be one
        shutil.rmtree(base / "1")
        time.sleep(0.4)
        client.predict_grpc(channel, "m", [PICTURE])


def test_a_failing_warm_up_keeps_a_version_out(base, saved_model):
    bad = base / ".2"
    shutil.copytree(saved_model, bad)
    warmup.write(bad, "m", [b"no picture"])
    os.rename(bad, base / "2")
    with serving(base, name="m") as (_, channel, _):
        status = client.status_grpc(channel, "m")
        assert "picture 0 of the request" in status[2]["error"]
        assert status[1]["state"] == "AVAILABLE"


def test_port_in_use_is_one_clear_message(running, base):
    taken, _, _ = running
    with pytest.raises(errors.PortInUse, match=rf"port {taken.grpc_port} .*another --port"):
        server.start(base, port=taken.grpc_port, rest_api_port=0)
    with pytest.raises(errors.PortInUse, match=rf"{taken.rest_port} .*another --rest_api_port"):
        server.start(base, port=0, rest_api_port=taken.rest_port)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        server.start(base / "nowhere")


def test_sigterm_ends_a_server_in_order(base):
    code = (
        "import sys; from convoy.serving import server; "
        "server.serve(sys.argv[1], port=0, rest_api_port=0, name='m')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(base)], stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    port = int(line.split("gRPC on port ")[1].split(",")[0])
    channel = client.grpc_channel(f"127.0.0.1:{port}")
    client.predict_grpc(channel, "m", [PICTURE])
    channel.close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    process.stdout.close()


def test_client_says_who_does_not_answer():
    connection = client.rest_connection("127.0.0.1:1", timeout_s=2)
    with pytest.raises(client.RequestFailed, match=r"127\.0\.0\.1:1: no answer"):
        client.status_rest(connection, "m")
    channel = client.grpc_channel("127.0.0.1:1")
    with pytest.raises(client.RequestFailed, match="UNAVAILABLE"):
        client.status_grpc(channel, "m", timeout_s=2)
    channel.close()


def test_client_opens_a_connection_again_that_the_server_closed(base):
    with serving(base, name="m") as (running, _, connection):
        before = client.status_rest(connection, "m")
        connection.sock.shutdown(2)
        assert client.status_rest(connection, "m") == before
        assert running.rest_port == connection.port


def test_load_local_takes_a_base_path_or_a_version(base, tmp_path):
    np.testing.assert_array_equal(
        client.load_local(base)([PICTURE])["scores"],
        client.load_local(base / "1")([PICTURE])["scores"],
    )
    with pytest.raises(FileNotFoundError, match="expected a SavedModel"):
        client.load_local(tmp_path / "served" / "1" / "assets.extra")
