#!/usr/bin/env bash
# apache-beam 2.77.0, DaskRunner on dask 2026.8.0, two workers.
# Guessed: WriteToTFRecord works as on other runners.
# Seen: where the elements are more than one bundle and the shards several, the sink misses its own
# temporary files, and no file is left.
#   100 records: 4 of 4 files
#   300 records: 0 of 4 files, BeamIOError
set -euo pipefail
export ROOM=$(mktemp -d)
trap 'rm -rf "$ROOM"' EXIT
python3 -m venv "$ROOM/venv"
"$ROOM/venv/bin/pip" install --quiet 'apache-beam[dask]==2.77.0' 'dask==2026.8.0' \
  'google-crc32c==1.9.0'
"$ROOM/venv/bin/python" - <<'EOF'
import glob
import os

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.dask.dask_runner import DaskRunner
from dask.distributed import LocalCluster

seen = []
cluster = LocalCluster(n_workers=2, processes=False, dashboard_address=None)
options = PipelineOptions([f"--dask_client_address={cluster.scheduler_address}"])
for count in (100, 300):
    path, error = f"{os.environ['ROOM']}/{count}", ""
    try:
        with beam.Pipeline(runner=DaskRunner(), options=options) as pipeline:
            records = pipeline | beam.Create([b"record"] * count)
            _ = records | beam.io.WriteToTFRecord(path, num_shards=4)
    except Exception as failure:
        error = f", {type(failure).__name__}"
    seen.append((len(glob.glob(f"{path}-*")), error))
    print(f"{count} records: {seen[-1][0]} of 4 files{error}", flush=True)
os._exit(seen != [(4, ""), (0, ", BeamIOError")])
EOF
