"""Recipes: strict, flat YAML read into frozen pydantic models; each field states unit and range.

`load(path, overrides)` is the only way in: an unknown key is an error that names the closest known
one, `--set section.key=value` overrides are parsed as YAML values and checked like the file's own.
"""

from __future__ import annotations

import difflib
import pathlib
import shlex
import warnings
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import Field

from convoy.data.augment.policy import Augment
from convoy.data.sources import SOURCES
from convoy.models import tasks
from convoy.pipeline import contradictions, recipe_errors, recipe_yaml
from convoy.pipeline.cron import is_cron
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.evaluation import views

# Deprecated methods of pydantic's; what a recipe calls its keys matters more.
warnings.filterwarnings("ignore", r'Field name "(validate|schema)" in "\w+" shadows')

Weight = Annotated[float, Field(ge=0)]  # of a class in the loss


class Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Data(Section):
    """Where the pictures are."""

    format: str = "auto"  # see docs/data.md; auto = found by the layout; tfds:NAME
    path: str = ""  # folder or archive of the data set; digits: where the devkit is built
    train: str = "train"  # name of the split to train on
    val: str | None = None  # split for best-checkpoint and early stop; None = keep the last weights
    test: str = "val"  # split that the evaluator and the gate use
    holdout: float = Field(0.2, gt=0, lt=1)  # part hashed into "val" where the source has no splits
    labels: tuple[str, ...] = ()  # class names in order; empty = found in the data, sorted
    image_sets: str = ""  # voc: the folder of ImageSets to follow; empty = Main, or what there is
    ignore: int | None = Field(None, ge=0, le=255)  # value of label pictures: "not labelled"
    scale: int = Field(4, ge=2, le=16)  # super-resolution: small picture = large / scale
    attributes: tuple[str, ...] = ()  # csv: columns of one property each, classes COLUMN=VALUE
    # pairs: 5 = with the two pictures before and the two behind it in its folder, by name
    frames: Literal[1, 5] = 1
    align: Literal["none", "homography"] = "none"  # ... laid onto the picture
    exif: Literal["auto", "upright", "stored"] = "auto"  # how turned pictures were annotated
    # Of each picture; None = 8-bit gray or RGB, as the network wants; see docs/data.md
    channels: int | None = Field(None, ge=1, le=256)
    bits: Literal[8, 16] = 8  # of each value that is kept; 16 needs channels

    @pydantic.field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        formats = ("auto", *SOURCES)
        if value.partition(":")[0] in formats:
            return value
        close = difflib.get_close_matches(value, formats, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(formats)}"
        raise ValueError(hint)


class Ingest(Section):
    """ExampleGen: raw data to TFRecords."""

    copies: int = Field(0, ge=0)  # augmented copies per training sample, beside the original
    augment: Augment = Augment()  # what the copies go through
    shard_mb: float = Field(64.0, gt=0)  # wanted size of a shard, MiB of pictures
    max_rejected: float = Field(0.05, ge=0, le=1)  # part of the samples; more, if > 1, is a failure
    max_pixels: int = Field(100_000_000, gt=0)  # a larger picture is refused before decoding
    max_side: int | None = Field(None, ge=32)  # pixels; larger pictures are made smaller, once
    # Boxes for networks on given proposals, see data/proposals.py.
    proposals: Literal["none", "selective_search", "selective_search_quality", "edge_boxes"] = (
        "none"
    )
    max_proposals: int = Field(2000, gt=0)  # per picture, the first by rank
    edge_model: str = ""  # edge_boxes: file of a structured-edge forest; empty = gradients
    beam: tuple[str, ...] = ()  # Beam options, such as ["--runner=FlinkRunner"]


class Validate(Section):
    """ExampleValidator: over one of these limits nothing is trained. None = only reported."""

    schema: str = ""  # a schema.pbtxt to edit; made where there is none; empty = in RUN_DIR
    max_leakage: float | None = Field(0.01, ge=0, le=1)  # part of val or test that train has too
    max_copies: float | None = Field(0.5, ge=0, le=1)  # part of a split that repeats its pictures
    max_bad_boxes: float | None = Field(0.01, ge=0, le=1)  # part of boxes: outside, without area
    max_empty: float | None = Field(0.9, ge=0, le=1)  # detection: part of pictures without objects
    max_bad_label_maps: float | None = Field(0.01, ge=0, le=1)  # unreadable, of other sizes, values
    max_unlabelled: float | None = Field(0.5, ge=0, le=1)  # part of pictures: no labelled pixel
    max_unmatched: float | None = Field(0.9, ge=0, le=1)  # part of boxes that no prior reaches
    max_untrained: float | None = Field(None, ge=0, le=1)  # part of classes that train lacks
    max_imbalance: float | None = Field(None, ge=1)  # most over least frequent class of train
    max_skew: float | None = Field(None, ge=0, le=1)  # train to val, test; None = the schema's
    max_drift: float | None = Field(None, ge=0, le=1)  # from the last valid run; None = the same


class Model(Section):
    """Which network."""

    name: str = "ssd_mobilenet_v1"  # see `convoy models`
    input_size: tuple[int, int] | None = None  # height, width in pixels; None = the network's own
    backbone: str | None = None  # of a detector that takes any, such as ssd; None = its own
    width: float = Field(1.0, gt=0)  # MobileNet's width multiplier; 1.0 for every other network
    dropout: float = Field(0.0, ge=0, lt=1)  # before the last layer; YOLOv4: DropBlock
    anchors: tuple[tuple[float, float], ...] = ()  # YOLO: width, height in pixels
    priors: Literal["voc", "coco"] = "voc"  # ssd300_vgg16, ssd512_vgg16: for whose boxes
    head: Literal["own", "weldon"] = "own"  # weldon: on the last map, by its extreme positions
    init_from: str | None = None  # checkpoint folder of an earlier run: weights only
    weights: str | None = None  # published weights: imagenet, a file, or its https:// address
    feature_layer: str | None = None  # extract: the layer to read; None = what the last one sees
    features: tuple[Model, ...] = ()  # extract: several networks joined, each with its own weights
    widths: dict[str, int] = {}  # channels of narrowed layers; `convoy prune` writes it
    max_words: int | None = Field(None, gt=0)  # of a sentence; None: text 56, captioning 20
    least_count: int = Field(5, gt=0)  # captioning: words that occur less often are not learnt
    samples: int | None = Field(None, gt=0)  # signals: that are seen; None = the network's own
    word_vectors: str | None = None  # text: file of word2vec, .bin or text; None = random ones

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named_by_features(cls, raw: Any) -> Any:
        """Networks of `features` may be bare names; the first one names the whole."""
        if not isinstance(raw, dict) or not isinstance(raw.get("features"), (list, tuple)):
            return raw
        features = [{"name": part} if isinstance(part, str) else part for part in raw["features"]]
        first = features[0] if features and isinstance(features[0], dict) else {}
        return {"name": first["name"], **raw, "features": features} if "name" in first else raw

    @pydantic.model_validator(mode="after")
    def _one_beginning(self):
        if self.init_from and self.weights:
            raise ValueError("init_from and weights: give one of them, both set all weights")
        return self


class Stage(Section):
    """One part of a fine-tuning: what learns, for how long, how fast."""

    unfreeze: str = "all"  # head | all | the first of the network's maps that learns: s32, s16, ...
    epochs: float = Field(gt=0)
    learning_rate: float = Field(gt=0)  # peak


class Train(Section):
    """The trainer."""

    mode: Literal["scratch", "fine_tune", "extract"] = "scratch"  # the last two: from weights
    stages: tuple[Stage, ...] = ()  # fine_tune: one after the other; none = all, by the keys below
    backbone_rate: float = Field(1.0, gt=0, le=1)  # fine_tune: its part of learning_rate
    # extract: softmax, or scikit-learn's; svm also of R-CNN and SPP-net, once they have learnt
    head: Literal["linear", "svm", "logistic"] = "linear"
    # svm, logistic: weight of the errors beside |w|^2 / 2; R-CNN's is 0.001
    head_c: float = Field(1.0, gt=0)
    feature_scale: Literal["none", "l2", "rcnn"] = "none"  # extract: unit length; mean length 20
    strategy: Literal["auto", "one", "mirrored", "multi_worker"] = "auto"
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    batch_size: int = Field(32, gt=0)  # global, over all replicas
    epochs: float = Field(10, gt=0)
    max_hours: float | None = Field(None, gt=0)  # stop cleanly after this long; None = never
    optimizer: Literal["sgd", "momentum", "adam", "adamw", "rmsprop", "adadelta"] = "momentum"
    learning_rate: float = Field(0.01, gt=0)  # peak
    schedule: Literal["constant", "step", "cosine"] = "cosine"
    warmup_epochs: float = Field(0.0, ge=0)  # linear from 0
    step_epochs: tuple[float, ...] = ()  # "step": where the rate is multiplied by step_factor
    step_factor: float = Field(0.1, gt=0, lt=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)  # L2 on kernels alone; adamw: decoupled
    clip_norm: float | None = Field(None, gt=0)  # global gradient norm
    ema: float | None = Field(None, gt=0, lt=1)  # decay of the averaged weights; None = off
    label_smoothing: float = Field(0.0, ge=0, lt=1)  # classification, text, YOLOv4
    label_loss: Literal["sigmoid", "softmax"] = "sigmoid"  # multilabel
    # Of the classes in the loss: auto = n / (K n_c), of label maps median; or by name, others 1
    class_weights: Literal["none", "auto", "median"] | tuple[Weight, ...] | dict[str, Weight] = (
        "none"
    )
    # How often a record is read: (n_max / n_c) ** balance times, of its rarest class; 1 = all alike
    balance: float = Field(0.0, ge=0, le=1)
    scheduled_sampling: float = Field(0.0, ge=0, le=1)  # captioning: part of words told its own
    sampling_epochs: float = Field(25.0, gt=0)  # until that part is reached, from 0 on
    dice: float = Field(0.0, ge=0)  # segmentation: weight of Dice's loss beside the cross entropy
    border_weight: float = Field(0.0, ge=0)  # segmentation: U-Net's w0, its paper's is 10
    eval_epochs: float = Field(1.0, gt=0)  # epochs between evaluations on `data.val`
    checkpoint_minutes: float = Field(5.0, gt=0)  # between saves for resume
    patience: int | None = Field(None, gt=0)  # evaluations without a better score
    keep: int = Field(2, gt=0)  # newest checkpoints to keep, beside the best
    log_steps: int = Field(20, gt=0)  # steps between progress lines
    shuffle_buffer: int = Field(2048, gt=0)  # records
    max_boxes: int = Field(100, gt=0)  # boxes per picture that the loss sees


class Evaluate(Section):
    """The evaluator and its gate."""

    metric: str = ""  # the gate's metric; empty = the task's own, such as AP50, top1, voc_mAP
    threshold: float | None = None  # refuse below; None = no absolute threshold
    min_gain: float = 0.0  # must beat the pushed model by at least this much (0: as good is enough)
    gallery: int = Field(12, ge=0)  # pictures in the report
    batch_size: int = Field(32, gt=0)
    tta: tuple[str | float, ...] = ()  # flip and scales, such as [flip, 1.25]; served is without

    @pydantic.field_validator("tta")
    @classmethod
    def _known_views(cls, value: tuple[str | float, ...]) -> tuple[str | float, ...]:
        return views.check_words(value)


class Export(Section):
    """The SavedModel."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto = the fastest by measurement
    score_threshold: float = Field(0.01, ge=0, le=1)  # detections below are not returned
    iou_threshold: float = Field(0.45, gt=0, le=1)  # non-maximum suppression
    max_detections: int = Field(200, gt=0)
    # soft lowers scores, diou looks at centres too, agnostic lets no two classes share a place
    suppression: Literal["hard", "soft", "diou", "agnostic"] = "hard"
    label_threshold: float | None = Field(None, ge=0, le=1)  # multilabel; None = the loss' own
    label_count: int | None = Field(None, gt=0)  # multilabel: classes of every picture, if known
    beam: int = Field(3, gt=0, le=100)  # captioning: sentences that are kept; 1 = greedy
    tolerance: float = Field(0.02, gt=0)  # bfloat16 is refused where scores differ by more


class Push(Section):
    """Where a blessed model goes: MODEL_DIR/NAME/VERSION, the layout of TF Serving."""

    model_dir: str = ""  # empty = RUN_DIR/served
    keep: int = Field(3, gt=0)  # newest versions to keep


class Recipe(Section):
    """One job, from raw pictures to a pushed model."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    task: str  # of the table in models/tasks.py
    seed: int = 0
    run_dir: str = ""  # empty = runs/NAME
    schedule: str | None = None  # cron line for `convoy ui`
    keep_runs: int | None = Field(None, gt=0)  # newest runs whose artifacts stay; None = all do
    # Called with the result as JSON, see hooks.py: a command, or an https:// address.
    on_push: str | None = None  # where another model is served than before
    on_failure: str | None = None  # where a run ends with 1, 2 or 3
    data: Data = Data()
    ingest: Ingest = Ingest()
    validate: Validate = Validate()
    model: Model = Model()
    augment: Augment = Augment()  # while training
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    export: Export = Export()
    push: Push = Push()

    @pydantic.field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        tasks.row(value)  # or the closest name
        return value

    @pydantic.field_validator("on_push", "on_failure")
    @classmethod
    def _callable(cls, value: str | None) -> str | None:
        try:
            words = None if value is None else shlex.split(value)
        except ValueError as error:  # a quotation without an end
            raise ValueError(f"expected a command or an https:// address: {error}") from error
        if words == []:
            raise ValueError("expected a command or an https:// address, got nothing")
        return value

    @pydantic.field_validator("schedule", mode="before")
    @classmethod
    def _cron_line(cls, value: Any) -> Any:
        if value is None or (isinstance(value, str) and is_cron(value)):
            return value
        raise ValueError('expected a cron line of five fields such as "0 3 * * *"')


def load(path: str | pathlib.Path, overrides: tuple[str, ...] | list[str] = ()) -> Recipe:
    """Reads a recipe file and applies `section.key=value` overrides. Raises ConfigError."""
    path = pathlib.Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise ConfigError(f"recipe {path}: cannot be read: {error.strerror}") from error
    try:
        raw = recipe_yaml.read(text)
    except recipe_yaml.RepeatedKey as error:
        raise ConfigError(f"recipe {path}: {error}") from error
    except yaml.YAMLError as error:
        hint = "; a value that begins with * needs quotes" if "an alias" in str(error) else ""
        raise ConfigError(f"recipe {path}: not valid YAML: {error}{hint}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"recipe {path}: expected `key: value` lines, got {type(raw).__name__}")
    for override in overrides:
        override_key(raw, override)
    return parse(raw, str(path))


def parse(raw: dict[str, Any], where: str = "recipe") -> Recipe:
    """Checks a recipe given as nested dicts. Raises ConfigError with one line per mistake."""
    try:
        recipe = Recipe.model_validate(raw)
    except pydantic.ValidationError as error:
        lines = [
            recipe_errors.explain(item, Recipe) for item in recipe_errors.meant(error.errors())
        ]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error
    if mistake := contradictions.of(recipe):
        raise ConfigError(f"{where}: {mistake}")
    return recipe


def dump(recipe: Section) -> str:
    """The complete recipe as YAML, runnable again."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def override_key(raw: dict[str, Any], override: str) -> None:
    """Puts `section.key=value` into the nested dicts of a recipe. Raises ConfigError."""
    key, separator, value = override.partition("=")
    if not separator:
        raise ConfigError(f"--set {override}: expected section.key=value")
    *parents, last = key.strip().split(".")
    target = raw
    for parent in parents:
        if parent == "augment" and isinstance(target.get(parent), str):
            target[parent] = {"policy": target[parent]}  # a named policy, one field changed
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override}: {parent} is a value, not a section")
    try:
        target[last] = recipe_yaml.read(value)
    except recipe_yaml.RepeatedKey as error:
        raise ConfigError(f"--set {override}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML") from error
