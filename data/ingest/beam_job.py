"""Running a Beam job: which runner, with how many workers, and its errors in our own words.

`--runner=DirectRunner` means Beam's FnApiRunner here. Since 2.6x Beam's own DirectRunner first
tries Prism, a Go program that it downloads: that needs a network and reports errors differently.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import (
    ExtendedProvisionInfo,
    FnApiRunner,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner, PipelineState, create_runner

from convoy.data.ingest import dask_job
from convoy.data.ingest.shards import IngestError

_DIRECT = (None, "DirectRunner", "SwitchingDirectRunner", "FnApiRunner")
PROCESSES_PAY_BYTES = 4 << 30  # of pictures: what it takes to make up for starting processes


def run(
    build: Callable[[beam.Pipeline], Any],
    arguments: Sequence[str],
    *,
    elements: int,
    size_bytes: int,
    shared: pathlib.Path,
) -> None:
    """Runs what `build` adds to a pipeline, with these Beam options. Raises IngestError.

    elements: what workers can share; size_bytes: what they read. Both choose the workers where the
    options do not. shared: a folder that all workers must see.
    """
    runner, options = _runner_and_options(arguments, elements, size_bytes)
    if type(runner).__name__ == dask_job.NAME:
        options = dask_job.prepared(options, elements, shared)
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline)
    try:
        result = pipeline.run()
        state = result.wait_until_finish()
        if type(runner).__name__ == dask_job.NAME:
            dask_job.finish(result)
    except Exception as error:
        raise _explained(error) from error
    if state not in (PipelineState.DONE, None):
        raise IngestError(f"the Beam job ended as {state}; see the log of {type(runner).__name__}")


def _runner_and_options(
    arguments: Sequence[str], elements: int, size_bytes: int
) -> tuple[PipelineRunner, PipelineOptions]:
    """Checks the options and chooses the runner; without any, all cores of this machine."""
    try:
        options = PipelineOptions(list(arguments))
        runner = options.view_as(StandardOptions).runner
        direct = options.view_as(DirectOptions)
    except (SystemExit, ValueError):  # argparse, on a bad value
        raise IngestError(f"ingest.beam: {list(arguments)}: Beam does not take these") from None
    if runner is not None and runner.rpartition(".")[2] not in _DIRECT:
        return _named_runner(runner), options
    flags = " ".join(arguments)
    if "--direct_num_workers" not in flags and "--direct_running_mode" not in flags:
        direct.direct_num_workers = min(os.cpu_count() or 1, elements)
        # Threads start in 0.3 s and share one TensorFlow; hashing, files and PIL release the GIL.
        # Processes start in 4 s and more, and pay on large sets.
        large = size_bytes > PROCESSES_PAY_BYTES
        direct.direct_running_mode = "multi_processing" if large else "multi_threading"
    if "--default_sdk_harness_log_level" not in flags:
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "ERROR"
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(provision)), options


def _named_runner(name: str) -> PipelineRunner:
    if name == dask_job.NAME:
        return dask_job.runner()
    try:
        return create_runner(name)
    except Exception as error:  # by the runner: unknown name, missing package, ...
        raise IngestError(f"ingest.beam: --runner={name}: {error}") from error


def _explained(error: Exception) -> IngestError:
    """Our own message out of a traceback that came back from a worker as text."""
    if isinstance(error, IngestError):
        return error
    if known := dask_job.explained(error):
        return known
    match = re.search(r"IngestError: (.+?)(?: \[while running .*)?$", str(error), re.MULTILINE)
    if match:
        return IngestError(match[1])
    lines = [line for line in str(error).splitlines() if line.strip()]
    last = lines[-1].strip() if lines else type(error).__name__
    return IngestError(f"the Beam job failed: {type(error).__name__}: {last}")
