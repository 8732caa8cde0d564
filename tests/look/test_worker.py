"""The process that answers: a model that fails, ends, or does not answer; and the port in use."""

from __future__ import annotations

import os
import socket
import time

import pytest

from convoy.pipeline import cli, errors
from convoy.pipeline.look import listening, worker
from convoy.pipeline.look.worker import Ask, NoAnswer, Worker
from tests.look.asking import Asked, jpeg, write_records, write_run


def serve(pipe) -> None:
    """In place of work.serve: says what it is told, sleeps, or ends."""
    while True:
        kind, values = pipe.recv()
        if kind == "sleep":
            time.sleep(60)
        if kind == "end":
            os._exit(1)
        pipe.send({"error": "ValueError: no"} if kind == "fail" else {"said": values[0]})


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(worker.work, "serve", serve)
    made = Worker(answer_s=0.5, load_s=20)
    yield made
    made.stop()


def test_it_answers_again_after_anything(made):
    assert made.ask(Ask("say", ("a",))) == {"said": "a"}
    with pytest.raises(NoAnswer, match="ValueError: no"):
        made.ask(Ask("fail", ("a",)))
    with pytest.raises(NoAnswer, match="the process that answers ended"):
        made.ask(Ask("end", ("a",)))
    assert made.ask(Ask("say", ("a",))) == {"said": "a"}
    made._asked.add(("sleep", "a"))  # as if it were loaded: it may take answer_s alone
    with pytest.raises(NoAnswer, match=r"no answer within 0.5 s: it was stopped"):
        made.ask(Ask("sleep", ("a",)))
    assert made.ask(Ask("say", ("b",))) == {"said": "b"}


def test_a_second_viewer_is_told_where_it_takes_long(made):
    made._lock.acquire()
    with pytest.raises(NoAnswer, match="still answers somebody else"):
        made.ask(Ask("say", ("a",)))
    made._lock.release()


def test_the_page_stays_up(made, tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    asked = Asked(write_run(tmp_path / "birds"), worker=made)
    monkeypatch.setattr(made, "ask", lambda question: Worker.ask(made, Ask("end", ("a",))))
    reply = asked.post("/api/try", jpeg())
    assert (reply.status, "ended" in reply.json["error"]) == (422, True)
    assert asked.get("/try").status == 200
    assert "no picture that can be read" in asked.post("/api/try", b"nothing").json["error"]
    assert "nothing was sent" in asked.post("/api/try").json["error"]


def test_a_port_in_use_is_named(tmp_path, capfd):
    folder = write_records(tmp_path / "records")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code = cli.main(["convoy", "look", str(folder), "--port", str(port)])
        err = capfd.readouterr().err
    assert code == errors.FAILURE
    assert f"port {port} of 127.0.0.1 is in use by process {os.getpid()}" in err
    assert "--port 0" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a", "b"], errors.USAGE, "expected one folder"),
        (["nowhere"], errors.FAILURE, "nowhere: no such folder; expected a run"),
        ([".", "--server", "127.0.0.1:8501"], errors.USAGE, "expected HOST:PORT/NAME"),
    ],
)
def test_wrong_words(words, code, message, capfd):
    assert cli.main(["convoy", "look", *words]) == code
    assert message in capfd.readouterr().err


def test_an_address_without_a_machine():
    with pytest.raises(OSError, match=r"203\.0\.113\.1:8600 cannot be listened on"):
        listening.held("203.0.113.1", 8600)
