"""Proposals: the same in every run, in pixels of the picture, stored, read, moved, measured."""

from __future__ import annotations

import json
import sys
import types

import cv2
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from convoy.data import example, proposals, tfrecord
from convoy.data.augment.policy import POLICIES, Augment
from convoy.data.ingest.shards import IngestError
from convoy.data.input import parse
from convoy.data.input.input import evaluation_batches, training_batches
from convoy.data.input.proposed import given_of
from convoy.data.sample import Sample
from convoy.data.statistics.partial import describe
from convoy.models.spec import Preprocess
from convoy.pipeline.components import example_gen
from tests.data import build
from tests.data.test_input import stream, take, written

PHOTOGRAPH = sklearn.datasets.load_sample_images().images[0]
METHODS = proposals.METHODS[1:]
PROPOSED = np.array([[0, 0, 10, 20], [5, 10, 20, 30], [2, 30, 18, 40]], np.float32)


def rectangles(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.unique(rng.integers(1, 200, (count, 4)), axis=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_photograph_has_the_same_proposals_in_every_run(method):
    first, again = (proposals.propose(PHOTOGRAPH, method, 100, width_px=120) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert first.shape == (100, 4)
    assert len(np.unique(first, axis=0)) == 100
    height, width = PHOTOGRAPH.shape[:2]
    assert (first[:, :2] >= 0).all()
    assert (first[:, 2:] <= [height, width]).all()
    assert (first[:, 2:] > first[:, :2]).all()
    # Corners are whole pixels of the smaller picture.
    shrunk = first * np.tile([round(height * 120 / width) / height, 120 / width], 2)
    np.testing.assert_allclose(shrunk, np.round(shrunk), atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_fewer_are_the_first_of_more(method):
    """By one order, whatever order OpenCV has them in, which Selective Search changes each run."""
    many = proposals.propose(PHOTOGRAPH, method, 10_000, width_px=120)
    few = proposals.propose(PHOTOGRAPH, method, 20, width_px=120)
    assert len(many) > 100
    if method != "edge_boxes":  # which looks no further than asked
        np.testing.assert_array_equal(few, many[:20])
    assert len(few) == 20


def test_regions_are_those_of_opencv_each_once():
    small = cv2.resize(PHOTOGRAPH, (120, 80), interpolation=cv2.INTER_AREA)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(small[..., ::-1]))
    search.switchToSelectiveSearchFast()
    x, y, w, h = search.process().T
    scale = np.array([PHOTOGRAPH.shape[0] / 80, PHOTOGRAPH.shape[1] / 120] * 2)
    expected = np.unique(np.float32(np.stack([y, x, y + h, x + w], 1) * scale), axis=0)
    found = proposals.propose(PHOTOGRAPH, "selective_search", 10_000, width_px=120)
    np.testing.assert_array_equal(np.unique(found, axis=0), expected)


def test_the_order_does_not_depend_on_opencv_s():
    boxes = rectangles(300)
    shuffled = np.random.default_rng(1).permutation(np.concatenate([boxes, boxes[:50]]))
    np.testing.assert_array_equal(proposals.ranked(shuffled), proposals.ranked(boxes))


def test_large_regions_come_early_but_not_only_they():
    """rank * uniform: the middle rank of the first tenth is far below the middle of all."""
    boxes = rectangles(2000)
    ordered = proposals.ranked(boxes)
    by_area = np.argsort(np.argsort(-np.prod(ordered[:, 2:], axis=1), kind="stable"))
    first = by_area[: len(boxes) // 10]
    assert np.median(first) < 0.15 * len(boxes)
    assert first.max() > 0.5 * len(boxes)
    chances = proposals._chances(boxes)
    assert abs(chances.mean() - 0.5) < 0.03
    assert abs(chances.std() - 12**-0.5) < 0.02


def test_edges_are_thin_and_point_across():
    """A bright disc: edges at its rim alone, their direction that of the radius."""
    y, x = np.mgrid[:80, :80] - 40.0
    disc = np.where(np.hypot(y, x) < 25, 1.0, 0.2).astype(np.float32)[..., None].repeat(3, -1)
    edges, directions = proposals.gradients(cv2, disc)
    rows, columns = np.nonzero(edges > 0.3)
    radius = np.hypot(y[rows, columns], x[rows, columns])
    assert 100 < len(rows) < 350  # 157 px of rim, at most about two pixels wide
    assert (np.abs(radius - 25) < 2).all()
    expected = np.mod(np.arctan2(y[rows, columns], x[rows, columns]), np.pi)
    apart = np.abs(directions[rows, columns] - expected)
    assert np.minimum(apart, np.pi - apart).max() < 0.2
    assert edges.max() == 1.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 1), (5, 4), (40, 30)])
def test_a_picture_of_one_colour_has_the_whole_of_it_or_nothing(method, size):
    pixels = np.zeros((*size, 3), np.uint8)
    found = proposals.propose(pixels, method, 10, width_px=min(30, 8 * size[1]))
    assert found.shape[1:] == (4,)
    if method != "edge_boxes":
        np.testing.assert_allclose(found, [[0, 0, *size]])


def test_objects_on_plain_ground_are_proposed():
    pixels = np.full((120, 160, 3), 230, np.uint8)
    boxes = [(20, 15, 60, 70), (70, 90, 110, 150)]
    for (top, left, bottom, right), color in zip(
        boxes, [(200, 30, 30), (20, 60, 190)], strict=True
    ):
        pixels[top:bottom, left:right] = color
    for method in METHODS:
        found = proposals.propose(pixels, method, 50, width_px=160)
        assert proposals.best_overlaps(boxes, found).min() > 0.7, method


def test_best_overlaps_by_hand():
    """Half of a box of 10 x 10 covered: 50 / 100; a shift by 5: 50 / 150; nothing near: 0."""
    boxes = np.float32([[0, 0, 10, 10], [20, 20, 30, 30], [90, 90, 95, 95]])
    found = proposals.best_overlaps(boxes, np.float32([[0, 0, 5, 10], [20, 25, 30, 35]]))
    np.testing.assert_allclose(found, [0.5, 1 / 3, 0])
    assert proposals.best_overlaps(boxes, np.zeros((0, 4))).tolist() == [0, 0, 0]


def test_what_is_wrong_is_said(tmp_path, monkeypatch):
    with pytest.raises(proposals.ProposalsError, match=r"expected one of none, .*got 'bing'"):
        proposals.propose(PHOTOGRAPH, "bing", 10)
    bad = tmp_path / "model.yml"
    bad.write_text("no forest")
    with pytest.raises(proposals.ProposalsError, match="OpenCV does not read it as a forest"):
        proposals.propose(PHOTOGRAPH, "edge_boxes", 10, edge_model=str(bad), width_px=60)
    plain = types.ModuleType("cv2")
    plain.ximgproc = types.ModuleType("ximgproc")
    monkeypatch.setitem(sys.modules, "cv2", plain)
    with pytest.raises(proposals.ProposalsError, match="opencv-contrib-python-headless<5 alone"):
        proposals.propose(PHOTOGRAPH, "edge_boxes", 10)


def test_records_keep_proposals():
    plain = Sample("a", "train", build.picture(20, 40), 20, 40)
    assert example.decode(example.encode(plain, ())).proposals.shape == (0, 4)
    kept = Sample("a", "train", build.picture(20, 40), 20, 40, proposals=PROPOSED)
    np.testing.assert_array_equal(example.decode(example.encode(kept, ())).proposals, PROPOSED)


def test_a_block_is_filled_up_with_nothing():
    samples = [
        Sample("a", "train", build.picture(20, 40), 20, 40, proposals=PROPOSED[:count])
        for count in (1, 3, 0)
    ]
    records = tf.constant([example.encode(sample, ()) for sample in samples])
    found = parse.block(records, ("proposals",))["proposals"].numpy()
    assert found.shape == (3, 3, 4)
    np.testing.assert_allclose(found[1], PROPOSED / [20, 40, 20, 40], rtol=1e-6)
    assert not found[0, 1:].any()
    assert not found[2].any()


def folder_of(tmp_path, found=PROPOSED):
    return written(tmp_path, boxes=np.float32([[0, 0, 10, 10]]), proposals=np.float32(found))


def seen(folder, policy, size=(40, 80), rows=5, **changed):
    given = {"fields": ("boxes", "proposals"), "max_proposals": rows, "batch_size": 1}
    given |= {"preprocess": Preprocess(size=size), "augment": policy, **changed}
    return stream(folder, **given)


def by_corner(boxes) -> np.ndarray:
    boxes = np.asarray(boxes, np.float32)
    return boxes[np.lexsort(boxes.T)]


def test_training_pictures_take_their_proposals_along(tmp_path):
    """A picture of 20 x 40 drawn on 40 x 80, mirrored: x -> 80 - 2 x, y -> 2 y."""
    batches = take(training_batches(seen(folder_of(tmp_path), Augment(flip_horizontal=1.0))), 6)
    expected = [[0, 40, 20, 80], [10, 20, 40, 60], [4, 0, 36, 20]]
    orders = set()
    for batch in batches:
        (found,) = batch["proposals"]
        assert found.shape == (5, 4)
        assert not found[3:].any()
        np.testing.assert_allclose(by_corner(found[:3]), by_corner(expected), atol=0.02)
        orders.add(found[:3].tobytes())
    assert len(orders) > 1  # a new order in each epoch


def test_proposals_are_cut_to_a_crop_and_dropped_outside(tmp_path):
    """A window of half the sides; every proposal that is left is inside, with an area."""
    policy = Augment(crop=(0.5, 0.5))
    counts = set()
    for batch in take(training_batches(seen(folder_of(tmp_path), policy)), 8):
        (found,) = batch["proposals"]
        solid = (found[:, 2] > found[:, 0]) & (found[:, 3] > found[:, 1])
        assert not found[~solid].any()
        assert not solid[np.argmin(solid) :].any()  # those that are none come last
        assert (found >= 0).all()
        assert (found <= [40, 80, 40, 80]).all()
        counts.add(int(solid.sum()))
    assert min(counts) < 3


def test_no_more_than_max_proposals_the_first_by_rank(tmp_path):
    (batch,) = take(training_batches(seen(folder_of(tmp_path), Augment(), rows=2)), 1)
    found = by_corner(batch["proposals"][0])
    np.testing.assert_allclose(found, by_corner(2 * PROPOSED[:2]), atol=1e-3)


@pytest.mark.parametrize("policy", [Augment(rotate_deg=10), POLICIES["ssd"]])
def test_proposals_move_as_boxes_do(tmp_path, policy):
    """A proposal that is the object's box stays it, or is cut where the box is."""
    folder = folder_of(tmp_path, [[0, 0, 10, 10]])
    policy = policy.model_copy(update={"min_visible": 0.0})
    given = {"encode": lambda got: got, "max_boxes": 2}
    for batch in take(training_batches(seen(folder, policy, **given)), 4):
        if batch["targets"]["valid"][0, 0]:
            box = batch["targets"]["boxes"][0, 0]
            np.testing.assert_allclose(batch["proposals"][0, 0], box, atol=1e-3)


def test_evaluation_has_them_by_rank(tmp_path):
    """A letterbox: 20 x 40 in 40 x 40 lies at y 10 to 30."""
    preprocess = Preprocess(size=(40, 40), resize="letterbox")
    given = seen(folder_of(tmp_path), Augment(), preprocess=preprocess)
    (batch,) = evaluation_batches(given).as_numpy_iterator()
    np.testing.assert_allclose(batch["proposals"][0], np.add(PROPOSED, [10, 0, 10, 0]), atol=1e-3)


def test_pictures_of_a_batch_may_have_other_numbers_of_proposals(tmp_path):
    folder = folder_of(tmp_path, PROPOSED[:2])
    other = Sample("b", "train", build.picture(20, 40), 20, 40, proposals=PROPOSED)
    with open(next(folder.glob("*.tfrecord")), "ab") as file:
        tfrecord.write(file, example.encode(other, ()))
    (batch,) = evaluation_batches(seen(folder, Augment(), batch_size=2)).as_numpy_iterator()
    assert batch["proposals"].shape == (2, 3, 4)
    assert not batch["proposals"][0, 2].any()
    assert batch["proposals"][1].any(axis=-1).all()


def ingest(source, out, **params):
    example_gen.run({"source": source}, example_gen.Params(**params), out)
    return json.loads((out / "manifest.json").read_text())


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source") / "VOC2007"
    return build.voc(root, {"train": ["000001", "000002"], "val": ["000003"]}, count=3)


def test_ingest_stores_them_and_their_recall(source, tmp_path):
    manifest = ingest(source, tmp_path, proposals="edge_boxes", max_proposals=60)
    assert manifest["proposals"]["method"] == "edge_boxes"
    for split, records in (("train", 2), ("val", 1)):
        paths = sorted(tmp_path.glob(f"{split}-*.tfrecord"))
        stored = [record for path in paths for record in tfrecord.read(path)]
        samples = [example.decode(record) for record in stored]
        assert len(samples) == records
        for sample in samples:
            pixels = np.asarray(build.PIL.Image.open(build.io.BytesIO(sample.image)))
            expected = proposals.propose(pixels, "edge_boxes", 60)
            np.testing.assert_allclose(sample.proposals, expected, rtol=1e-6, atol=1e-4)
        best = np.concatenate(
            [proposals.best_overlaps(each.boxes, each.proposals) for each in samples]
        )
        numbers = manifest["proposals"]["splits"][split]
        assert numbers["objects"] == len(best)
        expected = {str(least): round(float((best >= least).mean()), 4) for least in (0.5, 0.7)}
        assert numbers["recall"] == expected
        statistics = describe(stored, manifest["labels"]).numbers
        for least in (0.5, 0.7):
            assert statistics[f"image/object/proposed_{least}"].sum == (best >= least).sum()
        assert statistics["image/proposals"].total == sum(len(s.proposals) for s in samples)


def test_ingest_without_them_is_as_before(source, tmp_path):
    manifest = ingest(source, tmp_path)
    assert "proposals" not in manifest
    with pytest.raises(ValueError, match=r"expected records with proposals.*ingest.proposals"):
        given_of(tmp_path, ("proposals",))
    assert given_of(tmp_path, ()) == {}


def test_a_bad_edge_model_ends_the_ingest(source, tmp_path):
    bad = tmp_path / "model.yml"
    bad.write_text("no forest")
    with pytest.raises(IngestError, match=r"model.yml: OpenCV does not read it as a forest"):
        ingest(source, tmp_path / "out", proposals="edge_boxes", edge_model=str(bad))
