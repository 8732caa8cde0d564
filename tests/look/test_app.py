"""The pages without a browser: who may ask, what is escaped, one message for what goes wrong."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import shutil

import pytest

from convoy.pipeline.look import places
from convoy.pipeline.look.context import finite
from tests.look.asking import LINES, SAMPLES, Asked, write_records, write_run


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def records(tmp_path):
    return Asked(write_records(tmp_path / "records"))


@pytest.fixture
def run(tmp_path):
    return Asked(write_run(tmp_path / "birds"))


@pytest.mark.parametrize("path", ["/data", "/results", "/runs", "/try"])
def test_every_page_of_every_folder(records, run, path):
    for asked in (records, run):
        reply = asked.get(path)
        assert reply.status == 200, reply.text
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "<script src=" in reply.text or "no model" in reply.text
        for inline in ("<script>", "onclick", "style="):
            assert inline not in reply.text
        assert "http://" not in reply.text.replace("http://127.0.0.1:8000/a.jpg", "")
        assert "https://" not in reply.text


def test_what_a_page_loads_is_there(run):
    for path in ("/data", "/results", "/runs", "/try"):
        links = [part.split('"')[0] for part in run.get(path).text.split('="/static/')[1:]]
        assert len(links) > 3
        for link in links:
            assert run.get(f"/static/{link}").status == 200


def test_rows_and_pictures(records):
    found = records.get("/api/data").json
    assert (found["total"], found["of"], found["pages"]) == (5, 5, 1)
    row = found["rows"][0]
    assert row["id"] == "a/1.jpg"
    assert row["truth"]["objects"] == [
        {"box": [0, 0, 10, 10], "class": 0, "marks": []},
        {"box": [5, 5, 25, 25], "class": 1, "marks": []},
    ]
    assert records.get(row["picture"]).body == SAMPLES[0].image
    assert records.get(row["thumb"]).headers["content-type"] == "image/jpeg"
    one = records.get(f"/api/record/{found['records']}/1").json
    assert one["facts"]["size"] == "40 x 30 px"
    assert records.get("/api/data?class=1&split=val").json["total"] == 1
    assert records.get("/api/data?page=99").json["page"] == 1
    rejected = records.get("/api/rejected").json
    assert rejected["rows"][0]["reason"] == "bad_box"
    assert records.get("/api/rejected?reason=other").json["rows"] == []


def test_hostile_names_are_text(tmp_path):
    folder = tmp_path / "<script>alert(1)<"
    (asked := Asked(write_run(folder))).get("/api/data")
    for path in ("/data", "/results", "/runs", "/try"):
        text = asked.get(path).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)&lt;" in text
    assert "<b>AP50</b>" not in asked.get("/runs").text
    reply = asked.get("/api/data")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert asked.get("/<script>alert(2)").text.count("<script>alert") == 0


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/data?split=tset", 422, "no split 'tset'"),
        ("/api/data?page=x", 422, "page: expected a number, got 'x'"),
        ("/api/data?records=abc", 422, "are not there any more"),
        ("/api/record/abc/1", 422, "are not there any more"),
        ("/thumb/../../etc/passwd", 404, "there is no such page"),
        ("/static/..%2fapp.py", 404, "no file"),
        ("/static/../app.py", 404, "there is no such page"),
        ("/nothing", 404, "there is no such page"),
        ("/api/results", 422, "nothing is evaluated here yet"),
        ("/api/results/at?threshold=2", 422, "nothing is evaluated here yet"),
    ],
)
def test_what_goes_wrong_is_one_message(records, path, status, message):
    reply = records.get(path)
    assert reply.status == status
    assert message in reply.text.replace("&#39;", "'")
    assert "Traceback" not in reply.text
    assert records.get("/api/data").status == 200  # the page stays up


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *(
            ("127.0.0.1:8600", 200),
            ("localhost:8600", 200),
            ("[::1]:8600", 200),
            ("localhost", 200),
        ),
        *(("evil.example", 403), ("evil.example:8600", 403), ("127.0.0.1.evil.example", 403)),
        *(("", 403), ("10.0.0.5:8600", 403), ("[fe80::1]:8600", 403)),
    ],
)
def test_another_host_is_refused(records, host, status):
    assert records.get("/data", host=host).status == status


def test_from_elsewhere_only_with_the_token(tmp_path):
    asked = Asked(write_records(tmp_path / "records"), token="sesame-sesame")
    assert asked.get("/data").status == 403
    assert asked.get("/data?token=sesame").status == 403
    assert asked.get("/data", cookie="convoy_look=open").status == 403
    given = asked.get("/data?token=sesame-sesame&page=2", host="10.0.0.5:8600")
    assert (given.status, given.headers["location"]) == (303, "/data?page=2")
    assert "sesame" not in given.headers["location"]
    assert "httponly" in given.headers["set-cookie"].lower()
    assert "samesite=strict" in given.headers["set-cookie"].lower()
    cookie = given.headers["set-cookie"].split(";")[0]
    assert asked.get("/data", cookie=cookie, host="10.0.0.5:8600").status == 200
    away = asked.get("//evil.example/?token=sesame-sesame")
    assert away.headers["location"].startswith("/evil")


def test_names_that_are_no_utf8_and_numbers_that_are_none(tmp_path):
    named = dataclasses.replace(SAMPLES[3], source_id="b/\udcff.jpg", captions=("\udcfe",))
    folder = write_records(tmp_path / "records", [named])
    asked = Asked(folder)
    found = asked.get("/api/data").json
    assert (found["rows"][0]["id"], found["total"]) == ("b/\ufffd.jpg", 1)
    assert (
        asked.get(f"/api/record/{found['records']}/0").json["facts"]["source id"] == "b/\udcff.jpg"
    )
    assert finite({"a": [1.5, float("nan")], "b": float("inf")}) == {"a": [1.5, None], "b": None}


def test_another_site_cannot_ask(run):
    elsewhere = {"sec_fetch_site": "cross-site"}
    assert run.get("/api/runs", **elsewhere, sec_fetch_mode="no-cors").status == 403
    assert run.get("/data", **elsewhere, sec_fetch_mode="navigate").status == 200  # a link
    assert run.get("/api/runs", sec_fetch_site="same-origin").status == 200
    assert run.once("POST", "/api/try", b"x", {}).status == 403
    assert run.post("/api/try", b"x").status == 422


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("/etc/passwd", "lies outside of what this page may read"),
        ("{run}/../../../etc/passwd", "lies outside"),
        ("{run}/link", "lies outside"),
        ("{run}/none.jpg", "No such file"),
        ("{run}/config.yaml", "this is no picture that can be read"),
        ("http://example.com/a.jpg", "only http:// addresses of this machine"),
        ("http://127.0.0.1.example.com/a.jpg", "only http:// addresses of this machine"),
        ("http://127.0.0.1@example.com/a.jpg", "only http:// addresses of this machine"),
        ("http://169.254.169.254/a", "only http:// addresses of this machine"),
        ("file:///etc/passwd", "only http:// addresses of this machine"),
        ("http://127.0.0.1:99999/", "not an address"),
        ("http://127.0.0.1:9/", "ConnectionRefusedError"),
    ],
)
def test_what_may_be_named(run, tmp_path, named, message):
    top = tmp_path / "birds"
    (top / "link").symlink_to("/etc/passwd")
    reply = run.post(f"/api/try?named={named.format(run=top)}")
    assert reply.status == 422
    assert message in reply.json["error"]


def test_a_redirect_to_elsewhere_is_not_followed(run):
    import http.server
    import threading

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", "http://example.com/a.jpg")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    reply = run.post(f"/api/try?named=http://127.0.0.1:{server.server_port}/a.jpg")
    server.shutdown()
    server.server_close()
    assert "answered 302 Found" in reply.json["error"]


def test_results_by_hand(run):
    told = run.get("/api/results").json
    assert (told["threshold"], told["judged"], told["pictures"]) == (0.5, True, 2)
    assert told["metrics"] == {"AP50": 0.5, "AP": None, "top1": 0.25}
    at = run.get("/api/results/at?threshold=0.5").json
    assert (at["right"], at["kinds"]["background"], at["kinds"]["missed"]) == (1, 1, 0)
    assert at["cells"] == {"all": True, "cells": [[1, 1, 1.0], [-1, 0, 1.0]]}
    assert at["bins"]["right"][18] == at["bins"]["wrong"][12] == 1
    strict = run.get("/api/results/at?threshold=0.95").json
    assert strict["kinds"]["missed"] == 1
    assert told["curve"][0] == [0.0, 0.5, 1.0]
    found = run.get("/api/results/pictures?threshold=0.5").json
    assert [(row["id"], row["amount"]) for row in found["rows"]] == [("b/3.jpg", 0.6)]
    assert found["rows"][0]["errors"] == [["background", -1, 0]]
    for choice in ("cell=1,1", "bin=0.9-0.95&side=right", "bin=0.6-0.65", "kind=background"):
        rows = run.get(f"/api/results/pictures?threshold=0.5&{choice}").json["rows"]
        assert [row["id"] for row in rows] == ["b/3.jpg"], choice
    for choice in ("cell=0,1", "bin=0.9-0.95&side=wrong", "kind=missed"):
        assert run.get(f"/api/results/pictures?threshold=0.5&{choice}").json["total"] == 0
    reply = run.get("/api/results/pictures?threshold=0.5&kind=blur")
    assert "no kind of error is called 'blur'" in reply.json["error"]
    assert run.get("/api/results/pictures?threshold=x").status == 422


def test_two_evaluations_side_by_side(tmp_path):
    better = ({**LINES[0], "scores": [0.9, 0.1]}, LINES[1])
    asked = Asked(write_run(write_run(tmp_path / "birds"), better, name="k22"))
    keys = list(asked.context.places.evaluations()[0])  # the newest first
    query = f"/api/results/compared?threshold=0.5&evaluation={keys[1]}&other={keys[0]}"
    told = asked.get(query).json
    assert (told["better"], told["worse"], told["same"], told["total"]) == (1, 0, 1, 1)
    (row,) = told["rows"]
    assert (row["id"], row["amount"], row["then"]) == ("b/3.jpg", 0.6, 0.0)
    assert [len(row[name]["objects"]) for name in ("found", "other")] == [2, 1]


def test_runs_that_are_not_whole(tmp_path):
    """A run without anything yet, one whose recipe is cut, one of another version."""
    write_run(tmp_path / "runs" / "good")
    (tmp_path / "runs" / "begun" / "artifacts" / "trainer" / "x.partial").mkdir(parents=True)
    (tmp_path / "runs" / "begun" / "config.yaml").write_text("name: begun\n")
    cut = tmp_path / "runs" / "cut"
    shutil.copytree(tmp_path / "runs" / "good", cut)
    (cut / "config.yaml").write_text("name: [")
    old = write_run(tmp_path / "runs" / "old")
    (old / "artifacts/evaluator/k1/run.json").write_text('{"started": "2020", "params": {}}')
    asked = Asked(tmp_path / "runs")
    text = asked.get("/runs").text
    assert text.count("cannot be read as a run") == 2
    assert "Not finished: begun, cut, good, old" in text
    assert asked.get("/api/results").json["verdict"].startswith("Refused")
    assert asked.get("/api/data").json["total"] == 5
    empty = Asked(tmp_path / "runs" / "begun")
    for path in ("/data", "/results", "/runs", "/try"):
        assert empty.get(path).status == 200
    assert "no records yet" in empty.get("/api/data").json["error"]
    assert "nothing is evaluated here yet" in empty.get("/api/results").json["error"]
    assert "nothing is trained here yet" in empty.post("/api/try", b"x").json["error"]


def test_a_training_that_was_given_up_leaves_a_finished_run(tmp_path):
    """What lies aside from before the result is not under way; from after it, it is."""
    good = write_run(tmp_path / "good")
    left = good / "artifacts" / "trainer" / "x.partial" / "checkpoint"
    left.parent.mkdir(parents=True)
    left.write_text("")
    (good / "result.json").write_text("{}")
    os.utime(left, (1e9, 1e9))
    assert "Not finished" not in Asked(good).get("/runs").text
    os.utime(left)
    os.utime(good / "result.json", (1e9, 1e9))
    assert "Not finished: good" in Asked(good).get("/runs").text


def test_what_was_removed_is_named(run, tmp_path):
    store = tmp_path / "birds" / "artifacts"
    assert run.get("/api/results").status == 200
    (store / "evaluator/k1/predictions.jsonl").rename(tmp_path / "aside")
    assert "the answers of this evaluation were removed" in run.get("/api/results").json["error"]
    (tmp_path / "aside").rename(store / "evaluator/k1/predictions.jsonl")
    shutil.rmtree(store / "example_gen")
    assert "were removed" in run.get("/api/results").json["error"]
    assert run.get("/runs").status == 200


def test_a_picture_that_was_deleted(tmp_path):
    folder = write_records(tmp_path / "records")
    asked = Asked(folder)
    rows = asked.get("/api/data").json["rows"]
    (folder / "val-00000-of-00001.tfrecord").unlink()
    assert asked.get(rows[3]["picture"]).status == 422
    again = asked.get("/api/data").json["rows"]
    assert ["error" in row for row in again] == [False, False, False, True, True]
    assert "the records were removed" in again[3]["error"]


def test_two_viewers_at_once(tmp_path):
    """Both wait for one index, and get the same."""
    asked = Asked(write_records(tmp_path / "records"))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(asked.get, ["/api/data?class=1", "/api/data"] * 8))
    assert {reply.status for reply in replies} == {200}
    assert {reply.json["total"] for reply in replies[::2]} == {2}
    assert {reply.json["total"] for reply in replies[1::2]} == {5}


def test_tasks_that_cannot_be_compared(tmp_path):
    lines = [{"source_id": line["source_id"], "scores": [1, 0, 0]} for line in LINES]
    run = write_run(write_run(tmp_path / "birds"), lines, "classification", name="k22")
    asked = Asked(run)
    keys = list(asked.context.places.evaluations()[0])
    reply = asked.get(f"/api/results/compared?evaluation={keys[0]}&other={keys[1]}")
    assert "their answers cannot be compared" in reply.json["error"]


def test_records_of_another_version(tmp_path):
    folder = write_records(tmp_path / "records")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 99}))
    reply = Asked(folder).get("/api/data")
    assert "schema_version 99, this program reads up to 1" in reply.json["error"]


def test_answers_of_other_records(tmp_path):
    asked = Asked(write_run(tmp_path / "birds", LINES[::-1]))
    reply = asked.get("/api/results")
    assert "these are not the records that were evaluated" in reply.json["error"]
    assert asked.get("/api/data").status == 200


@pytest.mark.parametrize("content", [None, {"a.txt": "x"}])
def test_a_folder_that_is_nothing_of_ours(tmp_path, content):
    folder = tmp_path / "folder"
    if content:
        folder.mkdir()
        (folder / "a.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match="expected a run"):
        places.of(str(folder))
