"""The ingest job on a portable job server with an external worker pool, as on Flink or Spark."""

import os
import pathlib
import sys

import pytest

from convoy.pipeline.components import example_gen
from tests.components.test_example_gen import ingest, records
from tests.data import build

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def endpoints(tmp_path, monkeypatch):
    """Addresses of a job server in this process, and of a pool that starts worker processes."""
    from apache_beam.runners.portability.local_job_service import LocalJobServicer
    from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

    bin_folder = pathlib.Path(sys.executable).parent  # the pool starts workers as "python"
    monkeypatch.setenv("PATH", f"{bin_folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    server = LocalJobServicer(str(tmp_path / "staging"))
    port = server.start_grpc_server(0)
    address, pool = BeamFnExternalWorkerPoolServicer.start(port=0, use_process=True)
    yield f"localhost:{port}", address
    pool.stop(1)
    server.stop()


def test_portable_runner_writes_the_same_records(endpoints, tmp_path):
    job, pool = endpoints
    root = build.voc(tmp_path / "in", count=20)
    options = (
        "--runner=PortableRunner",
        f"--job_endpoint={job}",
        "--environment_type=EXTERNAL",
        f"--environment_config={pool}",
    )
    ingest(root, tmp_path / "portable", shard_mb=0.002, beam=options)
    ingest(root, tmp_path / "direct", shard_mb=0.002)
    assert len(records(tmp_path / "direct")) > 4
    assert records(tmp_path / "portable") == records(tmp_path / "direct")


def test_unknown_runner_is_explained(tmp_path):
    root = build.voc(tmp_path / "in", count=20)
    options = ("--runner=NoSuchRunner",)
    with pytest.raises(example_gen.IngestError, match="NoSuchRunner"):
        ingest(root, tmp_path / "out", beam=options)
