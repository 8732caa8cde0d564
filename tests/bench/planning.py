"""Time and memory of the process that starts an ingest, by the number of pictures.

    python -m tests.bench.planning 100000 1000000 [--folder DIR]

Makes folders of one-byte files, classes in train and val, 629 to a shard, and runs the real ingest
on them, but for the workers: in their place each shard's sidecar is written as if its pictures had
been read. What remains is what grows in one process: listing, accounting, planning, the shards'
files of references, the sums of the manifest. Each size runs in a process of its own. Prints one
line per stage: seconds, and the highest memory until then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from convoy.data.ingest import account, job, shards, written
from convoy.data.ingest.tally import Tally
from convoy.pipeline.components import example_gen

PER_FOLDER = 1000


def make(folder: pathlib.Path, pictures: int) -> None:
    """Files of one byte, as sub-folders of classes hold them."""
    for number in range(pictures):
        part = number // PER_FOLDER
        if number % PER_FOLDER == 0:
            split = "val" if part % 10 == 9 else "train"
            top = folder / split / f"class{part // 10 % 10}" / f"part{part}"
            top.mkdir(parents=True, exist_ok=True)
        (top / f"{number:08d}.jpg").write_bytes(b"x")


def written_aside(todo, work, _arguments=()) -> None:
    """What the workers would leave: an empty record file and a sidecar of counts per shard."""
    folder = pathlib.Path(work.folder, ".plan")
    folder.mkdir(exist_ok=True)
    for shard in todo:
        plan = folder / f"{shard.name}.pickle"
        shard.save(plan)
        plan.unlink()
        tally = Tally()
        tally.source_ids += [reference.source_id for reference in shard.references]
        tally.images_sha256 += [
            (name, hashlib.sha256(name.encode()).hexdigest()) for name in tally.source_ids
        ]
        for name in ("read", "records"):
            tally.numbers[name] = len(tally.source_ids)
        final = pathlib.Path(work.folder, shard.name)
        final.write_bytes(b"")
        counts = {"key": shards._key(shard, work), "split": shard.split, "file_bytes": 0}
        counts |= {"worker": "w", "started": 0.0, "ended": 0.0, "cpu_seconds": 0.0, "peak_mb": 0}
        shards._sidecar(final).write_text(json.dumps(counts | tally.counts(work.labels)))
    folder.rmdir()


def run(source: pathlib.Path) -> None:
    """One size, in this process."""

    def timed(name: str, function):
        def call(*arguments, **options):
            started = time.monotonic()
            result = function(*arguments, **options)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"  {name:<22} {time.monotonic() - started:8.1f} s {peak:6} MiB", flush=True)
            return result

        return call

    example_gen.listed = timed("listing", example_gen.listed)
    account.opened = timed("accounting, opened", account.opened)
    shards.plan = timed("planning", shards.plan)
    job.run = timed("shards (in place)", written_aside)
    written.manifest = timed("manifest", written.manifest)
    account.closed = timed("accounting, closed", account.closed)
    with tempfile.TemporaryDirectory() as out:
        params = example_gen.Params(format="folder", shard_mb=0.0006)
        timed("all", example_gen.run)({"source": source}, params, pathlib.Path(out))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=int, nargs="*")
    parser.add_argument("--folder", type=pathlib.Path, help="Where the files are made, and stay.")
    parser.add_argument("--of", type=pathlib.Path, help="One size, made before.")
    given = parser.parse_args()
    if given.of:
        run(given.of)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for pictures in given.pictures:
            folder = (given.folder or pathlib.Path(scratch)) / str(pictures)
            if not folder.is_dir():
                make(folder, pictures)
            print(f"{pictures:,} pictures", flush=True)
            command = [sys.executable, "-m", "tests.bench.planning", "--of", str(folder)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
