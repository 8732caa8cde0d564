#!/usr/bin/env bash
# apache-beam 2.77.0, DaskRunner on dask 2026.8.0, eight workers.
# Guessed: 100 elements are spread over the workers.
# Seen: up to 128 elements are one bundle, which one worker works through, whatever it takes
# (--dask_npartitions or --dask_partition_size spread them).
#   100 elements: 1 bundles
#   300 elements: 3 bundles
set -euo pipefail
export ROOM=$(mktemp -d)
trap 'rm -rf "$ROOM"' EXIT
python3 -m venv "$ROOM/venv"
"$ROOM/venv/bin/pip" install --quiet 'apache-beam[dask]==2.77.0' 'dask==2026.8.0'
"$ROOM/venv/bin/python" - <<'EOF'
import os

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dask.dask_runner import DaskRunner
from dask.distributed import LocalCluster


class NoteBundle(beam.DoFn):
    def process(self, _):
        pass

    def finish_bundle(self):
        print("one", file=open(f"{os.environ['ROOM']}/bundles", "a"))


seen = []
cluster = LocalCluster(n_workers=8, processes=False, dashboard_address=None)
options = PipelineOptions([f"--dask_client_address={cluster.scheduler_address}"])
for count in (100, 300):
    with beam.Pipeline(runner=DaskRunner(), options=options) as pipeline:
        _ = pipeline | beam.Create(range(count)) | beam.ParDo(NoteBundle())
    with open(f"{os.environ['ROOM']}/bundles") as file:
        seen.append(len(file.readlines()) - sum(seen))
    print(f"{count} elements: {seen[-1]} bundles", flush=True)
os._exit(seen != [1, 3])
EOF
