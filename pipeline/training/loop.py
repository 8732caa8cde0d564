"""The training loop: Orbit's controller around the one training step.

Killed at any moment and started again in the same folder, it goes on from the newest checkpoint
with the same data order; on CPU in float32 the final weights are the same to the last bit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Collection

import keras
import numpy as np
import orbit
import tensorflow as tf

from convoy.data.input.input import Stream, count
from convoy.models.spec import Task
from convoy.pipeline.config import Train
from convoy.pipeline.errors import INTERRUPTED, STOPPED, Interrupted
from convoy.pipeline.networks.network import WEIGHTS
from convoy.pipeline.training import checkpoints, optimizers, step
from convoy.pipeline.training.progress import Progress
from convoy.pipeline.training.reading import Batches
from convoy.pipeline.training.strategy import PEER_ERRORS, agreement, is_chief

AGREE_STEPS = 5  # between two questions whether a worker was stopped; each is one small sum


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message names step, losses, rate and pictures."""


class WorkerLost(RuntimeError):
    """A worker of a job of several ended, or cannot be reached; nothing is saved since then."""


class Trainer(orbit.AbstractTrainer):
    """Runs steps for Orbit and keeps each step's losses and pictures until they are looked at."""

    def __init__(
        self,
        train_step,
        batches,
        rate: Callable[[int], float],
        at: int,
        signals: list,
        agree: Callable[[bool], bool] | None = None,
    ):
        """agree: how several workers stop at one step, see strategy.agreement."""
        self._agree = agree
        self._step = train_step
        self._batches = iter(batches)
        self._rate = rate
        self._at = at
        self._signals = signals

    def train(self, num_steps: tf.Tensor) -> dict[str, float]:
        """Mean losses over `num_steps` steps. Raises NonFiniteLoss and Interrupted."""
        results = []
        for at in range(self._at, self._at + int(num_steps)):
            self._look_for_signals(at)
            batch = next(self._batches)
            results.append((self._step(batch), batch["source_id"]))
        table = [{k: float(v) for k, v in losses.items()} for losses, _ in results]
        for i, row in enumerate(table):
            if not math.isfinite(row["loss"]):
                self._stop(self._at + i + 1, row, results[i][1])
        self._at += len(table)
        means = {name: float(np.mean([row[name] for row in table])) for name in table[0]}
        return {**means, "learning_rate": self._rate(self._at)}

    def _look_for_signals(self, at: int) -> None:
        """Raises Interrupted; of several workers in all of them before the same step."""
        if self._agree is None:
            stops = bool(self._signals)
        else:
            stops = at % AGREE_STEPS == 0 and self._agree(bool(self._signals))
        if not stops:
            return
        name = self._signals[0] if self._signals else ""
        code = INTERRUPTED if name == signal.SIGINT.name else STOPPED
        raise Interrupted(f"stopped by {name or 'the stop of another worker'}", code)

    def _stop(self, at: int, losses: dict[str, float], source_ids) -> None:
        local = tf.distribute.get_strategy().experimental_local_results(source_ids)
        names = [name.decode() for part in local for name in part.numpy()]
        raise NonFiniteLoss(
            f"the loss is not finite at step {at}: {losses}, learning rate {self._rate(at):.3g}. "
            f"Pictures of the batch: {', '.join(names)}. Look at their boxes; lower "
            "train.learning_rate, lengthen train.warmup_epochs or set train.clip_norm"
        )


@dataclasses.dataclass(frozen=True)
class Run:
    """One training under way."""

    task: Task
    params: Train
    workdir: pathlib.Path
    metric: str  # of the validation
    optimizer: keras.optimizers.Optimizer
    controller: orbit.Controller
    progress: Progress
    total: int  # steps
    eval_steps: int
    chief: bool  # writes files
    alone: bool  # there are no other workers

    @property
    def at(self) -> int:
        return int(self.optimizer.iterations.numpy())

    def save(self) -> None:
        if self.chief:
            self.progress.save()
            variables = state(self.task.model, self.optimizer)
            checkpoints.save(self.workdir / "checkpoints", self.at, variables, self.params.keep)


def train(
    task: Task,
    stream: Stream,
    params: Train,
    workdir: pathlib.Path,
    *,
    strategy: tf.distribute.Strategy,
    validate: Callable[[], dict[str, float]] | None = None,
    metric: str = "",
    slow: Collection[str] = (),
) -> None:
    """Trains `task.model`, built under `strategy`, and writes into workdir:

    checkpoints/step-*.npz, best.weights.h5 (by `metric` of `validate()`), model.weights.h5 (what to
    use: the best, or the last without validation; averaged with EMA), metrics.jsonl, tensorboard/.
    slow: names of the layers that learn at `backbone_rate` of the learning rate.
    """
    with _signals() as signals:
        run = _prepare(task, stream, params, workdir, strategy, metric, signals, slow)
        try:
            _loop(run, validate)
        except Interrupted as stop:
            run.save()
            saved = "saved" if run.chief else "the chief of the job saves"
            text = f"{stop} at step {run.at}; {saved}, run again to go on"
            raise Interrupted(text, stop.exit_code) from None
        except PEER_ERRORS as error:
            if run.alone:
                raise
            raise WorkerLost(
                f"another worker of the job is gone, near step {run.at}: start all of them again; "
                "they go on from the newest checkpoint (train.checkpoint_minutes). TensorFlow "
                f"says: {_reason(error)}"
            ) from None
    run.save()
    best = workdir / "best.weights.h5"
    if run.chief and best.exists():
        task.model.load_weights(best)
        save_weights(task.model, workdir / WEIGHTS)
    elif run.chief:
        with averaged_weights(task.model, run.optimizer):
            save_weights(task.model, workdir / WEIGHTS)


def _reason(error: tf.errors.OpError) -> str:
    """The line that says what happened, among the graph's own."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "aborted by" in line), lines[-1])[:200]


def _prepare(task, stream: Stream, params: Train, workdir, strategy, metric, signals, slow) -> Run:
    """Optimizer, controller and data, at the newest checkpoint."""
    epoch_size = count(stream.records, stream.split)
    per_epoch = epoch_size / params.batch_size
    total = max(1, math.ceil(params.epochs * per_epoch))
    with strategy.scope():
        optimizer = optimizers.build(params, total_steps=total, steps_per_epoch=per_epoch)
        optimizer.build(task.model.trainable_variables)
    if slow:
        layers = [v.path.split("/")[0] for v in task.model.trainable_variables]
        factors = [params.backbone_rate if layer in slow else 1.0 for layer in layers]
        optimizers.slow_down(optimizer, factors)
    restored = checkpoints.restore_newest(workdir / "checkpoints", state(task.model, optimizer))
    at = int(optimizer.iterations.numpy())
    progress = Progress(workdir, total, params.batch_size, epoch_size)
    progress.resume(at)
    progress.say(
        f"{task.info.name}: {task.info.params:,} parameters, {task.info.macs:,} MACs; "
        f"{epoch_size} records, {total} steps of {params.batch_size} on "
        f"{strategy.num_replicas_in_sync} replica(s), {params.precision}"
    )
    if restored:
        progress.say(f"goes on from step {at} ({restored.name})")
    agree = agreement(strategy)
    trainer = Trainer(
        step.build(task, optimizer, params, strategy),
        Batches(stream, strategy, at, workdir, progress.say),
        optimizers.rate_of(optimizer),
        at,
        signals,
        agree,
    )
    chief = is_chief(strategy)
    controller = orbit.Controller(
        global_step=optimizer.iterations.value,
        trainer=trainer,
        strategy=strategy,
        steps_per_loop=params.log_steps,
        summary_dir=str(workdir / "tensorboard") if chief else None,
    )
    eval_steps = max(1, round(params.eval_epochs * per_epoch))
    return Run(
        task,
        params,
        workdir,
        metric,
        optimizer,
        controller,
        progress,
        total,
        eval_steps,
        chief,
        agree is None,
    )


def _loop(run: Run, validate: Callable[[], dict[str, float]] | None) -> None:
    at, saved = run.at, time.monotonic()
    while at < run.total and not _enough(run):
        target = min(run.total, at + run.params.log_steps)
        if validate:
            target = min(target, (at // run.eval_steps + 1) * run.eval_steps)
        losses = _run_until(run.controller, target)
        at = target
        run.progress.train(at, losses)
        if validate and (at % run.eval_steps == 0 or at == run.total):
            _validate(run, validate, at)
        if time.monotonic() - saved > run.params.checkpoint_minutes * 60:
            run.save()
            saved = time.monotonic()


def _validate(run: Run, validate: Callable[[], dict[str, float]], at: int) -> None:
    """Scores the averaged weights, and keeps them where they are the best so far."""
    with averaged_weights(run.task.model, run.optimizer):
        scores = validate()
        value, before = scores.get(run.metric), _scores(run)
        if run.chief and value is not None and value > max(before, default=-math.inf):
            save_weights(run.task.model, run.workdir / "best.weights.h5")
    run.progress.validate(at, scores)
    with run.controller.summary_manager.summary_writer().as_default():
        for name, value in scores.items():
            if value is not None:
                tf.summary.scalar(f"val/{name}", value, step=at)


def state(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list:
    """All that a step changes: weights, running statistics, dropout seeds, momenta, averages."""
    return [*model.variables, *optimizer.variables]


@contextlib.contextmanager
def averaged_weights(model: keras.Model, optimizer):
    """Inside, the model holds its averaged weights (EMA); as it was without."""
    averages = step.averaged(optimizer)
    if averages is None:
        yield
        return
    weights = model.trainable_variables
    trained = [v.numpy() for v in weights]
    for weight, average in zip(weights, averages, strict=True):
        weight.assign(average.numpy())
    try:
        yield
    finally:
        for weight, value in zip(weights, trained, strict=True):
            weight.assign(value)


def save_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Writes aside and renames."""
    aside = path.with_name(f"aside-{os.getpid()}.weights.h5")
    model.save_weights(aside)
    os.replace(aside, path)


def _run_until(controller: orbit.Controller, target: int) -> dict[str, float]:
    """Lets the controller train up to step `target`; returns the mean losses of that stretch."""
    means: list[dict] = []
    controller.train_actions = (means.append,)
    with contextlib.redirect_stdout(io.StringIO()):  # Orbit prints; standard output is for results
        controller.train(target, checkpoint_at_completion=False)
    return {name: float(value) for name, value in means[-1].items()}


def _scores(run: Run) -> list[float]:
    """The metric of all evaluations so far; -inf where it is not defined."""
    rows = [row.get(run.metric) for row in run.progress.rows if row["kind"] == "val"]
    return [-math.inf if score is None else score for score in rows]


def _enough(run: Run) -> bool:
    """Whether to stop before the last step: no time left, or no better score for long."""
    hours, scores = run.progress.seconds() / 3600, _scores(run)
    if run.params.max_hours is not None and hours >= run.params.max_hours:
        run.progress.say(f"stops after {hours:.2f} h (train.max_hours)")
        return True
    stale = len(scores) - 1 - scores.index(max(scores)) if scores else 0
    if run.params.patience is not None and stale >= run.params.patience:
        run.progress.say(f"stops early: {stale} evaluations without a better score")
        return True
    return False


@contextlib.contextmanager
def _signals():
    """Collects SIGTERM and SIGINT instead of dying from them; only the main thread may."""
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    kinds = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(k, lambda n, _: received.append(signal.Signals(n).name)) for k in kinds]
    try:
        yield received
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
