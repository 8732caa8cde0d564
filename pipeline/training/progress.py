"""What a training run tells while it runs: a progress line, metrics.jsonl, TensorBoard."""

from __future__ import annotations

import json
import math
import pathlib
import sys
import time

from convoy.pipeline.artifacts import write_bytes


class Progress:
    """Rows of metrics, kept in metrics.jsonl and shown on standard error."""

    def __init__(self, workdir: pathlib.Path, total_steps: int, batch_size: int, epoch_size: int):
        self.path = workdir / "metrics.jsonl"
        self.total_steps = total_steps
        self.batch_size = batch_size
        self.epoch_size = epoch_size
        self.rows: list[dict] = []
        self._clock = time.perf_counter()
        self._step = 0
        self._line = Line()

    def resume(self, step: int) -> None:
        """Forgets rows after `step`, which will be made again."""
        self._step = step
        if self.path.exists():
            rows = [json.loads(line) for line in self.path.read_text().splitlines()]
            self.rows = [row for row in rows if row["step"] <= step]
        self.start()

    def start(self) -> None:
        """Restarts the clock: what came before is not training time."""
        self._clock = time.perf_counter()

    def train(self, step: int, losses: dict[str, float]) -> None:
        """One interval of steps is done; the losses are its means, beside "learning_rate"."""
        losses = dict(losses)
        rate = losses.pop("learning_rate")
        seconds = max(time.perf_counter() - self._clock, 1e-9)
        speed = (step - self._step) * self.batch_size / seconds
        self._step = step
        row = {
            "kind": "train",
            **self._position(step),
            "lr": rate,
            "images_per_s": round(speed, 2),
            "seconds": round(seconds, 3),
        }
        self.rows.append({**row, **losses})
        remaining_s = (self.total_steps - step) * self.batch_size / speed
        shown = " ".join(f"{name} {value:.4f}" for name, value in losses.items())
        self._line.show(
            f"{bar(step / self.total_steps)} epoch {row['epoch']:.2f} step {step}/"
            f"{self.total_steps} {shown} lr {rate:.2e} {speed:.1f} examples/s "
            f"ETA {duration(remaining_s)}",
            passing=True,
        )
        self.start()

    def validate(self, step: int, metrics: dict[str, float], note: str = "") -> None:
        """An evaluation on the validation split is done."""
        self.rows.append({"kind": "val", **self._position(step), **metrics})
        values = " ".join(f"{k} {v:.4f}" for k, v in metrics.items() if v is not None)
        self._line.show(f"val at step {step}: {values} {note}".rstrip())
        self.start()

    def say(self, text: str) -> None:
        self._line.show(text)

    def seconds(self) -> float:
        """Time spent training, over all resumes."""
        return sum(row.get("seconds", 0.0) for row in self.rows)

    def save(self) -> None:
        """Writes metrics.jsonl (non-finite numbers as null)."""
        lines = [json.dumps({k: _finite(v) for k, v in row.items()}) for row in self.rows]
        write_bytes(self.path, "".join(line + "\n" for line in lines).encode())

    def _position(self, step: int) -> dict:
        return {"step": step, "epoch": round(step * self.batch_size / self.epoch_size, 4)}


class Line:
    """A line on standard error; on a terminal a passing one is overwritten by the next."""

    def __init__(self):
        self._open = False

    def show(self, text: str, passing: bool = False) -> None:
        terminal = sys.stderr.isatty()
        if terminal and self._open:
            sys.stderr.write("\r\033[K")
        end = "" if terminal and passing else "\n"
        sys.stderr.write(text + end)
        sys.stderr.flush()
        self._open = terminal and passing


def _finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


def bar(part: float, width: int = 16) -> str:
    """`part` of 1 done, as [====    ]  50%."""
    filled = round(part * width)
    return f"[{'=' * filled}{' ' * (width - filled)}] {part:4.0%}"


def duration(seconds: float) -> str:
    """H:MM:SS."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
