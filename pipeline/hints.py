"""What a newcomer calls a key of a recipe, and what the recipe calls it."""

from __future__ import annotations

import typing

import pydantic

# Names of other programs -> ours, the likeliest first.
COMMON: dict[str, tuple[str, ...]] = {
    "lr": ("train.learning_rate",),
    "rate": ("train.learning_rate",),
    "base_lr": ("train.learning_rate",),
    "initial_lr": ("train.learning_rate",),
    "epoch": ("train.epochs",),
    "num_epochs": ("train.epochs",),
    "max_epochs": ("train.epochs",),
    "batch": ("train.batch_size",),
    "batchsize": ("train.batch_size",),
    "bs": ("train.batch_size",),
    "decay": ("train.weight_decay",),
    "l2": ("train.weight_decay",),
    "wd": ("train.weight_decay",),
    "amp": ("train.precision",),
    "fp16": ("train.precision",),
    "mixed_precision": ("train.precision",),
    "dtype": ("train.precision",),
    "gpus": ("train.strategy",),
    "distributed": ("train.strategy",),
    "early_stopping": ("train.patience",),
    "warmup": ("train.warmup_epochs",),
    "lr_schedule": ("train.schedule",),
    "size": ("model.input_size",),
    "image_size": ("model.input_size",),
    "img_size": ("model.input_size",),
    "imgsz": ("model.input_size",),
    "input_shape": ("model.input_size",),
    "resolution": ("model.input_size",),
    "network": ("model.name",),
    "arch": ("model.name",),
    "architecture": ("model.name",),
    "pretrained": ("model.weights",),
    "checkpoint": ("model.init_from",),
    "alpha": ("model.width",),
    "classes": ("data.labels",),
    "class_names": ("data.labels",),
    "dataset": ("data.path",),
    "data_dir": ("data.path",),
    "folder": ("data.path",),
    "root": ("data.path",),
    "input": ("data.path",),
    "valid": ("data.val",),
    "validation": ("data.val",),
    "val_split": ("data.val",),
    "flip": ("augment.flip_horizontal", "augment.flip_vertical"),
    "hflip": ("augment.flip_horizontal",),
    "fliplr": ("augment.flip_horizontal",),
    "horizontal_flip": ("augment.flip_horizontal",),
    "mirror": ("augment.flip_horizontal",),
    "vflip": ("augment.flip_vertical",),
    "flipud": ("augment.flip_vertical",),
    "vertical_flip": ("augment.flip_vertical",),
    "rotate": ("augment.rotate_deg",),
    "rotation": ("augment.rotate_deg",),
    "degrees": ("augment.rotate_deg",),
    "shear": ("augment.shear_deg",),
    "translate": ("augment.shift",),
    "blur": ("augment.blur_px",),
    "grayscale": ("augment.gray",),
    "random_crop": ("augment.crop",),
    "cron": ("schedule",),
    "output": ("run_dir",),
    "output_dir": ("run_dir",),
    "save_dir": ("run_dir",),
    "conf": ("export.score_threshold",),
    "confidence": ("export.score_threshold",),
    "iou": ("export.iou_threshold",),
    "max_det": ("export.max_detections",),
    "nms": ("export.suppression", "export.iou_threshold"),
    "agnostic_nms": ("export.suppression",),
    "soft_nms": ("export.suppression",),
}


def key_named(recipe: type[pydantic.BaseModel], name: str) -> str | None:
    """The dotted key of `recipe` that a flag called `name` means: epochs -> train.epochs."""
    section: type[pydantic.BaseModel] | None = recipe
    for part in name.split("."):
        if section is None or part not in section.model_fields:
            break
        section = section_of(section, part)
    else:
        return name
    return COMMON[name][0] if name in COMMON else elsewhere(recipe, name)


def elsewhere(recipe: type[pydantic.BaseModel], name: str) -> str | None:
    """The first section's key of that name, dotted."""
    for key in recipe.model_fields:
        section = section_of(recipe, key)
        if section and name in section.model_fields:
            return f"{key}.{name}"
    return None


def section_of(section: type[pydantic.BaseModel], key: str) -> type[pydantic.BaseModel] | None:
    """What a key of the section holds, if that has keys itself; of a list, what it holds."""
    kind = section.model_fields[key].annotation
    kind = (*typing.get_args(kind), kind)[0]
    return kind if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel) else None
