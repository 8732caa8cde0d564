"""The graph of every network: exact counts, and a table of layers that sums to them."""

from __future__ import annotations

import json
import pathlib

import keras
import pytest

from convoy import models
from convoy.models import count, structure
from convoy.models.registry import MODELS
from convoy.models.spec import Preprocess
from convoy.pipeline.tools import model_table
from tests.models.weightless import weightless

GOLDEN_FILES = sorted((pathlib.Path(__file__).parents[1] / "golden" / "params").glob("*.json"))
GOLDEN = {name: row for path in GOLDEN_FILES for name, row in json.loads(path.read_text()).items()}


def test_every_name_has_a_row_with_a_source():
    assert set(GOLDEN) == set(MODELS) == set(models.list_models())
    assert all(row["source"] and row["outputs"] for row in GOLDEN.values())
    assert sum(len(json.loads(path.read_text())) for path in GOLDEN_FILES) == len(GOLDEN)


def seen_by(model: keras.Model) -> set[str]:
    """Names of the layers that the picture itself goes into, whatever else the model is given."""
    (image,) = (tensor for tensor in model.inputs if tensor.name == "image")
    layer = model.get_layer(image.name)
    return {node.operation.name for node in layer._outbound_nodes}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_counts_are_exact(name):
    model = weightless(name)
    golden, info = GOLDEN[name], models.describe(name)
    counts = (count.params(model), count.macs(model))
    assert counts == (golden["params"], golden["macs"]) == (info.params, info.macs)
    assert model.name == info.name == name
    assert not isinstance(info.preprocess, Preprocess) or seen_by(model) == {"normalize"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_its_table_sums_to_its_counts(name):
    """`lines` itself compares each size by the formula with the built one."""
    model = weightless(name)
    lines = structure.lines(model)
    info = models.describe(name)
    assert sum(line.params for line in lines) == info.params
    assert sum(line.macs for line in lines) == info.macs
    assert [line.depth for line in lines if not line.inputs] == [0] * len(model.inputs)
    assert lines[-1].name in model_table.text(lines)
