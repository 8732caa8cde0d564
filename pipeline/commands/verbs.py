"""All verbs of the command line, in the order of the help; importing them imports no TensorFlow."""

from __future__ import annotations

from convoy.pipeline.commands import datasets, grid, networks, recipes, serving, transfer

VERBS = (
    datasets.VERBS | recipes.VERBS | transfer.VERBS | grid.VERBS | serving.VERBS | networks.VERBS
)
