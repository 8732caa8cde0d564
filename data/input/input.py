"""TFRecords to batches.

Training reads in this order, and why: list shards -> shuffle shards -> interleave -> shuffle
records (all by (seed, epoch), so the order is known) -> skip to the step to resume at (still
undecoded, so it is cheap) -> this worker's rows of each global batch -> parse, decode, augment,
encode targets (in parallel, order kept) -> mix neighbours, where asked for -> batch -> prefetch.

Epochs follow each other without a seam: batch k holds records k*B .. (k+1)*B - 1 of that endless
stream, whatever the number of workers or replicas.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable

import tensorflow as tf

from convoy.data import labels as label_map
from convoy.data.as_written import as_written
from convoy.data.augment import crops, draws, geometry, mix, plan, render, search, window
from convoy.data.augment.noise import FILL
from convoy.data.augment.policy import Augment
from convoy.data.input import broken, film, parse, pictures, proposed, unlabelled
from convoy.data.input.balance import Repeats
from convoy.data.input.broken import Broken
from convoy.data.input.order import endless
from convoy.data.input.pictures import decode
from convoy.data.input.stored import count, shards
from convoy.models.resize import fit, fit_matrix, mirrored
from convoy.models.spec import Preprocess, Sentence, Signal

BLOCK = 64  # records that are parsed, and whose changes are drawn, at once


@dataclasses.dataclass(frozen=True)
class Stream:
    """One split of ingested records and how to turn it into a network's batches.

    encode: the dict of a picture's annotation, see `training_example`, -> tensors of fixed shapes.
    """

    records: pathlib.Path  # folder with manifest.json and SPLIT-*.tfrecord
    split: str
    fields: tuple[str, ...]  # of data.input.parse.FIELDS: the annotation that is read
    preprocess: Preprocess | Sentence | Signal  # its `size` is the network's input
    encode: Callable
    augment: Augment = Augment()
    seed: int = 0
    batch_size: int = 32  # global
    max_boxes: int = 100
    shuffle_buffer: int = 2048
    keypoints: int = 0  # K, see `keypoints_of`
    keypoint_pairs: tuple[tuple[int, int], ...] = ()  # (left, right), swapped by a mirrored picture
    max_proposals: int = 0  # rows of "proposals" that a training picture has, see proposed.given_of
    repeats: Repeats | None = None  # training: rare classes are read more often; None = all once
    broken: Broken | None = None  # training: records that cannot be decoded
    target_scale: int = 1  # sides of the target picture in sides of the input

    @property
    def together(self) -> int:
        """How many rows the augmentation mixes, see mix.rows_together."""
        return mix.rows_together(self.augment, self.fields)


def keypoints_of(records: pathlib.Path) -> dict:
    """{"keypoints": K, "keypoint_pairs": ...} by the manifest, as a Stream takes them."""
    manifest = json.loads((pathlib.Path(records) / "manifest.json").read_text())
    pairs = tuple((left, right) for left, right in manifest.get("keypoint_pairs", ()))
    return {"keypoints": len(manifest.get("keypoints", ())), "keypoint_pairs": pairs}


def training_batches(
    stream: Stream, *, start_step: int = 0, context: tf.distribute.InputContext | None = None
) -> tf.data.Dataset:
    """Endless batches from `start_step` on: {"image", "targets", "source_id"}; text has no image.

    Fields with proposals: also "proposals" [B, max_proposals, 4], in another order in each epoch:
    the first of any kind are a random sample.

    Under tf.distribute this is one input pipeline's part: batches of batch_size / replicas rows.
    """
    pipelines = context.num_input_pipelines if context else 1
    pipeline = context.input_pipeline_id if context else 0
    replicas = context.num_replicas_in_sync if context else 1
    if stream.batch_size % replicas:
        raise ValueError(
            f"train.batch_size {stream.batch_size} does not divide by the {replicas} replicas"
        )
    rows = stream.batch_size // pipelines
    if rows % stream.together:
        raise ValueError(
            f"train.batch_size {stream.batch_size} gives each of {pipelines} workers {rows} rows: "
            f"this augmentation mixes {stream.together} at a time, of which it must be a multiple"
        )
    raw = raw_records(stream, start_step)
    if pipelines > 1:
        raw = raw.batch(stream.batch_size, drop_remainder=True)
        own = slice(pipeline * rows, (pipeline + 1) * rows)
        raw = raw.map(as_written(lambda *both: tuple(each[own] for each in both))).unbatch()
    planned = raw.batch(BLOCK).map(
        as_written(lambda serialized, epoch: planned_block(stream, serialized, epoch)),
        num_parallel_calls=2,
        deterministic=True,
    )
    # keras-cv's operations have Python control flow over tensors.
    searching = stream.augment.autoaugment or stream.augment.randaugment
    example = functools.partial(training_example, stream)
    examples = planned.unbatch().map(
        example if searching else as_written(example),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if stream.together > 1:
        num_classes = len(label_map.read(stream.records / "labels.txt"))
        examples = mix.mixed(examples, stream.augment, stream.fields, num_classes, stream.encode)
    batches = examples.batch(stream.batch_size // replicas, drop_remainder=True)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.prefetch(2).with_options(options)


def raw_records(stream: Stream, start_step: int) -> tf.data.Dataset:
    """(serialized, epoch) of training, for ever, from the first record of a step on."""
    size = stream.repeats.reads if stream.repeats else count(stream.records, stream.split)
    return endless(
        shards(stream.records, stream.split),
        *divmod(start_step * stream.batch_size, size),
        seed=stream.seed,
        buffer=stream.shuffle_buffer,
        repeats=stream.repeats,
    )


def evaluation_batches(stream: Stream) -> tf.data.Dataset:
    """Every record once, in file order; the last batch is short.

    {"image", "matrix", "size", "serialized"}: matrix [B, 3, 3] maps pixels of the picture to pixels
    of the network's input, size [B, 2] int32 is the picture's (height, width). Fields with
    proposals: also "proposals" [B, R, 4] by rank. Without pictures, {"sentence" or "signal",
    "serialized"}.
    """
    files = tf.data.TFRecordDataset(shards(stream.records, stream.split))

    def prepare(serialized):
        if content := parse.content_of(stream.fields):
            parsed = parse.block(serialized[None], (content,))
            return {content: parsed[content][0], "serialized": serialized}
        parsed = tf.io.parse_single_example(serialized, parse.PICTURE)
        image = decode(parsed["image/encoded"], stream.preprocess)
        size = tf.shape(image)[:2]
        image, matrix = fit(image, stream.preprocess, stream.preprocess.size)
        row = {"image": image, "matrix": matrix, "size": size, "serialized": serialized}
        if "frames" in stream.fields:
            row["frames"] = film.of_record(serialized, image, pictures.rgb)
        if "proposals" in stream.fields:
            row["proposals"] = proposed.fitted(serialized, size, matrix, stream.preprocess.size)
        return row

    rows = files.map(as_written(prepare), num_parallel_calls=tf.data.AUTOTUNE)
    # As many proposals as each picture has.
    joined = rows.padded_batch if "proposals" in stream.fields else rows.batch
    return joined(stream.batch_size).prefetch(2)


def planned_block(stream: Stream, serialized: tf.Tensor, epoch: tf.Tensor) -> dict:
    """[B] records parsed, with all that is random drawn by (seed, source_id, epoch), boxes moved.

    Nothing is decoded. The rows are what `training_example` takes.
    """
    serialized = broken.replaced(serialized, stream.broken)
    parsed = parse.block(serialized, stream.fields, stream.keypoints)
    key = draws.key_for(stream.seed, parsed["source_id"], epoch)
    if "captions" in parsed:
        draw = draws.uniform(key, "caption", 1)[:, 0]
        parsed["caption"] = parse.random_caption(parsed["captions"], draw)
        parsed["epoch"] = epoch
        parsed["seed"] = tf.cast(draws.uniform(key, "words", 2) * 2.0**24, tf.int32)
    if not parse.has_picture(stream.fields):
        return parsed
    policy, size = stream.augment, stream.preprocess.inside.size
    if search.active(policy):
        parsed["search"] = draws.uniform(key, "search", search.draws_of(policy))
    if stream.together > 1:
        parsed["mix"] = draws.uniform(key, "mix", mix.DRAWS)
    shape = parsed["height"], parsed["width"]
    made = plan.make(
        policy,
        key,
        *shape,
        aspect=None if stream.preprocess.resize == "stretch" else size[1] / size[0],
        boxes=parsed.get("boxes"),
        valid=parsed.get("valid"),
    )
    made["matrix"] = _onto_input(stream, key, *shape) @ made["matrix"]
    if geometry.straight(policy):
        snapped = window.snap(made["matrix"], *shape, size)
        made["matrix"] = snapped.matrix
        parsed["window"] = snapped
    if "outlines" in parsed:
        most = stream.max_boxes
        parsed["unlabelled"] = unlabelled.rows(policy, parsed, made, size, most)
    if "boxes" in parsed:
        parsed.update(_moved_objects(stream, parsed, made))
    if "proposals" in parsed:
        parsed["proposals"] = proposed.moved(policy, parsed, made, size, stream.max_proposals)
    return {**parsed, "plan": made}


def training_example(stream: Stream, row: dict) -> dict:
    """One row of `planned_block` decoded, drawn, encoded: {"image", "targets", "source_id"}.

    A row that will be mixed keeps its numbers, "mix", and its boxes as they are: see mix.mixed.

    What `encode` receives in one dict has, by the stream's fields: labels [max_boxes] int64, filled
    up with -1; boxes [max_boxes, 4] pixels of the input, classes and valid [max_boxes]; masks
    [max_boxes, H, W] uint8 0 or 1; segmentation [H, W] uint8, 255 outside the picture; keypoints
    [max_boxes, K, (y, x, visibility)] pixels; unlabelled [H, W] uint8, 1 where there is what is not
    learnt; target float32 [H * target_scale, W * target_scale,
    C]; captions strings, parse.CAPTIONS or more, filled up with "", one of them drawn: caption;
    epoch int64 and seed [2] int32 of the record in it, beside captions; sentence; signal, encoded.
    Where the input has a margin, "the input" and H x W are what lies inside it.
    """
    example = {"source_id": row["source_id"]}
    if parse.has_picture(stream.fields):
        example["image"] = _image(stream, row)
    if "proposals" in row:
        example["proposals"] = row["proposals"]
    if "frames" in row:
        example["frames"] = film.beside(
            example["image"], row["frames"], lambda frame: _image(stream, {**row, "encoded": frame})
        )
    if "search" in row:
        image = example["image"]
        example["image"] = search.searched(image, stream.augment, stream.fields, row["search"])
    if "mix" in row:
        example["mix"] = row["mix"]
    annotation = _annotation(stream, row)
    # Boxes are encoded once they are mixed.
    later = "mix" in row and "boxes" in stream.fields
    example["targets"] = annotation if later else stream.encode(annotation)
    return example


def _onto_input(stream: Stream, key, height, width) -> tf.Tensor:
    """[B, 3, 3] from the canvas of the picture's size onto the network's input."""
    preprocess = stream.preprocess.inside
    if crops.fills(stream.augment):
        preprocess = dataclasses.replace(preprocess, resize="stretch")
    if preprocess.whole:
        return crops.part_matrix(height, width, preprocess.size, draws.uniform(key, "part", 2))
    return fit_matrix(height, width, preprocess, preprocess.size)


def _image(stream: Stream, row: dict) -> tf.Tensor:
    size, policy, made = stream.preprocess.inside.size, stream.augment, row["plan"]
    if "window" not in row:
        image = render.picture(decode(row["encoded"], stream.preprocess), policy, made, size)
    else:
        filled, axes = crops.inside(policy), geometry.flipped(policy)
        part = pictures.part(row["encoded"], stream.preprocess, row["window"])
        image = window.draw(part, row["window"], size, FILL, filled=filled, axes=axes)
        image = plan.finish(image, policy, made)
    return mirrored(image, stream.preprocess.margin) if stream.preprocess.margin else image


def _moved_objects(stream: Stream, parsed: dict, made: plan.Plan) -> dict:
    """What is learnt of boxes, classes, keypoints, masks [B, max_boxes, ...]: none difficult."""
    size, shape = stream.preprocess.inside.size, (parsed["height"], parsed["width"])
    sides = tf.cast(tf.stack(shape * 2, -1), tf.float32)[:, None, :]
    boxes, keep = plan.move_boxes(stream.augment, made, parsed["boxes"] * sides, *shape, size)
    objects = {"boxes": boxes, "classes": parsed["classes"]}
    if "keypoints" in parsed:
        points = parsed["keypoints"] * tf.pad(
            sides[..., None, :2], [[0, 0]] * 3 + [[0, 1]], constant_values=1
        )
        objects["keypoints"] = plan.move_keypoints(
            stream.augment, made, points, *shape, size, stream.keypoint_pairs
        )
    if "masks" in parsed:
        objects["masks"] = parsed["masks"]
    keep &= parsed["learn"]
    most = tf.shape(keep)[1]
    # Those that stay come first, in their order.
    place = tf.range(most) + tf.where(keep, 0, most)
    order = tf.math.top_k(-place, tf.minimum(most, stream.max_boxes)).indices
    packed = {"valid": tf.gather(keep, order, batch_dims=1)}
    for name, values in objects.items():
        values = tf.gather(values, order, batch_dims=1)
        valid = tf.reshape(
            packed["valid"], [*tf.unstack(tf.shape(order)), *[1] * (values.shape.rank - 2)]
        )
        packed[name] = tf.where(
            valid, values, tf.zeros([], values.dtype) if values.dtype != tf.string else ""
        )
    return {name: parse.filled_up(values, stream.max_boxes) for name, values in packed.items()}


def _annotation(stream: Stream, row: dict) -> dict:
    """What `encode` receives in one dict; see `training_example`."""
    size = stream.preprocess.inside.size if parse.has_picture(stream.fields) else ()
    made, shape = row.get("plan"), (row.get("height"), row.get("width"))
    told = (*parse.WITHOUT_PICTURE, "captions", "caption", "epoch", "seed")
    annotation = {name: row[name] for name in told if name in row}
    if "labels" in row:
        labels = row["labels"][: tf.minimum(row["num_labels"], stream.max_boxes)]
        missing = stream.max_boxes - tf.shape(labels)[0]
        labels = tf.pad(labels, [[0, missing]], constant_values=-1)
        annotation["labels"] = tf.ensure_shape(labels, [stream.max_boxes])
    annotation.update({name: row[name] for name in ("boxes", "classes", "valid") if name in row})
    if "keypoints" in row:
        annotation["keypoints"] = row["keypoints"]
    if "unlabelled" in row:
        annotation["unlabelled"] = unlabelled.drawn(row["unlabelled"], made, size)

    def moved(png, fill, full):
        def drawn():
            return render.labels(tf.io.decode_png(png, 1), made, size, fill)[..., 0]

        empty = tf.fill(size, tf.constant(fill, tf.uint8))
        return tf.cond(tf.strings.length(png) > 0, drawn, lambda: empty) // full

    if "masks" in row:
        pngs = row["masks"][: tf.reduce_sum(tf.cast(row["valid"], tf.int32))]
        masks = tf.map_fn(
            lambda png: moved(png, 0, 255), pngs, fn_output_signature=tf.TensorSpec(size, tf.uint8)
        )
        annotation["masks"] = parse.filled_up(masks[None], stream.max_boxes)[0]
    if "segmentation" in row:
        annotation["segmentation"] = moved(row["segmentation"], render.IGNORE, 1)
    if "target" in row:
        larger = tuple(side * stream.target_scale for side in size)
        image = decode(row["target"], stream.preprocess)
        annotation["target"] = render.pair(image, made, shape, size, larger)
    return annotation
