"""Artifacts: found again, made once, never half there."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

import pytest

from convoy.pipeline import artifacts
from convoy.pipeline.artifacts import Artifact
from convoy.pipeline.config import Export, Push
from convoy.pipeline.store import execute, of_files

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE = "0123"


def writes(text: str, log: list | None = None):
    """A component that writes one file and notes that it ran."""

    def run(inputs, params, workdir):
        if log is not None:
            log.append(sorted(inputs))
        (workdir / "out.txt").write_text(text)

    return run


def make(tmp_path, run=None, *, inputs=None, params=None, code=CODE, **options) -> Artifact:
    return execute(
        "maker",
        run or writes("hello"),
        inputs=inputs or {},
        params={"size": 3} if params is None else params,
        store=tmp_path / "store",
        code=code,
        **options,
    )


def test_runs_once_and_is_found_again(tmp_path):
    log: list = []
    first = make(tmp_path, writes("one", log))
    again = make(tmp_path, writes("two", log))
    assert (first.cached, again.cached) == (False, True)
    assert (first.path, first.key) == (again.path, again.key)
    assert log == [[]]
    assert (again.path / "out.txt").read_text() == "one"
    assert again.path == tmp_path / "store" / "maker" / again.key
    record = json.loads((again.path / "run.json").read_text())
    assert (record["component"], record["key"], record["params"]) == (
        "maker",
        again.key,
        {"size": 3},
    )


def test_a_plan_runs_nothing(tmp_path):
    planned = make(tmp_path, plan=True)
    assert not planned.cached
    assert not (tmp_path / "store").exists()
    done = make(tmp_path)
    assert make(tmp_path, plan=True) == Artifact(done.path, planned.key, cached=True)


def test_parameters_are_part_of_the_key(tmp_path):
    keys = [
        make(tmp_path, params=params).key
        for params in (
            {"size": 3},
            {"size": 4},
            {"size": 3, "more": 0},
            Push(),
            Push(keep=4),
            Export(),
        )
    ]
    assert len(set(keys)) == 6
    assert make(tmp_path, params=Push()).cached


def test_raw_inputs_count_by_name_size_and_time(tmp_path):
    folder = tmp_path / "raw"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.txt").write_text("abc")
    os.utime(folder / "deep" / "a.txt", ns=(1, 1_000))

    def key():
        return make(tmp_path, inputs={"raw": folder}).key

    first = key()
    assert key() == first
    os.utime(folder / "deep" / "a.txt", ns=(1, 2_000))
    touched = key()
    (folder / "deep" / "a.txt").write_text("abcd")
    os.utime(folder / "deep" / "a.txt", ns=(1, 2_000))
    grown = key()
    (folder / "deep" / "a.txt").rename(folder / "b.txt")
    moved = key()
    assert len({first, touched, grown, moved}) == 4


def test_artifacts_as_inputs_count_by_their_key(tmp_path):
    one, two = Artifact(tmp_path / "x", "k1", True), Artifact(tmp_path / "y", "k1", False)
    other = Artifact(tmp_path / "x", "k2", True)
    first = make(tmp_path, inputs={"examples": one})
    assert make(tmp_path, inputs={"examples": two}).cached
    assert make(tmp_path, inputs={"examples": other}).key != first.key
    assert make(tmp_path, inputs={"model": one}).key != first.key


def test_the_code_is_part_of_the_key(tmp_path):
    first = make(tmp_path, code="one")
    assert make(tmp_path, code="one").cached
    assert make(tmp_path, code="two").key != first.key


def test_an_input_can_count_by_some_of_its_files(tmp_path):
    """Another evaluation with the same numbers and another verdict exports nothing anew."""
    folders = [tmp_path / "k1", tmp_path / "k2"]
    for folder in folders:
        folder.mkdir()
        (folder / "metrics.json").write_text('{"AP50": 0.5}')
        (folder / "gate.json").write_text(folder.name)
    one, two = (
        of_files(Artifact(folder, folder.name, True), ("metrics.json",)) for folder in folders
    )
    first = make(tmp_path, inputs={"evaluation": one})
    assert make(tmp_path, inputs={"evaluation": two}).cached
    (folders[1] / "metrics.json").write_text('{"AP50": 0.6}')
    other = of_files(Artifact(folders[1], "k2", True), ("metrics.json",))
    assert make(tmp_path, inputs={"evaluation": other}).key != first.key
    planned = Artifact(tmp_path / "nowhere", "k3", False)
    assert of_files(planned, ("metrics.json",)) == planned


class growth:
    """What grows by counting: a text of `size` letters."""

    size = staticmethod(lambda params: (params["size"],) if "size" in params else None)
    goes_on = staticmethod(lambda smaller, whole, size: whole and smaller < size)
    reached = staticmethod(lambda folder: len((folder / "out.txt").read_text()))
    without = staticmethod(lambda params: {k: v for k, v in params.items() if k != "size"})

    @staticmethod
    def begin(smaller, workdir, size):
        (workdir / "begun.txt").write_text((smaller / "out.txt").read_text())
        return f"from {smaller.name} to {size[0]}"


def test_what_grows_begins_from_the_largest_smaller_one(tmp_path):
    told: list[str] = []

    def grown(size, letter="a", **options):
        def run(inputs, params, workdir):
            begun = workdir / "begun.txt"
            before = begun.read_text() if begun.exists() else ""
            (workdir / "out.txt").write_text(before + letter * (params["size"] - len(before)))

        params = {"size": size, "kind": "x", **options}
        return make(tmp_path, run, params=params, grows=growth, tell=told.append)

    def text(artifact):
        return (artifact.path / "out.txt").read_text()

    two = grown(2)
    assert (text(two), told) == ("aa", [])
    three, five = grown(3, "b"), grown(5, "c")
    assert (text(three), text(five)) == ("aab", "aabcc")
    assert told == [f"maker: from {two.key} to 3", f"maker: from {three.key} to 5"]
    assert text(grown(4, "d")) == "aabd"
    assert text(grown(1, "e")) == "e"
    assert text(grown(6, "f", kind="y")) == "ffffff"  # of another kind
    again = [grown(size, "z") for size in (2, 3, 5)]
    assert [(one.cached, text(one)) for one in again] == [
        (True, "aa"),
        (True, "aab"),
        (True, "aabcc"),
    ]


def test_what_a_killed_process_was_writing_is_removed_when_its_work_goes_on(tmp_path):
    def fails(inputs, params, workdir):
        (workdir / "deep").mkdir(exist_ok=True)
        for name in ("deep/.step.npz.7.tmp", "aside-7.weights.h5", ".schema.7.new", "kept.npz"):
            (workdir / name).write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        make(tmp_path, fails)
    done = make(tmp_path)
    assert sorted(path.name for path in done.path.rglob("*") if path.is_file()) == [
        "kept.npz",
        "out.txt",
        "run.json",
    ]


def test_a_missing_input_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such file or folder"):
        make(tmp_path, inputs={"raw": tmp_path / "nowhere"})


def test_a_failed_run_leaves_no_artifact_and_its_rerun_goes_on(tmp_path):
    def fails(inputs, params, workdir):
        (workdir / "part.txt").write_text("begun")
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        make(tmp_path, fails)
    left = sorted(path.suffix for path in (tmp_path / "store" / "maker").iterdir())
    assert left == [".lock", ".partial"]
    done = make(tmp_path)
    assert not done.cached
    assert sorted(path.name for path in done.path.iterdir()) == ["out.txt", "part.txt", "run.json"]


SLOW = """
import pathlib, sys, time
sys.path.insert(0, {root!r})
from convoy.pipeline.store import execute

def run(inputs, params, workdir):
    with open(workdir / "ran.txt", "a") as file:
        file.write(sys.argv[2] + "\\n")
    while not pathlib.Path(sys.argv[3]).exists():
        time.sleep(0.01)

done = execute("maker", run, inputs={{}}, params={{}}, store=pathlib.Path(sys.argv[1]),
               code="")
print(done.cached, (done.path / "ran.txt").read_text().split())
"""


def start(tmp_path, name: str, release: pathlib.Path) -> subprocess.Popen:
    """A process that makes an artifact and is not done before `release` exists."""
    program = SLOW.format(root=str(ROOT))
    arguments = [str(tmp_path / "store"), name, str(release)]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True
    )


def wait_for(pattern: str, folder: pathlib.Path) -> pathlib.Path:
    for _ in range(3000):
        found = list(folder.glob(pattern))
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"no {pattern} in {folder}")


def test_a_killed_run_leaves_only_its_partial_folder(tmp_path):
    release = tmp_path / "release"
    killed = start(tmp_path, "killed", release)
    wait_for("store/maker/*.partial/ran.txt", tmp_path)
    killed.kill()
    killed.communicate()
    left = sorted(path.suffix for path in (tmp_path / "store" / "maker").iterdir())
    assert left == [".lock", ".partial"]
    release.touch()
    out, _ = start(tmp_path, "second", release).communicate(timeout=60)
    assert out.strip() == "False ['killed', 'second']"


def test_a_second_process_waits_and_finds_it_done(tmp_path):
    release = tmp_path / "release"
    first = start(tmp_path, "first", release)
    wait_for("store/maker/*.partial/ran.txt", tmp_path)
    second = start(tmp_path, "second", release)
    time.sleep(0.3)
    assert second.poll() is None
    release.touch()
    assert first.communicate(timeout=60)[0].strip() == "False ['first']"
    assert second.communicate(timeout=60)[0].strip() == "True ['first']"


def test_a_follower_works_in_the_chiefs_folder(tmp_path):
    chief = make(tmp_path, plan=True)
    log: list = []
    followed = make(tmp_path, writes("from a worker", log), follow=True)
    assert (followed.path, followed.cached, log) == (chief.path, False, [[]])
    assert not chief.path.exists()
    assert (chief.path.parent / f"{chief.key}.partial" / "out.txt").read_text() == "from a worker"


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "value.json"
    artifacts.write_json(path, {"n": 0, "filler": "x" * 200_000})
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            seen.add((json.loads(path.read_text())["n"], path.stat().st_size > 200_000))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        artifacts.write_json(path, {"n": number, "filler": "x" * 200_000})
    stop.set()
    reader.join()
    assert all(whole for _, whole in seen)
    assert {number for number, _ in seen} <= set(range(40))
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "value.json"
    artifacts.write_json(path, [1])
    with pytest.raises(TypeError):
        artifacts.write_json(path, {(1, 2): "keys of JSON are text"})
    assert json.loads(path.read_text()) == [1]


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="folder is a folder: expected the name of a file"):
        artifacts.write_bytes(tmp_path / "folder", b"x")
    with pytest.raises(FileNotFoundError, match=r"a.png: no folder .*missing to write it into"):
        artifacts.write_bytes(tmp_path / "missing" / "a.png", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
