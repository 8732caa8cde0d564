"""A recipe for what was seen, before it is measured: network, input, augmentation, epochs.

Every value is a rule of thumb of ours, and the remark beside it says why. Small networks for the
CPU, larger ones for a GPU; published weights where the network has some that can be had.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from convoy.models import registry
from convoy.models import tasks as table
from convoy.models.spec import SERIES_RATE
from convoy.pipeline.tools.init import kinds, sizes
from convoy.pipeline.tools.init.look import Look
from convoy.pipeline.tools.init.machine import Machine, has_weights
from convoy.pipeline.tools.init.pictures import augmentation

LEAST_EPOCHS, MOST_EPOCHS = 3, 300


@dataclasses.dataclass
class Proposal:
    """A recipe as nested dicts, and remarks by key: {"model.input_size": "..."}."""

    raw: dict[str, Any]
    remarks: dict[str, str]

    def set(self, section: str, remark: str = "", **values) -> None:
        """Values of a section; the remark is of the first of them."""
        self.raw.setdefault(section, {}).update(values)
        if remark:
            self.remarks[f"{section}.{next(iter(values))}"] = remark


def propose(seen: Look, task: str, possible: dict[str, str], machine: Machine) -> Proposal:
    """The recipe of a task. Its batch and epochs are a beginning: see measure.py."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", seen.path.resolve().name).strip("_") or "data"
    made = Proposal({"name": name, "task": task}, {"task": _why(task, possible)})
    _data(made, seen)
    PROPOSALS[task](made, seen, machine)
    if augment := augmentation(seen, task):
        made.raw["augment"], made.remarks["augment"] = augment
    made.set("train", log_steps=20)
    if machine.bfloat16 and table.row(task).request == "image" and task != "restoration":
        made.set("train", "this machine is faster in it", precision="mixed_bfloat16")
    metric = made.raw.get("evaluate", {}).get("metric") or table.row(task).gate
    told = "what the gate looks at; with evaluate.threshold it pushes nothing below that"
    made.set("evaluate", told, metric=metric)
    return made


def epochs_for(steps: int, batch: int, records: int) -> int:
    """As many as make about so many steps, within 3 and 300."""
    return min(max(math.ceil(steps * batch / records), LEAST_EPOCHS), MOST_EPOCHS)


def _why(task: str, possible: dict[str, str]) -> str:
    others = [f"{name} ({why})" for name, why in possible.items() if name != task]
    return possible[task] + ("; --task takes also " + ", ".join(others) if others else "")


def _data(made: Proposal, seen: Look) -> None:
    counts = ", ".join(f"{split} {count:,}" for split, count in seen.records.items())
    made.set("data", f"found by its layout; {counts} samples", format=seen.format)
    made.set("data", path=str(seen.path.resolve()), train=seen.train)
    judges = [name for name in seen.judges if "test" in name.lower()]
    judges += [name for name in seen.judges if name not in judges]
    if not judges:
        made.set("data", "there is no other split: its numbers are of what was learnt, not of new "
                         "pictures", test=seen.train)  # fmt: skip
    elif len(judges) == 1:
        made.set("data", "the split that the evaluation and the gate use", test=judges[0])
    else:
        made.set("data", "chooses the best checkpoint", val=judges[-1])
        made.set("data", "the split that the evaluation and the gate use", test=judges[0])


def _learn(made: Proposal, seen: Look, *, steps: int, batch: int, optimizer="adamw", **train):
    records = seen.records[seen.train]
    batch = max(min(batch, records // 4), 1)
    epochs = epochs_for(steps, batch, records)
    made.set("train", batch_size=batch)
    made.set("train", f"about {epochs * math.ceil(records / batch):,} steps", epochs=epochs)
    usual = {"learning_rate": 0.001, "schedule": "cosine", "weight_decay": 0.02}
    made.set("train", optimizer=optimizer, **{**usual, **train})
    if made.raw["data"].get("val"):
        made.set(
            "train", "epochs between evaluations on data.val", eval_epochs=max(epochs // 20, 1)
        )


def _fine_tune(made: Proposal, seen: Look, batch: int, rate: float, steps: int = 900) -> None:
    """The head alone first, then everything more slowly."""
    _learn(made, seen, steps=steps, batch=batch, learning_rate=rate, weight_decay=0.0001)
    epochs = made.raw["train"]["epochs"]
    first = max(epochs // 5, 1)
    stages = [
        {"unfreeze": "head", "epochs": first, "learning_rate": rate},
        {"unfreeze": "all", "epochs": max(epochs - first, 1), "learning_rate": rate / 5},
    ]
    made.set("train", "the new head alone first, then all of it", mode="fine_tune")
    made.set("train", stages=stages)


def _whole(made: Proposal, seen: Look, machine: Machine) -> None:
    """Classes of the whole picture."""
    longer, task = max(seen.size), made.raw["task"]
    gray = all(sample.image[:2] != b"\xff\xd8" for sample in seen.samples) and longer <= 32
    if task == "classification" and seen.format == "idx" and gray:
        made.set("model", "small gray pictures", name="lenet5")
        _learn(made, seen, steps=4000, batch=64, learning_rate=0.004, weight_decay=0.01)
        return
    if longer <= 40:
        made.set("model", "a residual network made for pictures this small", name="lm_resnet20")
        _learn(made, seen, steps=5000, batch=64, learning_rate=0.002)
        return
    network = "resnet50" if machine.gpu else "mobilenet_v2"
    if longer >= 96 and has_weights(network):
        made.set("model", "learnt from ImageNet's pictures already: few of yours are enough",
                 name=network, weights="imagenet")  # fmt: skip
        made.set("model", _of(seen), input_size=sizes.square(seen, 224 if machine.gpu else 160))
        _fine_tune(made, seen, batch=32, rate=0.001)
        return
    small, most = ("resnet18", 224) if machine.gpu else ("mobilenet_v1", 128)
    made.set("model", "a small network; no published weights could be had from here", name=small)
    if not machine.gpu:
        made.set("model", "half of its channels", width=0.5)
    made.set("model", _of(seen), input_size=sizes.square(seen, most))
    _learn(made, seen, steps=4000, batch=32)


def _weights(made: Proposal, machine: Machine, network: str, width: float) -> None:
    """Published weights below the rest, where they can be had."""
    backbone = made.raw["model"].get("backbone")
    if has_weights(network, width, backbone):
        made.set("model", "its backbone learnt from ImageNet already", weights="imagenet")


def _boxes(made: Proposal, seen: Look, machine: Machine) -> None:
    width = 1.0 if machine.gpu else 0.5
    made.set("model", "a small and quick detector", name="ssd_mobilenet_v1", width=width)
    made.set("model", _of(seen), input_size=sizes.for_objects(seen, 640 if machine.gpu else 416))
    _weights(made, machine, "ssd_mobilenet_v1", width)
    _learn(made, seen, steps=5000, batch=16, learning_rate=0.004, warmup_epochs=1, ema=0.995)
    _many(made, seen)


def _masks(made: Proposal, seen: Look, machine: Machine) -> None:
    width = 1.0 if machine.gpu else 0.5
    made.set("model", name="mask_rcnn", backbone="mobilenet_v1", width=width)
    made.set("model", _of(seen), input_size=sizes.for_objects(seen, 640 if machine.gpu else 320))
    _weights(made, machine, "mask_rcnn", width)
    _learn(made, seen, steps=4000, batch=8, learning_rate=0.002, clip_norm=10.0, ema=0.995)
    _many(made, seen)


def _many(made: Proposal, seen: Look) -> None:
    if seen.objects > 100:
        made.set("train", "so many objects are in one picture", max_boxes=2 * seen.objects)


def _maps(made: Proposal, seen: Look, machine: Machine) -> None:
    width = 1.0 if machine.gpu else 0.5
    made.set("model", "a small fully convolutional network", name="fcn", width=width)
    made.set("model", _of(seen), input_size=sizes.fitting(seen, 512 if machine.gpu else 256))
    _weights(made, machine, "fcn", width)
    _learn(made, seen, steps=2500, batch=8, learning_rate=0.003, warmup_epochs=0.5, ema=0.995)


def _points(made: Proposal, seen: Look, machine: Machine) -> None:
    having = kinds.with_keypoints(seen)
    if 0 < len(having) < len(seen.labels):
        made.set("data", "the classes whose objects have keypoints", labels=list(having))
    if seen.objects == 1:
        made.set("evaluate", metric="PCK")
        width, side = (1.0, 256) if machine.gpu else (0.5, 128)
        made.set("model", "one object per picture: a map of heat for each keypoint",
                 name="keypoint_heatmaps", backbone="mobilenet_v1", width=width)  # fmt: skip
        made.set("model", _of(seen), input_size=[side, side])
        _weights(made, machine, "keypoint_heatmaps", width)
        _learn(made, seen, steps=4000, batch=8, learning_rate=0.002, ema=0.998)
        return
    side = 368 if machine.gpu else 256
    made.set("model", "several objects per picture", name="openpose_mobilenet")
    made.set("model", _of(seen), input_size=[side, side])
    _weights(made, machine, "openpose_mobilenet", 1.0)
    _learn(made, seen, steps=5000, batch=8, weight_decay=0.0005, clip_norm=100.0)
    made.set("export", score_threshold=0.1)


def _captions(made: Proposal, seen: Look, machine: Machine) -> None:
    network = "show_and_tell"
    made.set("model", name=network, dropout=0.3)
    if has_weights(network):
        made.set("model", "its CNN learnt from ImageNet already", weights="imagenet")
        _fine_tune(made, seen, batch=16, rate=0.001, steps=4000)
    else:
        made.set("model", "a small CNN; no published weights could be had from here",
                 backbone="mobilenet_v1")  # fmt: skip
        _learn(made, seen, steps=4000, batch=16, optimizer="adam", weight_decay=0.0)
    made.set("train", clip_norm=5)


def _restored(made: Proposal, seen: Look, machine: Machine) -> None:
    if seen.format == kinds.ENLARGED:
        made.set("data", "pictures become so many times as large", scale=seen.params.scale)
        made.set("model", name="srcnn_915")
        _learn(made, seen, steps=20000, batch=4, optimizer="adam", weight_decay=0.0, ema=0.999)
        return
    side = max(min(min(seen.size) // 32 * 32, 128), 32)
    made.set("model", "a quarter of its channels", name="dbn", width=0.25)
    made.set("model", "a step sees such a part of each picture", input_size=[side, side])
    _learn(made, seen, steps=4000, batch=4, optimizer="adam", weight_decay=0.0, ema=0.995)


def _sentences(made: Proposal, seen: Look, machine: Machine) -> None:
    made.set("model", "Kim's network on random vectors", name="text_cnn_rand", dropout=0.5)
    rate = {"learning_rate": 1.0, "weight_decay": 0.0}
    _learn(made, seen, steps=2000, batch=50, optimizer="adadelta", **rate)


def _signals(made: Proposal, seen: Look, machine: Machine) -> None:
    from convoy.data.signals import wav

    looks = [wav.look(sample.signal, sample.source_id) for sample in seen.samples]
    if looks[0].rate == SERIES_RATE:
        made.set("model", "for series of numbers", name="series_fcn")
    else:
        rate = registry.describe("wave_m5").preprocess.rate
        longest = max(each.samples / each.rate for each in looks)
        heard = max(round(min(longest, 4.0) * rate), 4000)
        remark = f"{heard / rate:.2g} of up to {longest:.2g} seconds, at {rate} Hz"
        made.set("model", "hears the samples themselves", name="wave_m5")
        made.set("model", remark, samples=heard)
    _learn(made, seen, steps=3000, batch=32, optimizer="adam", weight_decay=0.0001)


def _of(seen: Look) -> str:
    height, width = seen.size
    return f"height, width; the pictures are {height} x {width}, as the median"


PROPOSALS = {
    "classification": _whole,
    "multilabel": _whole,
    "localization": _whole,
    "detection": _boxes,
    "instance": _masks,
    "segmentation": _maps,
    "pose": _points,
    "captioning": _captions,
    "restoration": _restored,
    "text": _sentences,
    "signals": _signals,
}
