"""The ingest and its statistics on Dask: a scheduler and three workers as processes of their own.

Runs where dask and distributed are (pip install 'convoy-vision[dask]'); Convoy does not need them.
"""

from __future__ import annotations

import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import PIL.Image
import pytest

from convoy.data.ingest import beam_job, dask_job
from convoy.data.ingest.shards import IngestError
from convoy.pipeline import cli
from convoy.pipeline.components import example_gen, statistics_gen
from convoy.pipeline.components.example_gen import Params

needs_dask = pytest.mark.usefixtures("dask_is_there")
PICTURES = 900


@pytest.fixture(scope="module")
def dask_is_there():
    pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(PICTURES):
        folder = top / ("val" if number % 5 == 0 else "train") / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 255, (160, 160, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(folder / f"{number}.png")  # of noise: 77 kB each
    return top


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, workers: int):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{port}"
        options = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        self.scheduler = self._start("scheduler", *options)
        options = (self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny")
        self.workers = [self._start("worker", *options) for _ in range(workers)]

    def _start(self, what: str, *options: str) -> subprocess.Popen:
        code = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"
        command = [sys.executable, "-c", code, what, *options]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    @property
    def options(self) -> tuple[str, ...]:
        return ("--runner=DaskRunner", f"--dask_client_address={self.address}")


@pytest.fixture
def cluster():
    started = Cluster(workers=3)
    yield started
    started.stop()


def ingest(source, out: pathlib.Path, beam=()) -> dict:
    params = Params(format="folder", shard_mb=0.5, beam=beam)
    example_gen.run({"source": source}, params, out)
    return json.loads((out / "manifest.json").read_text())


def records(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tfrecord")}


def kill_half_way(process: subprocess.Popen, folder: pathlib.Path, seen: list[int]) -> None:
    """Kills a process as soon as a few shards are written; notes how many there were."""

    def watch() -> None:
        end = time.monotonic() + 120
        while len(list(folder.glob("*.tfrecord"))) < 5 and time.monotonic() < end:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        seen.append(len(list(folder.glob("*.tfrecord"))))

    threading.Thread(target=watch, daemon=True).start()


@needs_dask
def test_three_workers_write_the_same_records_and_statistics(pictures, cluster, tmp_path):
    ours, theirs = tmp_path / "one", tmp_path / "dask"
    ingest(pictures, ours)
    workers: set[str] = set()
    finished = example_gen._counts

    def counts(shard, work):
        found = finished(shard, work)
        workers.add(found["worker"])
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(example_gen, "_counts", counts)
        manifest = ingest(pictures, theirs, cluster.options)
    expected = {process.pid for process in cluster.workers}
    assert {int(worker.split(":")[1]) for worker in workers} == expected
    assert sum(split["records"] for split in manifest["splits"].values()) == PICTURES
    assert len(records(ours)) > 100
    assert records(theirs) == records(ours)
    found = []
    for folder, beam in ((ours, ()), (theirs, cluster.options)):
        out = folder / "statistics"
        out.mkdir()
        statistics_gen.run({"examples": folder}, statistics_gen.Params(beam=beam), out)
        found.append((out / "stats.pb").read_bytes())
    assert found[0] == found[1]


@needs_dask
def test_a_worker_that_is_killed_half_way(pictures, cluster, tmp_path):
    seen: list[int] = []
    kill_half_way(cluster.workers[1], tmp_path / "dask", seen)
    manifest = ingest(pictures, tmp_path / "dask", cluster.options)
    shards = [name for split in manifest["splits"].values() for name in split["shards"]]
    assert seen[0] < len(shards)
    assert not list((tmp_path / "dask").glob(".*.tmp"))
    ingest(pictures, tmp_path / "one")
    assert records(tmp_path / "dask") == records(tmp_path / "one")


@needs_dask
def test_a_scheduler_that_is_killed_half_way(pictures, cluster, tmp_path, capfd):
    """Exit code 1, one message; the next run goes on from the shards that are there."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: x\ntask: classification\nrun_dir: {tmp_path}/run\n"
        f"data: {{format: folder, path: {pictures}}}\ningest: {{shard_mb: 0.5}}\n"
    )
    words = ["convoy", "ingest", str(recipe)]
    assert cli.main([*words, "--dry_run", "--json"]) == 0
    planned = json.loads(capfd.readouterr().out.splitlines()[-1])["artifacts"]["example_gen"]
    partial = pathlib.Path(f"{planned}.partial")
    seen: list[int] = []
    kill_half_way(cluster.scheduler, partial, seen)
    assert cli.main([*words, *cluster.options]) == 1
    told = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert told == [f"convoy: error: {dask_job.LOST}"]
    kept = {path.name: path.stat().st_mtime_ns for path in partial.glob("*.tfrecord")}
    assert 5 <= len(kept) < 100
    assert cli.main([*words, "--json"]) == 0
    made = {name: (pathlib.Path(planned) / name).stat().st_mtime_ns for name in kept}
    assert made == kept


@needs_dask
def test_a_cluster_that_cannot_do_the_work_is_told_before_it_starts(
    pictures, cluster, tmp_path, monkeypatch
):
    monkeypatch.setattr(dask_job, "WORKERS_WAIT_S", 1.0)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    options = ("--runner=DaskRunner", f"--dask_client_address=tcp://127.0.0.1:{port}")
    with pytest.raises(IngestError, match=f"no scheduler at tcp://127.0.0.1:{port}"):
        ingest(pictures, tmp_path / "a", options)
    monkeypatch.setattr(dask_job, "WORKERS_WAIT_S", 10.0)  # the scheduler starts meanwhile
    empty = Cluster(workers=0)
    try:
        with pytest.raises(IngestError, match="the scheduler has no workers after 10 s"):
            ingest(pictures, tmp_path / "b", empty.options)
    finally:
        empty.stop()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"sees": False}, r"worker w: does not see .* must share the run folder"),
        ({"code": "0123"}, r"worker w runs other code than this machine .*ingest 0123; here"),
        ({"python": "3.9.1"}, r"worker w runs other code than this machine \(Python 3\.9\.1, "),
        (ModuleNotFoundError("no convoy"), "worker w: cannot run Convoy's code: ModuleNotFound"),
    ],
)
def test_workers_that_would_write_something_else_are_named(tmp_path, answer, message):
    ours = dask_job._look(str(tmp_path))
    assert ours["sees"]
    dask_job._compare({"w": ours}, ours, tmp_path)
    answer = answer if isinstance(answer, Exception) else {**ours, **answer}
    with pytest.raises(IngestError, match=message):
        dask_job._compare({"w": answer}, ours, tmp_path)


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(IngestError, match=r"needs dask .*pip install 'convoy-vision\[dask\]'"):
        beam_job.run(
            lambda pipeline: None,
            ("--runner=DaskRunner", "--dask_client_address=tcp://127.0.0.1:1"),
            elements=1,
            size_bytes=1,
            shared=tmp_path,
        )


def test_errors_of_dask_in_our_words():
    killed = type("KilledWorker", (Exception,), {})("shard-3")
    assert "died 4 times in a row" in str(dask_job.explained(killed))
    cancelled = type("FutureCancelledError", (Exception,), {})("lost")
    assert str(dask_job.explained(cancelled)) == dask_job.LOST
    assert dask_job.explained(ValueError("of the work")) is None
