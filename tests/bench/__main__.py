"""`make bench`: runs every benchmark in a process of its own and writes docs/benchmarks.md.

    python -m tests.bench [ingest input trainer serving bn_step]

Each compares with a reference in the same run, alternating, by medians. Nothing here is a test: a
busy machine gives other numbers.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import subprocess
import sys

NAMES = ("ingest", "input", "trainer", "serving", "bn_step")
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- made by make bench -->", "<!-- end of make bench -->"


def main(names: list[str]) -> None:
    """Runs the named benchmarks, or all, and replaces their part of the page."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    body, after = rest.split(END)
    sections = {part.split()[0]: f"### {part}" for part in body.split("### ")[1:]}
    for name in names or NAMES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        finished = subprocess.run(
            [sys.executable, "-m", f"tests.bench.{name}"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        lines = [line for line in finished.stdout.splitlines() if line.startswith("{")]
        sections[name] = section(name, [json.loads(line) for line in lines])
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {processor()}, no GPU used"
    parts = [sections[name].strip() for name in NAMES if name in sections]
    body = "\n\n".join([BEGIN, f"Machine: {machine}.", *parts, END])
    PAGE.write_text(before + body + after)


def section(name: str, rows: list[dict]) -> str:
    """One benchmark as a table: what was measured, and its number."""
    lines = [f"### {name}", "", f"`python -m tests.bench.{name}`", "", "| | |", "|---|---|"]
    for row in rows:
        lines += [f"| {key} | {value} |" for key, value in flat(row)]
    return "\n".join([*lines, ""])


def flat(row: dict, prefix: str = "") -> list[tuple[str, object]]:
    """Nested dicts as (dotted name, value)."""
    pairs = []
    for key, value in row.items():
        if isinstance(value, dict):
            pairs += flat(value, f"{prefix}{key}.")
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")


if __name__ == "__main__":
    main(sys.argv[1:])
