"""Each row of tests/golden/params says against what and at which sizes a network was compared.

Here these words are held against the parity tests themselves: what their parameters and bodies
name. A comparison that is deleted, or loses a network or a size, leaves a row without a test.
"""

from __future__ import annotations

import ast
import collections
import importlib
import inspect
import itertools
import json
import pathlib
import re
import textwrap
from collections.abc import Iterator

import numpy as np
import pytest

from convoy import models
from convoy.models.registry import MODELS

TESTS = pathlib.Path(__file__).parent
GOLDEN = TESTS.parent / "golden"
COMPARISONS = {"assert_close", "assert_heads"}  # one of them ends every test of parity
CASE = re.compile(r"(\w+?)_(?:logits_)?(\d+)x(\d+)(?:_\w+)?")  # as in the .npz: network, size
# In tests/models/test_learning*.py, or too large for it; their parts were compared.
LEARNT = {"ssd", "ssd_mobilenet_v1", "faster_rcnn", "mask_rcnn", "rfcn", "zf_caffe", "fcn"}
LEARNT |= {"rcnn_alexnet", "sliding_window", "sppnet_zf5"}
LEARNT |= {"rfcn_resnet50", "rfcn_resnet101"}
LEARNT |= {"openpose_mobilenet", "keypoint_regression", "keypoint_heatmaps"}
PADDED = {
    "faster_rcnn_resnet50_fpn",
    "mask_rcnn_resnet50_fpn",
    "mask_rcnn_resnet101_fpn",
}  # torchvision makes odd sizes multiples of 32

Size = tuple[int, int]


@pytest.fixture(scope="module")
def rows() -> dict[str, dict]:
    paths = (GOLDEN / "params").glob("*.json")
    return {name: row for path in paths for name, row in json.loads(path.read_text()).items()}


@pytest.fixture(scope="module")
def compared() -> dict[str, set[Size]]:
    """{network: sizes, (height, width)} of all tests of tests/models/test_parity*.py."""
    sizes: dict[str, set[Size]] = collections.defaultdict(set)
    for path in sorted(TESTS.glob("test_parity*.py")):
        module = importlib.import_module(f"tests.models.{path.stem}")
        for name, test in vars(module).items():
            if name.startswith("test_") and test.__module__ == module.__name__:
                for network, named in named_by(test).items():
                    sizes[network] |= named
    return sizes


def named_by(test) -> dict[str, set[Size]]:
    """{network: sizes} of one comparison; {} of a test that compares no outputs."""
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(test))).body
    body = [node for statement in function.body for node in ast.walk(statement)]
    calls = {
        node.func.id
        for node in body
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    if not calls & COMPARISONS:
        return {}
    values = [*_constants(body), *_parameters(test)]
    names = {value for value in values if isinstance(value, str) and value in MODELS}
    everywhere = {value for value in values if isinstance(value, tuple)}
    sizes = {name: set(everywhere) for name in names}
    for value in values:
        if isinstance(value, str) and (case := CASE.fullmatch(value)) and case[1] in MODELS:
            sizes.setdefault(case[1], set()).add((int(case[2]), int(case[3])))
    return sizes


def _parameters(test) -> Iterator[str | Size]:
    """Texts and pairs of whole numbers among the values of its parametrize marks."""
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            for value in mark.args[1]:
                yield from _leaves(getattr(value, "values", value))


def _leaves(value) -> Iterator[str | Size]:
    if isinstance(value, str) or _is_size(value):
        yield value
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _leaves(each)


def _constants(body: list[ast.AST]) -> Iterator[str | Size]:
    """Texts, and neighbours among the whole numbers of one tuple or call."""
    for node in body:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, (ast.Tuple, ast.Call)):
            items = node.elts if isinstance(node, ast.Tuple) else node.args
            values = [getattr(item, "value", None) for item in items]
            yield from filter(_is_size, itertools.pairwise(values))


def _is_size(value) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(type(n) is int for n in value)


def _sizes(row: dict) -> set[Size]:
    """Of pictures: "64x97, 75x65"; numbers of words, "15, 64", are none."""
    return {(int(h), int(w)) for h, w in re.findall(r"(\d+)x(\d+)", row.get("sizes", ""))}


def test_every_network_is_compared_by_a_test_at_the_sizes_of_its_row(rows, compared):
    assert {name for name, row in rows.items() if "sizes" not in row} == LEARNT
    assert rows.keys() - compared.keys() == LEARNT
    missing = {name: _sizes(row) - compared[name] for name, row in rows.items() if _sizes(row)}
    assert {name: sizes for name, sizes in missing.items() if sizes} == {}


def test_one_size_of_each_is_odd_or_its_only_one(rows):
    for name, row in rows.items():
        sizes = row.get("sizes", "").split(", ")
        sides = [int(side) for size in sizes for side in size.split("x") if side]
        if len(sizes) == 1 and sides:
            with pytest.raises(ValueError, match=f"{sides[0]}x{sides[0]} px, got"):
                models.build(name, input_size=(sides[0] + 1, sides[0] + 1))
        elif name not in LEARNT:
            # No odd one where none is taken: then one that is not square.
            square = {len(set(size.split("x"))) == 1 for size in sizes}
            if not any(side % 2 for side in sides):
                assert square == {True, False}, name
                if name in PADDED:
                    continue
                with pytest.raises(ValueError, match=r"expected sides of|are multiples of"):
                    models.build(name, input_size=(sides[0] + 1, sides[0] + 1))


def test_every_stored_output_is_of_a_size_in_its_row(rows):
    for path in GOLDEN.glob("*.npz"):  # those that name network and size
        for key in np.load(path):
            case = re.match(r"(.+?)_(\d+)x(\d+)", key)
            if case and case[1] in rows:
                assert (int(case[2]), int(case[3])) in _sizes(rows[case[1]]), key


def test_a_test_that_compares_nothing_names_nothing():
    """The collection itself: by parameters, by its body, and not at all."""
    from tests.models import test_parity, test_parity_alexnet, test_parity_inception

    assert named_by(test_parity.test_equals_keras_applications)["vgg19"] == {(64, 64), (75, 65)}
    assert (32, 32) in named_by(test_parity.test_lenet5_1998_equals_loops)["lenet5_1998"]
    assert named_by(test_parity_alexnet.test_equals_caffe_and_torch)["zfnet"] == {
        (64, 64),
        (93, 75),
    }
    assert named_by(test_parity_inception.test_maps_of_299_pixels) == {}
