"""The statistics of records as one Beam pass: an element is a record file, combined by split."""

from __future__ import annotations

import pathlib
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam

from convoy.data import tfrecord
from convoy.data.example import SchemaError
from convoy.data.ingest import beam_job
from convoy.data.ingest.shards import IngestError
from convoy.data.statistics.partial import Partial, describe
from convoy.data.statistics.summary import files_of


class Describe(beam.DoFn):
    """(split, file, its number) -> (split, Partial)."""

    def __init__(self, labels: Sequence[str], pixel_classes: int):
        self.labels, self.pixel_classes = tuple(labels), pixel_classes

    def process(self, element: tuple[str, str, int]):
        split, path, number = element
        try:
            records = tfrecord.read(path)
            yield split, describe(records, self.labels, number, self.pixel_classes)
        except (SchemaError, tfrecord.CorruptRecord, OSError) as error:
            message = str(error).replace("\n", " ")
            raise IngestError(message if path in message else f"{path}: {message}") from error


class Merge(beam.CombineFn):
    """Partials of one split -> their sum."""

    def create_accumulator(self) -> Partial:
        return Partial()

    def add_input(self, accumulator: Partial, element: Partial) -> Partial:
        accumulator.merge(element)
        return accumulator

    def merge_accumulators(self, accumulators) -> Partial:
        merged = Partial()
        for accumulator in accumulators:
            merged.merge(accumulator)
        return merged

    def extract_output(self, accumulator: Partial) -> Partial:
        return accumulator


def run(
    records: pathlib.Path,
    manifest: Mapping[str, Any],
    scratch: pathlib.Path,
    arguments: Sequence[str] = (),
) -> dict[str, Partial]:
    """split -> statistics of a folder of records. Raises IngestError.

    scratch: a folder that the workers share with this machine, as they do that of the records.
    """
    elements = [
        (split, str(records.absolute() / name), number)
        for number, (split, name) in enumerate(files_of(manifest))
    ]
    missing = [path for _, path, _ in elements if not pathlib.Path(path).is_file()]
    if missing:
        raise IngestError(f"{missing[0]}: no such file, but manifest.json lists it; ingest again")
    size = sum(pathlib.Path(path).stat().st_size for _, path, _ in elements)
    pixel_classes = len(manifest.get("segmentation_labels", ())) or 255
    describe_shard = Describe(manifest["labels"], pixel_classes)
    with tempfile.TemporaryDirectory(prefix=".statistics-", dir=scratch.absolute()) as folder:

        def save(split: str, partial: Partial) -> None:
            pathlib.Path(folder, f"{split}.pickle").write_bytes(pickle.dumps(partial))

        beam_job.run(
            lambda pipeline: (
                pipeline
                | "Shards" >> beam.Create(elements, reshuffle=False)
                | "Spread" >> beam.Reshuffle()
                | "Describe" >> beam.ParDo(describe_shard)
                | "Merge" >> beam.CombinePerKey(Merge())
                | "Save" >> beam.MapTuple(save)
            ),
            arguments,
            elements=len(elements),
            size_bytes=size,
            shared=pathlib.Path(folder),
        )
        return {split: _saved(pathlib.Path(folder), split) for split in manifest["splits"]}


def _saved(folder: pathlib.Path, split: str) -> Partial:
    path = folder / f"{split}.pickle"
    return pickle.loads(path.read_bytes()) if path.exists() else Partial()
