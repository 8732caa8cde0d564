"""The ingest job in Apache Beam: one element is one shard, a file with its list of references.

No picture travels between Beam steps; sending them one by one was 10 times slower. A DoFn reads,
checks, copies, encodes and writes its shard (shards.write), and what is left of Beam is to bring
shards to workers, on this machine or on any portable runner that shares the file system.
"""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Sequence

import apache_beam as beam
from absl import logging

from convoy.data.ingest import beam_job, shards
from convoy.data.ingest.shards import Shard, Work
from convoy.data.sources import source


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
    try:
        plans = [folder / f"{shard.name}.pickle" for shard in todo]
        try:
            folder.mkdir(exist_ok=True)
            for shard, plan in zip(todo, plans, strict=True):
                shard.save(plan)
        except OSError as error:
            need = sum(shards.bytes_needed(shard, work) for shard in todo)
            raise shards.explained(error, folder, need) from error
        elements = [str(plan) for plan in plans]
        beam_job.run(
            lambda pipeline: (
                pipeline
                | "Shards" >> beam.Create(elements, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Write" >> beam.ParDo(WriteShard(work))
            ),
            arguments,
            elements=len(todo),
            size_bytes=sum(shards.bytes_needed(shard, work) for shard in todo),
            shared=folder,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
