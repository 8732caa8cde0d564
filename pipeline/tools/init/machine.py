"""What of this machine decides a recipe: accelerator, arithmetic, memory, published weights."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import urllib.error
import urllib.request

from convoy.pipeline.networks import pretrained

WAIT_S = 4.0  # for the place of published weights to answer


@dataclasses.dataclass(frozen=True)
class Machine:
    gpu: bool
    bfloat16: bool  # whether arithmetic in it is faster
    cores: int
    memory: int  # bytes that a training may take

    @property
    def said(self) -> str:
        what = "a GPU" if self.gpu else f"{self.cores} CPU cores"
        return f"{what}, {self.memory / 2**30:.1f} GiB of free memory"


def this() -> Machine:
    """The one that runs this."""
    gpu = os.path.exists("/dev/nvidia0")
    return Machine(
        gpu=gpu,
        bfloat16=gpu or "amx_bf16" in _text("/proc/cpuinfo"),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        memory=_free(),
    )


def _text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def _free() -> int:
    """Bytes of memory that are free, or that a container leaves; 8 GiB where nothing says it."""
    lines = dict(line.split(":", 1) for line in _text("/proc/meminfo").splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) << 10 if "MemAvailable" in lines else 8 << 30
    limit = _text("/sys/fs/cgroup/memory.max").strip()
    used = _text("/sys/fs/cgroup/memory.current").strip()
    if limit.isdigit() and used.isdigit():
        free = min(free, int(limit) - int(used))
    return free


def has_weights(network: str, width: float = 1.0, backbone: str | None = None) -> bool:
    """Whether published weights are kept on this machine, or their address answers."""
    try:
        file = pretrained.published(pretrained.address(network, width, backbone))
    except ValueError:
        return False
    if pretrained.kept(file).is_file():
        return True
    request = urllib.request.Request(file.urls[0], method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status == 200
    except (OSError, urllib.error.URLError, ValueError):
        return False
