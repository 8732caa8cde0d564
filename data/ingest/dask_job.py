"""Beam's DaskRunner: what must be right before a job starts, and what ends one in Dask's own words.

Checked with apache-beam 2.77 and dask 2026.8. Beam puts 128 elements into a partition unless told
otherwise, so that one worker would do everything: an element here is a shard, and each gets a
partition of its own.
"""

from __future__ import annotations

import logging
import os
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineRunner

from convoy.data.ingest.shards import IngestError

NAME = "DaskRunner"
ATTEMPTS = 3  # of a shard whose worker dies; Dask's own is 3 further ones
WORKERS_WAIT_S = 30.0
CLOSE_S = 5.0
LOST = (
    "the Dask scheduler is gone, or dropped the job; start it and its workers and run again: "
    "finished shards are kept"
)


def runner() -> PipelineRunner:
    """Beam's, which it does not know by name alone. Raises IngestError without dask."""
    try:
        import distributed  # noqa: F401
        from apache_beam.runners.dask.dask_runner import DaskRunner
    except ImportError as error:
        raise IngestError(
            f"--runner={NAME} needs dask and distributed ({error}); install them with "
            "pip install 'convoy-vision[dask]'"
        ) from None
    for name in ("distributed", "distributed.client"):  # their tracebacks of a lost scheduler
        if not logging.getLogger("apache_beam").isEnabledFor(logging.DEBUG):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return DaskRunner()


def prepared(options: PipelineOptions, elements: int, shared: pathlib.Path) -> PipelineOptions:
    """Options with one element per partition where the user says nothing of partitions.

    shared: a folder that the workers must share with this process. Looks at the cluster, where
    there is an address of one. Raises IngestError where the job could not run there.
    """
    import distributed
    from apache_beam.runners.dask.dask_runner import DaskOptions

    own = options.view_as(DaskOptions)
    if own.npartitions is None and own.partition_size is None:
        own.npartitions = max(elements, 1)
    if own.address or own.scheduler_file:
        where = own.address or f"the scheduler of {own.scheduler_file}"
        given = {"address": own.address, "scheduler_file": own.scheduler_file}
        try:
            client = distributed.Client(**given, timeout=own.timeout or WORKERS_WAIT_S)
        except (OSError, ValueError, TimeoutError) as error:
            raise IngestError(f"--dask_client_address: no scheduler at {where}: {error}") from None
        with client:
            _check(client, where, shared)
    return options


def _check(client: Any, where: str, shared: pathlib.Path) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_WAIT_S)
    except TimeoutError:
        raise IngestError(
            f"{where}: the scheduler has no workers after {WORKERS_WAIT_S:g} s; start some with "
            f"`dask worker {where}`"
        ) from None
    token = shared / f".dask-{uuid.uuid4().hex}.tmp"
    token.touch()
    try:
        answers = client.run(_look, str(token), on_error="return")
    finally:
        token.unlink()
    _compare(answers, {**_look(str(token)), "sees": True}, shared)


def _compare(answers: Mapping[str, Any], ours: Mapping[str, Any], shared: pathlib.Path) -> None:
    """Raises IngestError for the first worker that is not as this process."""
    for worker, answer in answers.items():
        if isinstance(answer, Exception):
            raise IngestError(
                f"worker {worker}: cannot run Convoy's code: {type(answer).__name__}: {answer}; "
                "install the same Convoy in every worker's environment"
            )
        if answer["code"] != ours["code"] or answer["python"] != ours["python"]:
            raise IngestError(
                f"worker {worker} runs other code than this machine (Python {answer['python']}, "
                f"ingest {answer['code']}; here {ours['python']}, {ours['code']}): install the "
                "same Convoy in every worker's environment"
            )
        if not answer["sees"]:
            raise IngestError(
                f"worker {worker}: does not see {shared} of this machine: the workers must share "
                "the run folder and the data with it, under the same paths"
            )


def _look(token: str) -> dict[str, Any]:
    """What a worker has: which code, and whether it sees a file of the starting machine."""
    import hashlib
    import platform

    from convoy.data.ingest import shards

    folder = pathlib.Path(shards.__file__).parents[1]
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        sha.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return {
        "code": sha.hexdigest()[:12],
        "python": platform.python_version(),
        "sees": os.path.exists(token),
    }


def finish(result: Any) -> None:
    """After the wait. Raises IngestError where it ended because the scheduler did.

    Beam takes futures that were lost with the scheduler for done.
    """
    ended = [future.status for future in result.futures]
    lost = result.client.status != "running" or any(status != "finished" for status in ended)
    result.client.close(timeout=CLOSE_S)
    if lost:
        raise IngestError(LOST)


def explained(error: Exception) -> IngestError | None:
    """A message for what Dask itself ends a job with; None for errors of the work."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if "KilledWorker" in names:
        return IngestError(
            f"the Dask workers that wrote a shard died {ATTEMPTS + 1} times in a row, perhaps of "
            f"too little memory; see their logs ({error})"
        )
    if names & {"CommClosedError", "FutureCancelledError", "CancelledError", "ClosedClientError"}:
        return IngestError(LOST)
    return None
