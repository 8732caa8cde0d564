"""Fetching from a server on this machine, with every fault that servers have."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading

import numpy as np
import pytest

from convoy.data.fetch import fetch
from convoy.data.fetch import table as fetch_table
from convoy.data.fetch.table import File, Set
from convoy.data.files.files import SourceError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT under every path; what is wrong with it is said by the path's folder."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, str]] = []  # (path, Range)
        self.gate = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, fault, name="a.bin"):
        return f"http://127.0.0.1:{self.server_port}/{fault}/{name}"

    def handle_error(self, *_):
        pass  # clients that go away are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        fault = self.path.split("/")[1]
        asked = self.headers.get("Range", "")
        count = sum(path == self.path for path, _ in self.server.seen)
        self.server.seen.append((self.path, asked))
        if fault in ("404", "500"):
            return self.send_error(int(fault))
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", self.server.url("good"))
            return self.end_headers()
        content = CONTENT[:-1] + b"x" if fault == "other" else CONTENT
        content = b"<html>sign in</html>" if fault == "page" else content
        start = int(asked[6:].rstrip("-")) if asked and fault != "norange" else 0
        shift = 7 if fault == "shifted" and start else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start + shift}-{len(content) - 1}/{len(content)}"
            )
        body = content[start:]
        if fault == "packed":
            self.send_header("Content-Encoding", "x-gzip")  # servers say so of a .tgz itself
        if fault != "unsized":
            self.send_header("Content-Length", str(len(body) + (500 if fault == "long" else 0)))
        self.end_headers()
        if fault in ("cut", "norange", "shifted") and count < 2:
            body = body[: len(body) // 2]
        if fault == "dead":
            body = b"" if start else body[:1000]
        self.wfile.write(body[:1_500_000])
        if fault == "slow":
            self.wfile.flush()
            self.server.gate.wait(20)
        self.wfile.write(body[1_500_000:])
        self.close_connection = True


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.gate.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(server, tmp_path, monkeypatch):
    """Fetches a set of one file from servers with these faults, in order."""
    folder = tmp_path / "sets"

    def fetched(*faults, size=3_000_000, sha256=SHA256, md5="", **options):
        file = File("a.bin", tuple(map(server.url, faults)), size, sha256, md5)
        monkeypatch.setitem(fetch_table.SETS, "ours", Set("a set", "free", (file,)))
        said = []
        try:
            fetch.fetch("ours", folder, say=said.append, pause_s=0.001, **options)
        finally:
            fetched.said = "\n".join(said)
        assert (folder / "a.bin").read_bytes() == CONTENT
        assert not (folder / "a.bin.part").exists()

    fetched.folder = folder
    return fetched


@pytest.mark.parametrize("fault", ["good", "redirect", "unsized", "packed"])
def test_fetched_whole(run, server, fault):
    run(fault)
    assert "a set. Terms: free" in run.said
    assert "60 % of 3,000,000 bytes" in run.said
    assert all(asked == "" for _, asked in server.seen)


def test_a_second_time_nothing_is_asked_for_or_hashed(run, server, monkeypatch):
    run("good")
    count = len(server.seen)
    monkeypatch.setattr(fetch, "_hashes", None)
    run("good")
    run("good", offline=True)
    assert len(server.seen) == count


def test_a_changed_file_is_hashed_again_and_replaced(run):
    run("good")
    path = run.folder / "a.bin"
    path.write_bytes(b"x" + CONTENT[1:])
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match=r"1 of 1 files are missing or wrong"):
        run("good", offline=True)
    run("good")
    assert "not the file that was expected" in run.said


def test_a_cut_connection_is_resumed_where_it_was_cut(run, server):
    run("cut")
    asked = [asked for _, asked in server.seen]
    assert asked == ["", "bytes=1500000-", "bytes=2250000-"]
    assert "again in" in run.said


def test_a_server_without_ranges_starts_again(run, server):
    run("norange")
    assert [bool(asked) for _, asked in server.seen] == [False, True, True]


def test_bytes_from_elsewhere_are_refused(run):
    run("shifted", "good")
    assert "asked for bytes from 1500000, got them from 1500007" in run.said


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("404", "HTTP 404"),
        ("500", "HTTP 500"),
        ("other", "another file than expected"),
        ("page", "has 20 bytes, expected 3,000,000"),
        ("long", "has 3,000,500 bytes, expected 3,000,000"),
        ("dead", "cut|incomplete|IncompleteRead|broken"),
    ],
)
def test_the_next_mirror_is_asked(run, fault, why):
    run(fault, "good")
    assert any(part in run.said for part in why.split("|")), run.said


def test_without_any_good_mirror_nothing_is_left_under_the_name(run):
    with pytest.raises(SourceError) as caught:
        run("404", "other")
    for told in ("none of 2 addresses", "HTTP 404", "another file than expected", "--mirror"):
        assert told in str(caught.value)
    assert [path.name for path in run.folder.iterdir()] == [".fetch.lock"]


def test_a_part_of_an_earlier_run_is_completed(run, server):
    run.folder.mkdir()
    (run.folder / "a.bin.part").write_bytes(CONTENT[:2_000_000])
    run("good")
    assert [asked for _, asked in server.seen] == ["bytes=2000000-"]


@pytest.mark.parametrize("part", [b"x" * 2_000_000, b"x" * len(CONTENT), b"x" * 4_000_000])
def test_a_wrong_part_is_fetched_anew(run, part):
    run.folder.mkdir()
    (run.folder / "a.bin.part").write_bytes(part)
    run("good")


def test_md5_where_only_that_is_published(run):
    run("good", sha256="", md5=hashlib.md5(CONTENT).hexdigest())
    (run.folder / "a.bin").unlink()
    with pytest.raises(SourceError, match="another file than expected"):
        run("good", sha256="", md5="0" * 32)


def test_without_a_hash_it_is_noted(run, server):
    run.folder.mkdir()
    (run.folder / "a.bin.part").write_bytes(b"of something else")
    run("good", sha256="", size=None)
    assert f"noting sha256 {SHA256}" in run.said
    assert [asked for _, asked in server.seen] == [""]
    assert (run.folder / ".a.bin.sha256").read_text().startswith(SHA256)


def test_another_mirror_by_address(run, server):
    run("404", mirror=server.url("good", ""))
    assert [path for path, _ in server.seen] == ["/good/a.bin"]


def test_offline_says_what_is_missing_and_fetches_nothing(run, server):
    with pytest.raises(SourceError, match=r"a\.bin \(3,000,000 bytes\) http://127.*good/a\.bin"):
        run("good", offline=True)
    assert server.seen == []
    assert not run.folder.exists()


def test_a_full_disk_is_said_before(run, server):
    with pytest.raises(SourceError, match="1,000,000,000,000,000 bytes are to be fetched"):
        run("good", size=10**15)
    assert server.seen == []


def test_two_at_once_fetch_once(run, server, monkeypatch):
    file = File("a.bin", (server.url("slow"),), len(CONTENT), SHA256)
    monkeypatch.setitem(fetch_table.SETS, "ours", Set("a set", "free", (file,)))
    said, waiting = [], threading.Event()

    def say(text):
        said.append(text)
        if "waiting" in text:
            waiting.set()
            server.gate.set()

    threads = [
        threading.Thread(target=fetch.fetch, args=("ours", run.folder), kwargs={"say": say})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert waiting.is_set()
    assert len(server.seen) == 1
    assert (run.folder / "a.bin").read_bytes() == CONTENT


def test_interrupted_it_leaves_a_part(run, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch.time, "sleep", stop)
        with pytest.raises(KeyboardInterrupt):
            run("cut")
    assert (run.folder / "a.bin.part").read_bytes() == CONTENT[:1_500_000]
    run("good")


def test_sets_that_need_an_account_say_where_to_put_them(tmp_path):
    with pytest.raises(SourceError) as caught:
        fetch.fetch("imagenet2012", tmp_path, say=lambda _: None)
    for told in ("ILSVRC2012_img_train.tar (147,897,477,120 bytes)", "register at", str(tmp_path)):
        assert told in str(caught.value)


def test_an_unknown_set_lists_them():
    with pytest.raises(SourceError, match="expected tfds:NAME or one of voc2006, voc2007"):
        fetch.fetch("nosuch", ".")
    assert fetch.look_up("coco2017-val") is fetch_table.SETS["coco2017_val"]


def test_the_table_is_well_formed():
    for name, found in fetch_table.SETS.items():
        assert name == name.lower().replace("-", "_")
        assert found.title
        assert found.terms
        for file in found.files:
            assert bool(file.urls) != bool(found.account)
            assert all(url.startswith("http") and url.endswith(file.name) for url in file.urls)
            assert len(file.sha256) in (0, 64)
            assert len(file.md5) in (0, 32)
            assert set(file.sha256 + file.md5) <= set("0123456789abcdef")


def test_a_set_of_tfds_that_is_not_there(tmp_path):
    with pytest.raises(SourceError, match="tfds:no_such_set"):
        fetch.prepare_tfds("no_such_set", tmp_path)
    with pytest.raises(SourceError, match=r"not prepared in .*mnist.* run without --offline"):
        fetch.prepare_tfds("mnist", tmp_path, offline=True)
