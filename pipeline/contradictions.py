"""What the sections of a recipe, a pipeline.config.Recipe, say against each other."""

from __future__ import annotations

from typing import Any

from convoy.models import tasks

_OF_COLORS = ("saturation", "hue", "pca_color", "gray")  # of augment: of red, green and blue
_OF_BYTES = ("jpeg_quality", "randaugment", "autoaugment")  # ... of 8-bit gray or RGB


def of(recipe: Any) -> str:
    """One contradiction in words; empty where there is none."""
    return _learning(recipe) or _channels(recipe) or _smaller(recipe)


def _smaller(recipe: Any) -> str:
    """About pictures that are made smaller at ingest."""
    if recipe.ingest.max_side and "target" in tasks.row(recipe.task).fields:
        return (
            f"ingest.max_side changes what {recipe.task} learns to bring back: leave it out; "
            "`augment` cuts parts of large pictures"
        )
    return ""


def _channels(recipe: Any) -> str:
    """About pictures that are no 8-bit RGB."""
    data, row = recipe.data, tasks.row(recipe.task)
    if data.channels is None:
        needs = "data.bits: 16 needs data.channels, how many each picture has (1 gray, 3 RGB)"
        return needs if data.bits != 8 else ""
    what = f"data.channels is {data.channels}, data.bits {data.bits}"
    for field in ("target", "sentence", "signal"):
        if field in row.fields:
            return f"data.channels: is not for {recipe.task}: leave it out"
    if (data.channels, data.bits) == (3, 8):
        return ""
    colors = data.channels in (1, 3)
    for section, policy in (("augment", recipe.augment), ("ingest.augment", recipe.ingest.augment)):
        for key in () if colors else _OF_COLORS:
            if getattr(policy, key):
                return f"{section}.{key} changes red, green and blue, but {what}: set it to 0"
        for key in () if colors and data.bits == 8 else _OF_BYTES:
            if getattr(policy, key):
                return f"{section}.{key} is of 8-bit gray or RGB, but {what}: set it to null"
    if recipe.ingest.copies and not (colors and data.bits == 8):
        return (
            f"ingest.copies are made of 8-bit gray or RGB, but {what}: set it to 0; `augment` "
            "changes pictures while they are learnt"
        )
    if recipe.ingest.proposals != "none":
        return f"ingest.proposals are found in 8-bit RGB, but {what}"
    if recipe.train.mode == "extract":
        return f"train.mode: extract reads features of 8-bit RGB, but {what}: take fine_tune"
    if recipe.evaluate.tta:
        return f"evaluate.tta is of 8-bit RGB, but {what}: leave it out"
    return ""


def _learning(recipe: Any) -> str:
    """About transfer learning."""
    mode, networks = recipe.train.mode, recipe.model.features or (recipe.model,)
    row = tasks.row(recipe.task)
    if mode not in row.modes:
        fit = " and ".join(name for name, row in tasks.TASKS.items() if mode in row.modes)
        return f"train.mode: {mode} is for {fit}, the task is {recipe.task}"
    if mode != "scratch":
        for network in networks:
            if not (network.init_from or network.weights):
                advice = f"set init_from or weights of {network.name}"
                return f"train.mode: {mode} starts from weights: {advice}"
    for head in (network.head for network in (recipe.model, *recipe.model.features)):
        if head != "own" and mode == "extract":
            return "model.head: extract puts a linear layer on features: leave model.head out"
        if head not in row.heads:
            fit = " and ".join(name for name, row in tasks.TASKS.items() if head in row.heads)
            return f"model.head: {head} is for {fit}, not {recipe.task}"
    if recipe.train.class_weights != "none" and "class_weights" not in row.options:
        fit = " and ".join(n for n, row in tasks.TASKS.items() if "class_weights" in row.options)
        return f"train.class_weights: is for {fit}, the task is {recipe.task}"
    named = recipe.train.class_weights
    if recipe.data.labels and isinstance(named, dict) and row.label_map == "labels":
        for name in named:
            if name not in recipe.data.labels:
                listed = ", ".join(recipe.data.labels[:10])
                return f"train.class_weights: {name!r} is not among data.labels: {listed}"
    if recipe.train.stages and mode != "fine_tune":
        return f"train.stages: only fine_tune has stages, train.mode is {mode}"
    if recipe.model.features and mode != "extract":
        return f"model.features: only extract joins networks, train.mode is {mode}"
    if any(network.features for network in recipe.model.features):
        return "model.features: a network among the features has features of its own"
    return ""
