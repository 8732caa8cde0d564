"""What a recipe says about its network, looked at before any work is done for it.

`words` reads tables alone; `graph` builds the network without weights.
"""

from __future__ import annotations

import difflib

from convoy import models
from convoy.models import tasks
from convoy.models.spec import Channels
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.evaluation import views
from convoy.pipeline.networks import trained


def run(recipe: Recipe) -> None:
    """Raises ConfigError, and FileNotFoundError where model.init_from names nothing."""
    try:
        words(recipe)
        for part in recipe.model.features or (recipe.model,):
            if part.init_from:
                trained.find(part.init_from)
        graph(recipe)
    except ValueError as error:
        raise ConfigError(f"recipe {recipe.name}: {error}") from error


def words(recipe: Recipe) -> None:
    """Names of networks, what they are for, and of the gate's metric. Raises ValueError."""
    for part in recipe.model.features or (recipe.model,):
        allowed = models.tasks_of(part.name)  # or the closest names
        if recipe.task not in allowed and part.head == "own":
            raise ValueError(
                f"model.name: {part.name} is for {' and '.join(allowed)}, not for {recipe.task}; "
                "`convoy models` lists what is"
            )
        if "proposals" in models.takes_of(part.name) and recipe.ingest.proposals == "none":
            raise ValueError(
                f"ingest.proposals: {part.name} is given proposals, the recipe makes none: set it "
                "to selective_search, selective_search_quality or edge_boxes"
            )
    classes(recipe)
    if recipe.evaluate.tta:
        try:
            views.check_task(recipe.task)
        except ValueError as error:
            raise ValueError(f"evaluate.tta: {error}") from None
    metric, allowed = recipe.evaluate.metric, tasks.row(recipe.task).metrics
    if metric and metric not in allowed:
        close = difflib.get_close_matches(metric, allowed, n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(
            f"evaluate.metric {metric!r}: {hint}of {recipe.task} there are {', '.join(allowed)}"
        )


def classes(recipe: Recipe) -> None:
    """Whether what balances the classes is of use to the task. Raises ValueError."""
    row, train = tasks.row(recipe.task), recipe.train
    if train.balance and row.needs != "class":
        allowed = [name for name, other in tasks.TASKS.items() if other.needs == "class"]
        raise ValueError(f"train.balance is for {' and '.join(allowed)}, not for {recipe.task}")
    for key, given in (
        ("class_weights", train.class_weights != "none"),
        ("balance", train.balance),
    ):
        if given and train.mode == "extract":
            raise ValueError(f"train.{key} is not used where train.mode is extract: leave it out")
    if train.class_weights == "median" and row.label_map == "labels":
        raise ValueError(
            "train.class_weights: median is of the pixels of label maps; expected auto, weights by "
            "name, or none"
        )


def graph(recipe: Recipe) -> None:
    """Whether the network can be built as the recipe says, and has what its stages name.

    Raises ValueError.
    """

    from convoy.pipeline.networks import network
    from convoy.pipeline.training import stages

    model = network.with_source_widths(recipe.model)
    from convoy.models.keras_internals import without_values

    with without_values():  # no weights are drawn
        words = ("a",) if "vocabulary" in tasks.row(recipe.task).options else ()
        channels = recipe.data.channels and Channels(recipe.data.channels, recipe.data.bits)
        made_for = {"task": recipe.task, "vocabulary": words, "channels": channels}
        task = network.build(model, ("a=1", "a=2"), recipe.train, **made_for)
    head = recipe.train.head
    fits = recipe.train.mode == "extract" or (head == "svm" and task.fitted is not None)
    if head != "linear" and not fits:
        raise ValueError(
            f"train.head: expected linear where train.mode is {recipe.train.mode}, got {head}: of "
            "extract there are others, and R-CNN and SPP-net take svm behind their training"
        )
    for stage in recipe.train.stages:
        stages.frozen(task.model, model, stage.unfreeze)
    if recipe.train.backbone_rate != 1.0:
        stages.backbone(model)
