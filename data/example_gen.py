"""The ingest job in Apache Beam: one element is one shard, a file with its list of references.

No picture travels between Beam steps; sending them one by one was 10 times slower. A DoFn reads,
checks, copies, encodes and writes its shard (shards.write), and what is left of Beam is to bring
shards to workers, on this machine or on any portable runner that shares the file system.

`--runner=DirectRunner` means Beam's FnApiRunner here. Since 2.6x Beam's own DirectRunner first
tries Prism, a Go program that it downloads: that needs a network and reports errors differently.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
from collections.abc import Sequence

import apache_beam as beam
from absl import logging
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

from data import shards
from data.shards import IngestError, Shard, Work
from data.sources import source

_DIRECT = (None, "DirectRunner", "SwitchingDirectRunner", "FnApiRunner")
_ROOT = str(pathlib.Path(__file__).resolve().parent.parent)
PROCESSES_PAY_BYTES = 4 << 30  # of pictures: what it takes to make up for starting processes


class WriteShard(beam.DoFn):
    """File of a Shard -> the shard's name. Counters: records, rejected."""

    def __init__(self, work: Work):
        self.work = work
        self.records = beam.metrics.Metrics.counter("ingest", "records")
        self.rejected = beam.metrics.Metrics.counter("ingest", "rejected")

    def setup(self):
        source(self.work.format)  # imports count as starting, not as writing

    def process(self, plan: str):
        shard = Shard.load(plan)
        counts = shards.write(shard, self.work)
        self.records.inc(counts["records"])
        self.rejected.inc(len(counts["rejected"]))
        logging.info("%s: %d records", shard.name, counts["records"])
        yield shard.name


def run(todo: Sequence[Shard], work: Work, arguments: Sequence[str] = ()) -> None:
    """Writes the shards by a Beam job with these pipeline options. Raises IngestError.

    The references lie in files beside the records while the job runs: for ImageNet they are too
    large for a job's message.
    """
    folder = pathlib.Path(work.folder, ".plan")
    folder.mkdir(exist_ok=True)
    try:
        plans = [folder / f"{shard.name}.pickle" for shard in todo]
        try:
            for shard, plan in zip(todo, plans, strict=True):
                shard.save(plan)
        except OSError as error:
            need = sum(shards.bytes_needed(shard, work) for shard in todo)
            raise shards.explained(error, folder, need) from error
        _run([str(plan) for plan in plans], todo, work, arguments)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(plans: list[str], todo: Sequence[Shard], work: Work, arguments: Sequence[str]) -> None:
    runner, options = runner_and_options(arguments, todo, work)
    direct = isinstance(runner, FnApiRunner)
    pipeline = beam.Pipeline(runner=runner, options=options)
    _ = (
        pipeline
        | "Shards" >> beam.Create(plans, reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.ParDo(WriteShard(work))
    )
    restore = _offer_code_to_workers() if direct else lambda: None
    try:
        result = pipeline.run()
        state = result.wait_until_finish()
    except Exception as error:
        raise _explained(error) from error
    finally:
        restore()
    if state not in (PipelineState.DONE, None):
        raise IngestError(f"the Beam job ended as {state}; see the log of {type(runner).__name__}")


def runner_and_options(
    arguments: Sequence[str], todo: Sequence[Shard], work: Work
) -> tuple[PipelineRunner, PipelineOptions]:
    """Checks the options and chooses the runner; without any, all cores of this machine."""
    try:
        options = PipelineOptions(list(arguments))
        runner = options.view_as(StandardOptions).runner
        direct = options.view_as(DirectOptions)
    except (SystemExit, ValueError):  # argparse, on a bad value
        raise IngestError(f"ingest.beam: {list(arguments)}: Beam does not take these") from None
    if runner is not None and runner.rpartition(".")[2] not in _DIRECT:
        return _other_runner(runner), options
    given = " ".join(arguments)
    if "--direct_num_workers" not in given and "--direct_running_mode" not in given:
        workers = min(os.cpu_count() or 1, len(todo))
        size = sum(shards.bytes_needed(shard, work) for shard in todo)
        direct.direct_num_workers = workers
        # Threads start in 0.3 s and share one TensorFlow; hashing, files and PIL release the GIL.
        # Processes start in 4 s and more, and pay on large sets.
        large = size > PROCESSES_PAY_BYTES
        direct.direct_running_mode = "multi_processing" if large else "multi_threading"
    if "--default_sdk_harness_log_level" not in given:
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "ERROR"
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(provision)), options


def _other_runner(name: str) -> PipelineRunner:
    try:
        return create_runner(name)
    except Exception as error:  # by the runner: unknown name, missing package, ...
        raise IngestError(f"ingest.beam: --runner={name}: {error}") from error


def _offer_code_to_workers():
    """Worker processes import this package wherever they start; returns what undoes it."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = _ROOT + (os.pathsep + before if before else "")

    def restore():
        if before is None:
            os.environ.pop("PYTHONPATH", None)
        else:
            os.environ["PYTHONPATH"] = before

    return restore


def _explained(error: Exception) -> IngestError:
    """Our own message out of a traceback that came back from a worker as text."""
    if isinstance(error, IngestError):
        return error
    found = re.search(r"IngestError: (.+?)(?: \[while running .*)?$", str(error), re.MULTILINE)
    if found:
        return IngestError(found[1])
    lines = [line for line in str(error).splitlines() if line.strip()]
    last = lines[-1].strip() if lines else type(error).__name__
    return IngestError(f"the Beam job failed: {type(error).__name__}: {last}")
