#!/usr/bin/env bash
# apache-beam 2.77.0, runner="DirectRunner".
# Guessed: the pipeline runs in this process by Beam's own Python code, as it did for years.
# Seen: Prism, a Go program, is tried first: where it is not in the cache, its release is asked for
# over HTTPS. The Python code takes over only after that failed. Here the request is stopped before
# it leaves the machine, and printed.
#   3
#   ['https://github.com/apache/beam/releases/download/v2.77.0/apache_beam-v2.77.0-prism-linux-amd64.zip']
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'apache-beam==2.77.0'
HOME=$room "$room/venv/bin/python" - <<'EOF'
import sys

asked, added = [], []


def stop(event, arguments):
    if event == "urllib.Request":
        asked.append(arguments[0])
        raise OSError("stopped")


sys.addaudithook(stop)
import apache_beam as beam

with beam.Pipeline(runner="DirectRunner") as pipeline:
    _ = pipeline | beam.Create([1, 2]) | beam.CombineGlobally(sum) | beam.Map(print)
print(asked)
sys.exit(not any("prism" in address for address in asked))
EOF
