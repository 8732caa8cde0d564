"""What a recipe chooses by name: the modules and rows that the tables of `closure` stand for."""

from __future__ import annotations

from convoy.data.sources import SOURCES
from convoy.models import registry, tasks
from convoy.pipeline.closure import Choice
from convoy.pipeline.config import Model, Recipe

PRETRAINED = "convoy.pipeline.networks.pretrained"


def choices(recipe: Recipe) -> dict[str, Choice]:
    """{module that imports by name: what it imports for this recipe}."""
    networks = recipe.model.features or (recipe.model,)
    rows = {name: registry.MODELS[name] for part in networks for name in _names(part)}
    task = tasks.row(recipe.task)
    return {
        "convoy.data.sources": Choice(*_formats(recipe.data.format)),
        "convoy.models.registry": Choice(
            tuple(sorted({row.family.module for row in rows.values()})),
            tuple(f"{name} {row!r}" for name, row in sorted(rows.items())),
        ),
        "convoy.models.tasks": Choice((task.module,), (repr(task),)),
        "convoy.serving.verify": Choice((task.module,)),
        "convoy.pipeline.tasks": Choice((f"convoy.pipeline.tasks.{recipe.task}",)),
        PRETRAINED: Choice((), tuple(_addresses(networks))),
    }


def never(recipe: Recipe) -> tuple[str, ...]:
    """Modules that this recipe never runs, whatever imports them."""
    networks = recipe.model.features or (recipe.model,)
    return () if any(part.weights for part in networks) else (PRETRAINED,)


def _names(model: Model) -> list[str]:
    """Of the network and of the backbone that it stands on."""
    backbone = model.backbone or registry.backbone_of(model.name)
    return [model.name, *([backbone] if backbone else [])]


def _formats(name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(modules, entries) of a format; "auto" asks every reader in the table's order."""
    if name == "auto":
        return tuple(SOURCES.values()), tuple(SOURCES)
    key = name.partition(":")[0]
    return (SOURCES[key],), (key,)


def _addresses(networks: tuple[Model, ...]) -> list[str]:
    """Where the published weights lie; a file or an address in the recipe is a parameter."""
    published = [part for part in networks if part.weights == "imagenet"]
    if not published:
        return []
    from convoy.pipeline.networks import pretrained

    return [pretrained.address(part.name, part.width, part.backbone) for part in published]
