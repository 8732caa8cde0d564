"""The training loop: Orbit's controller around the one training step.

Killed at any moment and started again in the same folder, it goes on from the newest checkpoint
with the same data order; on CPU in float32 the final weights are the same to the last bit.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable

import keras
import numpy as np
import orbit
import tensorflow as tf

from data.input import Stream, count, training_batches
from models.spec import Classifier, Detector
from pipeline.config import Train
from pipeline.training import checkpoints, optimizers, step
from pipeline.training.progress import Progress
from pipeline.training.strategy import is_chief


class NonFiniteLoss(RuntimeError):
    """The loss became NaN or infinite; the message names step, losses, rate and pictures."""


class Interrupted(RuntimeError):
    """SIGTERM or SIGINT came; everything is saved, and the same command goes on."""


class Trainer(orbit.AbstractTrainer):
    """Runs steps for Orbit and keeps each step's losses and pictures until they are looked at."""

    def __init__(self, train_step, batches, first_step: int, rate: Callable[[int], float]):
        self._step = train_step
        self._batches = iter(batches)
        self._done = first_step
        self._rate = rate

    def train(self, num_steps: tf.Tensor) -> dict[str, float]:
        """Mean losses over `num_steps` steps. Raises NonFiniteLoss."""
        results = []
        for _ in range(int(num_steps)):
            batch = next(self._batches)
            results.append((self._step(batch), batch["source_id"]))
        table = [{k: float(v) for k, v in losses.items()} for losses, _ in results]
        for i, row in enumerate(table):
            if not math.isfinite(row["loss"]):
                self._stop(self._done + i + 1, row, results[i][1])
        self._done += len(table)
        return {name: float(np.mean([row[name] for row in table])) for name in table[0]}

    def _stop(self, at: int, losses: dict[str, float], source_ids) -> None:
        local = tf.distribute.get_strategy().experimental_local_results(source_ids)
        names = [name.decode() for part in local for name in part.numpy()]
        raise NonFiniteLoss(
            f"the loss is not finite at step {at}: {losses}, learning rate {self._rate(at):.3g}. "
            f"Pictures of the batch: {', '.join(names)}. Look at their boxes; lower "
            "train.learning_rate, lengthen train.warmup_epochs or set train.clip_norm"
        )


def train(
    task: Classifier | Detector,
    stream: Stream,
    params: Train,
    workdir: pathlib.Path,
    *,
    strategy: tf.distribute.Strategy,
    validate: Callable[[], dict[str, float]] | None = None,
    metric: str = "",
) -> None:
    """Trains `task.model`, built under `strategy`, and writes into workdir:

    checkpoints/step-*.npz, best.weights.h5 (by `metric` of `validate()`), model.weights.h5 (what to
    use: the best, or the last without validation; averaged with EMA), metrics.jsonl, tensorboard/.
    """
    epoch_size = count(stream.records, stream.split)
    per_epoch = epoch_size / params.batch_size
    total = max(1, math.ceil(params.epochs * per_epoch))
    with strategy.scope():
        optimizer = optimizers.build(params, total_steps=total, steps_per_epoch=per_epoch)
        optimizer.build(task.model.trainable_variables)
    variables = [*task.model.variables, *optimizer.variables]  # dropout seeds too
    chief = is_chief(strategy)
    progress = Progress(workdir, total, params.batch_size, epoch_size)
    restored = checkpoints.restore_newest(workdir / "checkpoints", variables)
    at = int(optimizer.iterations.numpy())
    progress.resume(at)
    if restored:
        progress.say(f"goes on from step {at} ({restored.name})")

    rate = optimizers.rate_of(optimizer)
    controller = orbit.Controller(
        global_step=optimizer.iterations.value,
        trainer=Trainer(
            step.build(task, optimizer, params, strategy), _batches(stream, strategy, at), at, rate
        ),
        strategy=strategy,
        steps_per_loop=params.log_steps,
        summary_dir=str(workdir / "tensorboard") if chief else None,
    )

    def save() -> None:
        if chief:
            progress.save()
            checkpoints.save(workdir / "checkpoints", at, variables, params.keep)

    eval_steps = max(1, round(params.eval_epochs * per_epoch))
    saved = time.monotonic()
    with _signals() as received:
        while at < total and not _over_time(progress, params):
            target = min(total, at + params.log_steps, (at // eval_steps + 1) * eval_steps)
            losses = _run_until(controller, target)
            at = target
            progress.train(at, losses, rate(at))
            if validate and (at % eval_steps == 0 or at == total):
                with averaged_weights(task.model, optimizer):
                    scores = validate()
                    if _is_best(progress, metric, scores) and chief:
                        save_weights(task.model, workdir / "best.weights.h5")
                progress.validate(at, scores)
                if _stale(progress, metric) >= (params.patience or math.inf):
                    progress.say(f"stops early: {params.patience} evaluations without a better one")
                    break
            if received:
                save()
                raise Interrupted(
                    f"stopped by {received[0]} at step {at}; saved, run again to go on"
                )
            if time.monotonic() - saved > params.checkpoint_minutes * 60:
                save()
                saved = time.monotonic()
    save()
    if chief:
        best = workdir / "best.weights.h5"
        if validate and best.exists():
            task.model.load_weights(best)
        else:
            with averaged_weights(task.model, optimizer):
                save_weights(task.model, workdir / "last.weights.h5")
                task.model.load_weights(workdir / "last.weights.h5")
        save_weights(task.model, workdir / "model.weights.h5")


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


def _batches(stream: Stream, strategy: tf.distribute.Strategy, first_step: int):
    if strategy.num_replicas_in_sync == 1:
        return training_batches(stream, start_step=first_step)
    return strategy.distribute_datasets_from_function(
        lambda context: training_batches(stream, start_step=first_step, context=context)
    )


def _run_until(controller: orbit.Controller, target: int) -> dict[str, float]:
    """Lets the controller train up to step `target`; returns the mean losses of that stretch."""
    seen: list[dict] = []
    controller.train_actions = (seen.append,)
    with contextlib.redirect_stdout(io.StringIO()):  # Orbit prints; standard output is for results
        controller.train(target, checkpoint_at_completion=False)
    return {name: float(value) for name, value in seen[-1].items()}


def _scores(progress: Progress, metric: str) -> list[float]:
    rows = [row.get(metric) for row in progress.rows if row["kind"] == "val"]
    return [-math.inf if score is None else score for score in rows]


def _is_best(progress: Progress, metric: str, scores: dict) -> bool:
    score = scores.get(metric)
    return score is not None and score > max(_scores(progress, metric), default=-math.inf)


def _stale(progress: Progress, metric: str) -> int:
    """Evaluations since the best one."""
    scores = _scores(progress, metric)
    return len(scores) - 1 - scores.index(max(scores))


def _over_time(progress: Progress, params: Train) -> bool:
    if params.max_hours is None or progress.seconds() < params.max_hours * 3600:
        return False
    progress.say(f"stops after {progress.seconds() / 3600:.2f} h (train.max_hours)")
    return True


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
