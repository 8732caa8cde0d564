"""Trainer: records to trained weights, resumable.

Inputs: examples, and features where `train.mode` is extract. Output: model.weights.h5,
network.json, training.json, metrics.jsonl, checkpoints/, tensorboard/ (those two in each stageN/ of
a fine-tuning); of a text network vocabulary.txt, of one that says words words.json.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from convoy.data import tfrecord
from convoy.data.augment.policy import Augment
from convoy.data.example import decode
from convoy.data.input.input import Stream, count, keypoints_of, shards, training_batches
from convoy.data.input.proposed import given_of
from convoy.data.sample import Sample
from convoy.data.signals import wav
from convoy.models import registry
from convoy.models import tasks as table
from convoy.models.spec import SERIES_RATE
from convoy.pipeline import tasks
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.config import Model, Recipe, Section, Train
from convoy.pipeline.evaluation import predict
from convoy.pipeline.manifest import channels_of, class_names, scale_of
from convoy.pipeline.networks import network
from convoy.pipeline.training import class_weights, head, longer, loop, reading, stages, strategy
from convoy.pipeline.training.reading import UNDECODABLE

INPUTS = {"examples": "example_gen", "features": "feature_gen"}
NOT_RUN = ("convoy.pipeline.report*",)  # drawings of the task: the validation asks for scores
GROWS = longer

PACE = ("checkpoint_minutes", "log_steps", "keep")
# Options of a task that the records answer: their words, and how long their signals are.
VOCABULARY, SERIES = "vocabulary", "series"


class Params(Section):
    task: str
    seed: int
    train_split: str
    val_split: str | None
    metric: str
    model: Model
    augment: Augment
    train: Train
    limits: dict[str, Any]  # of decoding, where there is a split to validate on
    # Of `train`, in no key: how often is saved and told changes no weight, and a training that was
    # stopped goes on whatever they are.
    pace: dict[str, Any] = Field({}, exclude=True)


def params_of(recipe: Recipe) -> Params:
    usual = Train()
    pace = {name: getattr(recipe.train, name) for name in PACE}
    return Params(
        task=recipe.task,
        seed=recipe.seed,
        train_split=recipe.data.train,
        val_split=recipe.data.val,
        metric=recipe.evaluate.metric or table.row(recipe.task).gate,
        model=recipe.model,
        augment=recipe.augment,
        train=recipe.train.model_copy(update={name: getattr(usual, name) for name in PACE}),
        pace=pace,
        limits=predict.limits_of(recipe.task, recipe.export) if recipe.data.val else {},
    )


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Trains until done. Raises errors.Interrupted on SIGTERM with everything saved in workdir."""
    train = params.train.model_copy(update=params.pace)
    params = params.model_copy(update={"train": train})
    labels = _labels(inputs["examples"], params, workdir)
    where = strategy.build(params.train.strategy)
    learnt = table.row(params.task).options
    words = vocabulary(inputs["examples"], params.train_split) if VOCABULARY in learnt else ()
    scale, channels = scale_of(inputs["examples"]), channels_of(inputs["examples"])
    longest = ()
    if SERIES in learnt:
        splits = [split for split in (params.train_split, params.val_split) if split]
        longest = series(inputs["examples"], splits, params.model.name)
    built_for = {"task": params.task, "vocabulary": words, "scale": scale, "series": longest}
    built_for["channels"] = channels
    model = network.with_source_widths(params.model)
    weights = weights_of(inputs["examples"], params, labels)
    with where.scope():
        task = network.build(
            model, labels, params.train, params.seed, class_weights=weights, **built_for
        )
    if params.model.word_vectors:
        from convoy.models.text import vectors

        report = vectors.assign(task.model, words, params.model.word_vectors)
        write_json(workdir / "word_vectors.json", report)
    if report := network.initialise(task, model, labels):
        write_json(workdir / "weights.json", report)
    network.describe(workdir, model, labels, params.train, **built_for)
    stream = Stream(
        records=inputs["examples"],
        split=params.train_split,
        fields=(*table.row(params.task).fields, *task.takes),
        preprocess=task.info.preprocess,
        encode=task.encode,
        augment=params.augment,
        seed=params.seed,
        batch_size=params.train.batch_size,
        max_boxes=params.train.max_boxes,
        shuffle_buffer=params.train.shuffle_buffer,
        target_scale=scale,
        repeats=class_weights.repeats_of(
            inputs["examples"], params.train_split, labels, params.train.balance
        ),
        **keypoints_of(inputs["examples"]),
        **given_of(inputs["examples"], task.takes),
    )
    parameters = _learn(task, stream, params, model, labels, workdir, where, inputs.get("features"))
    training = {"mode": params.train.mode, "learnt": parameters}
    training.update(params=task.info.params, macs=task.info.macs, network=task.info.name)
    if lost := {k for path in workdir.rglob(UNDECODABLE) for k in reading.read(path.parent)}:
        training["undecodable"] = sorted(lost)  # another record was read instead of each
    write_json(workdir / "training.json", training)


def _learn(task, stream, params: Params, model: Model, labels, workdir, where, features) -> int:
    """Trains as `train.mode` says; returns how many parameters learnt."""
    if params.train.mode == "extract":
        splits = {"split": params.train_split, "held_out": params.val_split}
        return head.train(task, features, params.train, workdir, **splits)
    validate = _validation(task, stream, params, labels, workdir) if params.val_split else None
    common = {"strategy": where, "validate": validate, "metric": params.metric}
    if params.train.mode == "fine_tune":
        learnt = stages.train(task, stream, params.train, workdir, model=model, **common)
        _fit(task, stream, params.train, workdir, where)
        return learnt
    loop.train(task, stream, params.train, workdir, **common)
    _fit(task, stream, params.train, workdir, where)
    return sum(math.prod(v.shape) for v in task.model.trainable_variables)


def _fit(task, stream: Stream, train: Train, workdir: pathlib.Path, where) -> None:
    """Solves for what the recipe asks for beside what has been learnt, on the weights to use."""
    if task.fitted is None or train.head != "svm" or not strategy.is_chief(where):
        return
    from convoy.pipeline.training import fitted

    task.model.load_weights(workdir / network.WEIGHTS)
    plain = dataclasses.replace(stream, augment=Augment(), batch_size=1, repeats=None)
    number = count(stream.records, stream.split)
    fitted.fit(task, lambda: training_batches(plain).take(number), train.head_c, _say)
    loop.save_weights(task.model, workdir / network.WEIGHTS)


def _labels(examples: pathlib.Path, params: Params, workdir: pathlib.Path) -> Sequence[str]:
    """Names of the classes; where they are made of what is learnt, its counts are kept and told."""
    labels, counts, told = labels_of(examples, params.task, params.train_split, params.model)
    for sentence in told:
        _say(sentence)
    if counts:
        write_json(workdir / "words.json", counts)
    return labels


def labels_of(
    examples: pathlib.Path, task: str, split: str, model: Model
) -> tuple[Sequence[str], dict, list[str]]:
    """(names of the classes that a task learns of a split, counts, what to tell people of them).

    The names are those of the records, without counts; or made of what is learnt.
    """
    if table.row(task).label_map:
        return class_names(examples, task), {}, []
    return tasks.of(task).labels_of(samples(examples, split), model)


def _say(text: str) -> None:
    """A line beside those of the training."""
    print(text, file=sys.stderr, flush=True)


def vocabulary(examples: pathlib.Path, split: str) -> list[str]:
    """The words of a split's sentences, see models/text/tokens.py."""
    from convoy.models.text import tokens

    return tokens.vocabulary(sample.text for sample in samples(examples, split))


def series(examples: pathlib.Path, splits: Sequence[str], name: str) -> tuple[int, int]:
    """(samples of the first split's longest signal, channels of its first) for a network `name`.

    Raises ValueError for a series where the network hears sounds, and for one of other channels.
    """
    hears = bool(registry.describe(name).preprocess.rate)
    longest = channels = 0
    for split in splits:
        for sample in samples(examples, split):
            look = wav.look(sample.signal, sample.source_id)
            channels = channels or look.channels
            if hears and look.rate == SERIES_RATE:
                raise ValueError(
                    f"{sample.source_id}: is a series of numbers, and {name} hears sounds; "
                    "series_fcn learns from series"
                )
            if not hears and look.channels != channels:
                raise ValueError(
                    f"{sample.source_id}: expected {channels} channels, as the first series of the "
                    f"training has, got {look.channels}; all series of a set need as many"
                )
            longest = max(longest, look.samples) if split == splits[0] else longest
    return longest, channels


def samples(examples: pathlib.Path, split: str) -> Iterator[Sample]:
    """Those of a split, one after the other."""
    records = (record for shard in shards(examples, split) for record in tfrecord.read(shard))
    return map(decode, records)


def weights_of(examples: pathlib.Path, params: Params, labels) -> tuple[float, ...]:
    """Of the classes, as train.class_weights says. Raises ValueError."""
    of_pixels = table.row(params.task).label_map != "labels"
    maps = functools.partial(samples, examples, params.train_split) if of_pixels else None
    counts = class_weights.images_by_class(examples, params.train_split)
    return class_weights.of_records(params.train.class_weights, labels, counts, maps)


def _validation(task, stream: Stream, params: Params, labels: list[str], workdir):
    """Scores on the validation split, plain numbers by metric name: as the evaluator has them.

    So in float32 whatever the training's precision, and with the recipe's own limits.
    """
    held_out = predict.stream_of(task, stream.records, params.val_split, params.train.batch_size)
    judged, refresh = network.in_float32(task, workdir)
    predictor = predict.predictor(judged, labels, params.limits)

    def validate() -> dict[str, float]:
        refresh()
        metrics = tasks.of(params.task).Metrics(labels)
        numbers = predict.measure(metrics, predict.answers(predictor, held_out))
        return {k: v for k, v in numbers.items() if v is None or isinstance(v, float)}

    return validate
