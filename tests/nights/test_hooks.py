"""Hooks: what is called with which result, and that nothing they do changes a run."""

from __future__ import annotations

import http.server
import json
import shlex
import sys
import threading

import pytest

from convoy.pipeline import config, errors, hooks
from convoy.pipeline.commands import recipes

NEW = {"version": 3, "new": True, "returned_from": None}


def recipe(**given) -> config.Recipe:
    return config.parse({"name": "x", "task": "classification", **given})


def keeps(path) -> str:
    """A command that keeps what it is given."""
    code = f"import sys; open({str(path)!r}, 'w').write(sys.stdin.read())"
    return shlex.join([sys.executable, "-c", code])


@pytest.mark.parametrize(
    ("result", "called"),
    [
        (NEW, True),
        ({"version": 3, "new": False, "returned_from": 1}, True),
        ({"version": 1, "withdrawn": 2}, True),
        ({"version": 3, "new": False, "returned_from": None}, False),  # already there
        ({"pushed": False}, False),  # up to an earlier step
    ],
)
def test_on_push_is_called_where_another_model_is_served(tmp_path, result, called):
    hooks.pushed(recipe(on_push=keeps(tmp_path / "told")), result, pytest.fail)
    assert (tmp_path / "told").exists() == called
    if called:
        expected = {"name": "x", "exit_code": 0, **result}
        assert json.loads((tmp_path / "told").read_text()) == expected


@pytest.mark.parametrize(("code", "called"), [(1, True), (2, True), (3, True), (130, False)])
def test_on_failure(tmp_path, code, called):
    error = errors.Refused("not better", {"metrics": {"top1": 0.5}})
    hooks.failed(recipe(on_failure=keeps(tmp_path / "told")), error, code, pytest.fail)
    assert (tmp_path / "told").exists() == called
    if called:
        told = json.loads((tmp_path / "told").read_text())
        expected = {"error": "not better", "exit_code": code, "metrics": {"top1": 0.5}}
        assert told == {"name": "x", **expected}


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        ("sh -c 'echo no room; exit 7'", "on_push: sh failed, which changes nothing of the run: it "
         "ended with 7"),
        ("no-such-program --now", "on_push: no-such-program failed"),
        ("sleep 60", "on_push: sleep failed, which changes nothing of the run: it did not end "
         "within 0.5 s, and was ended"),
        ("http://127.0.0.1:9/secret", "127.0.0.1 failed, which changes nothing of the run: "
         "ConnectionError: no answer"),
    ],
)  # fmt: skip
def test_a_hook_that_fails_is_told(monkeypatch, hook, message):
    monkeypatch.setattr(hooks, "TIMEOUT_S", 0.5)
    said: list[str] = []
    hooks.pushed(recipe(on_push=hook), NEW, said.append)
    assert message in said[-1]
    assert "secret" not in said[-1]
    assert said[:-1] == (["on_push: no room"] if "room" in hook else [])


@pytest.mark.parametrize("status", [200, 500, 302])
def test_an_address_gets_the_result(status):
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], json.loads(content)))
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said: list[str] = []
    address = f"http://127.0.0.1:{server.server_port}/hook"
    hooks.pushed(recipe(on_push=address), NEW, said.append)
    server.shutdown()
    server.server_close()
    assert received == [("/hook", "application/json", {"name": "x", "exit_code": 0, **NEW})]
    assert len(said) == (status != 200)
    assert all(f"it answered {status}" in text for text in said)


def test_the_result_of_a_run_is_its_own(tmp_path, capsys):
    """Errors stay what they are, whatever the hook does; a plan calls nobody."""
    given = recipe(on_push="no-such-program", on_failure=keeps(tmp_path / "told"))
    assert recipes._told(given, False, lambda: NEW) == NEW
    assert "no-such-program failed" in capsys.readouterr().err

    def fails():
        raise errors.Refused("not better")

    with pytest.raises(errors.Refused, match="not better"):
        recipes._told(given, True, fails)
    assert not (tmp_path / "told").exists()
    with pytest.raises(errors.Refused, match="not better"):
        recipes._told(given, False, fails)
    assert json.loads((tmp_path / "told").read_text())["exit_code"] == 3


@pytest.mark.parametrize("hook", ["", "  ", "sh -c 'echo"])
def test_what_can_never_be_called_is_a_mistake_of_the_recipe(hook):
    with pytest.raises(errors.ConfigError, match=r"on_push: .*expected a command or an https://"):
        recipe(on_push=hook)
