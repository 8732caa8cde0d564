"""One answer of many views, by a finder of coloured rectangles that is blind as networks are.

It sees what is not too small in the view, says the part of an object that lies in it, and is surest
of the parts at the view's border: the opposite of what should win.
"""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.augment import tta
from convoy.pipeline.evaluation import predict, views
from tests.serving import tiny

LABELS = ("ant", "bee", "cat")
BOXES = views.Joining("detection", LABELS, 0.5)
LIMIT = 30  # detections of one view
SHADES = range(1, 60)  # the red of each object; its class is the green


def painted(size, objects) -> np.ndarray:
    """objects: (box, class), each of its own red."""
    picture = np.full((*size, 3), 200, np.uint8)
    for shade, ((ymin, xmin, ymax, xmax), k) in zip(SHADES, objects, strict=False):
        picture[ymin:ymax, xmin:xmax] = (shade, k, 0)
    return picture


def finder(smallest: float = 1 / 16, sees=lambda box, size: True):
    """An `ask`; smallest: side of what it sees, in parts of the view's longer side."""

    def one(picture: np.ndarray) -> dict:
        size = picture.shape[:2]
        found = []
        for shade in np.unique(picture[..., 0][picture[..., 2] == 0]):
            rows, columns = np.nonzero((picture[..., 0] == shade) & (picture[..., 2] == 0))
            box = np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
            at_border = (box[:2] == 0).any() or (box[2:] == size).any()
            k = picture[rows[0], columns[0], 1]
            if min(box[2:] - box[:2]) >= smallest * max(size) and sees(box, size):
                found.append((0.9 if at_border else 0.8, box, k))
        found.sort(key=lambda item: -item[0])
        count, rest = len(found), LIMIT - len(found)
        names = [LABELS[k].encode() for _, _, k in found]
        return {
            "boxes": np.float32([*(box for _, box, _ in found), *[[0] * 4] * rest]),
            "scores": np.float32([*(score for score, _, _ in found), *[0] * rest]),
            "classes": np.int64([*(k for _, _, k in found), *[0] * rest]),
            "class_names": np.array([*names, *[b""] * rest], object),
            "num_detections": np.int32(count),
        }

    def ask(pictures: np.ndarray) -> list[dict]:
        asked.append(pictures.shape)
        return [one(picture) for picture in np.asarray(pictures)]

    asked: list[tuple[int, ...]] = []
    ask.asked = asked
    return ask


def said(answer) -> dict:
    """{box: (class name, score)} of an answer."""
    count = answer["num_detections"]
    assert (np.diff(answer["scores"][:count]) <= 0).all()
    rows = list(zip(answer["boxes"], answer["class_names"], answer["scores"], strict=True))[:count]
    return {tuple(box.tolist()): (name.decode(), round(float(s), 2)) for box, name, s in rows}


# In the picture of 300 x 400, tiles of 100 that share 30 begin at 0, 70, 140, 200 and 0, .., 300.
INSIDE = [((10, 10, 30, 32), 0), ((35, 40, 60, 60), 1), ((150, 110, 168, 130), 2)]
ACROSS = [
    ((20, 85, 40, 110), 0),  # over the right border of the first tile, inside the second
    ((60, 60, 88, 88), 1),  # over the corner where four tiles meet
    ((95, 200, 110, 225), 2),
    ((165, 130, 180, 152), 0),
]
EDGES = [((0, 300, 20, 325), 0), ((280, 0, 300, 22), 1), ((270, 372, 300, 400), 2)]
# Larger than the overlap: whole in no tile, but in the picture.
LARGE = [((180, 150, 260, 250), 1)]


def test_tiles_answer_as_one_look_would():
    objects = [*INSIDE, *ACROSS, *EDGES, *LARGE]
    picture = painted((300, 400), objects)
    at_once = said(finder(smallest=0)(picture[None])[0])  # with eyes for the smallest
    assert {box: name for box, (name, _) in at_once.items()} == {
        tuple(map(float, box)): LABELS[k] for box, k in objects
    }
    (answer,) = views.tiled(finder(1 / 12), views.tile(100, 30), BOXES)(picture[None])
    assert said(answer) == at_once
    assert len(answer["boxes"]) == answer["num_detections"]
    alone = finder(1 / 12)(picture[None])[0]
    assert alone["num_detections"] == len(LARGE)  # what one look finds of it


def test_what_is_larger_than_tiles_is_found_in_the_picture_made_smaller():
    """Of 1000 pixels 400 are left, and edges are as sharp as that."""
    box = (5, 205, 95, 805)
    ask = finder()
    (answer,) = views.tiled(ask, views.tile(100, 20), BOXES)(painted((100, 1000), [(box, 2)])[None])
    assert (1, 40, 400, 3) in ask.asked
    assert (1, 100, 1000, 3) not in ask.asked
    assert answer["num_detections"] == 1
    np.testing.assert_allclose(answer["boxes"][0], box, atol=2.5)


def test_without_overlap_the_parts_of_what_is_cut_remain():
    """The rule needs one view that holds the object whole."""
    picture = painted((100, 200), [((40, 80, 60, 120), 0), ((10, 10, 30, 30), 1)])
    (answer,) = views.tiled(finder(smallest=0.15), views.tile(100, 0), BOXES)(picture[None])
    assert set(said(answer)) == {(40, 80, 60, 100), (40, 100, 60, 120), (10, 10, 30, 30)}


def test_a_picture_of_one_tile_is_asked_about_once():
    picture = painted((80, 90), INSIDE[:1])
    ask = finder()
    (answer,) = views.tiled(ask, views.tile(100, 30), BOXES)(picture[None])
    assert ask.asked == [(1, 80, 90, 3)]
    assert said(answer) == {(10, 10, 30, 32): ("ant", 0.8)}


def test_few_tiles_are_held_at_once_and_all_boxes_answered():
    grid = [((y, x, y + 6, x + 6), 0) for y in range(4, 80, 10) for x in range(4, 72, 10)]
    picture = painted((80, 400), grid[: len(SHADES)])
    ask = finder()
    (answer,) = views.tiled(ask, views.tile(40, 10), BOXES)(picture[None])
    assert max(count for count, *_ in ask.asked) == views.TOGETHER
    assert sum(count for count, *_ in ask.asked) == 3 * 13 + 1
    assert answer["num_detections"] > LIMIT
    assert answer["num_detections"] == len(grid[: len(SHADES)])


def test_too_many_tiles_are_refused_before_they_are_cut():
    ask = finder()
    with pytest.raises(
        ValueError, match="picture of 300x400 pixels has 120,000 of them, more than 10,"
    ):
        views.tiled(ask, views.Tile(1, 1, 0), BOXES)(np.zeros((1, 300, 400, 3), np.uint8))
    assert ask.asked == []


def test_a_mirrored_look_finds_what_the_plain_one_does_not():
    """A finder that sees the left half alone."""
    left = finder(sees=lambda box, size: box[3] <= size[1] / 2)
    objects = [((10, 10, 30, 32), 0), ((50, 70, 70, 95), 1)]
    picture = painted((90, 100), objects)
    assert set(said(views.augmented(left, (1.0,), BOXES)(picture[None])[0])) == {(10, 10, 30, 32)}
    (answer,) = views.augmented(left, ("flip",), BOXES)(picture[None])
    assert said(answer) == {(10, 10, 30, 32): ("ant", 0.8), (50, 70, 70, 95): ("bee", 0.8)}


def test_scales_find_the_small_and_the_large():
    small = painted((90, 120), [((10, 50, 17, 58), 0), ((44, 57, 51, 65), 1)])
    assert said(finder()(small[None])[0]) == {}
    (answer,) = views.augmented(finder(), (1.5,), BOXES)(small[None])
    assert set(said(answer)) == {(10, 50, 17, 58), (44, 57, 51, 65)}
    timid = finder(sees=lambda box, size: (box[:2] > 0).all() and (box[2:] < size).all())
    large = painted((90, 120), [((0, 0, 90, 70), 2)])
    assert not said(views.augmented(timid, ("flip",), BOXES)(large[None])[0])
    (answer,) = views.augmented(timid, ("flip", 0.8), BOXES)(large[None])
    assert said(answer) == {(0, 0, 90, 70): ("cat", 0.8)}


def test_tiles_of_views():
    """Both at once: each tile is seen in each view."""
    left = finder(sees=lambda box, size: box[1] < size[1] / 2)
    picture = painted((300, 400), [*INSIDE, *ACROSS, *EDGES])
    ask = views.tiled(views.augmented(left, ("flip",), BOXES), views.tile(100, 30), BOXES)
    assert set(said(ask(picture[None])[0])) == {
        tuple(map(float, box)) for box, _ in (*INSIDE, *ACROSS, *EDGES)
    }


def test_views_answer_no_more_boxes_than_one_look():
    grid = [((y, x, y + 9, x + 9), 0) for y in range(0, 90, 10) for x in range(0, 60, 10)]
    picture = painted((90, 60), grid)
    halves = finder(sees=lambda box, size: box[3] <= size[1] / 2)
    (answer,) = views.augmented(halves, ("flip",), BOXES)(picture[None])
    assert answer["num_detections"] == LIMIT < len(grid)


def test_suppression_by_hand():
    boxes = np.float32(
        [
            [0, 0, 100, 60],  # a part, surest
            [0, 0, 100, 90],  # the whole of it
            [0, 0, 100, 90],  # another class
            [0, 200, 100, 260],  # a part, and
            [0, 200, 100, 290],  # its whole, of which the model is not half as sure
            [0, 400, 100, 500],  # two whole boxes of one object
            [0, 405, 100, 505],
            [0, 0, 20, 20],  # a small part inside the first whole
            [0, 20, 20, 40],  # a small whole box there
        ]
    )
    scores = np.float32([0.9, 0.8, 0.7, 0.9, 0.4, 0.6, 0.65, 0.3, 0.2])
    classes = np.array([0, 0, 1, 0, 0, 0, 0, 0, 0])
    cut = np.array([True, False, False, True, False, False, False, True, False])
    # 0.6 of the whole's area: 0.667 is more than the threshold.
    assert views.suppressed(boxes, scores, classes, cut, 0.5).tolist() == [3, 1, 2, 6, 8]
    # Above it the part is held by its whole all the same; that held by a part stays.
    assert views.suppressed(boxes, scores, classes, cut, 0.7).tolist() == [3, 1, 2, 6, 4, 8]
    nothing = np.zeros((0, 4), np.float32)
    assert len(views.suppressed(nothing, nothing[:, 0], nothing[:, 0], nothing[:, 0], 0.5)) == 0


def test_what_is_cut_by_hand():
    """The first tile of two: its right border is inside the picture, the others are not."""
    view = tta.tiles((100, 150), (100, 100), 50)[0]
    boxes = np.float32(
        [[0, 0, 100, 50], [20, 60, 40, 100], [20, 60, 40, 99.2], [20, 60, 40, 98.5], [0, 0, 9, 9]]
    )
    back, cut = views.brought_back(view, boxes)
    np.testing.assert_array_equal(back, boxes)
    assert cut.tolist() == [False, True, True, False, False]
    back, cut = views.brought_back(tta.mirrored(view), boxes)
    np.testing.assert_array_equal(back[1], [20, 0, 40, 40])
    assert cut.tolist() == [True, False, False, False, True]
    back, cut = views.brought_back(tta.zooms((100, 150), 0.5)[0], np.float32([[0, 0, 60, 200]]))
    np.testing.assert_array_equal(back, [[0, 0, 10, 125]])
    assert not cut.any()


def test_scores_are_averaged_by_hand():
    """The class that is best on average is best in no view."""
    told = iter([[0.6, 0.4, 0.0], [0.0, 0.44, 0.56]])

    def ask(pictures):
        return [{"scores": np.float32(next(told)), "class_name": b"?"} for _ in pictures]

    joining = views.joining("classification", LABELS, {})
    (answer,) = views.augmented(ask, ("flip",), joining)(np.zeros((1, 8, 8, 3), np.uint8))
    np.testing.assert_allclose(answer["scores"], [0.3, 0.42, 0.28])
    assert (answer["class_id"], answer["class_name"]) == (1, b"bee")


def test_words_of_people():
    assert views.check_words(["flip", "1.25", 0.5]) == ("flip", 1.25, 0.5)
    assert views.said(("flip", 1.25, 0.5)) == "flip, 1.25, 0.5"
    for word in ("flop", "0", 5, "nan", True):
        with pytest.raises(ValueError, match=r"expected flip and scales from 0\.25 to 4"):
            views.check_words(["flip", word])


def test_tasks_that_have_no_use_for_views():
    views.check_task("detection", "tiles")
    views.check_task("segmentation", "tiles")
    views.check_task("classification")
    with pytest.raises(ValueError, match="is for detection and segmentation, the task is class"):
        views.check_task("classification", "tiles")
    with pytest.raises(ValueError, match="is for classification and detection, the task is text"):
        views.check_task("text")


def test_a_network_in_memory_seen_as_it_is(digits_records):
    """One view is what an evaluation without views answers, in the order of the records."""
    task = tiny.detector([[10.0, 20, 60, 120], [40, 40, 80, 80]], [0.5, 0.4], [2, 0])
    limits = {"score_threshold": 0.3, "iou_threshold": 0.6, "max_detections": 4}
    stream = predict.stream_of(task, digits_records, "val", 4)
    expected = list(predict.answers(predict.predictor(task, tiny.LABELS, limits), stream))
    joining = views.joining("detection", tiny.LABELS, limits)
    assert joining.iou_threshold == 0.6
    network = views.of_network(task, tiny.LABELS, limits)
    ask = views.augmented(network, (1.0,), joining)
    found = list(views.answers(ask, digits_records, "val"))
    assert len(found) == len(expected) == 6
    for (sample, answer), (other, plain) in zip(found, expected, strict=True):
        assert sample.source_id == other.source_id
        assert answer["num_detections"] == plain["num_detections"] == 2
        np.testing.assert_allclose(answer["boxes"], plain["boxes"][:2], rtol=1e-5)
        assert answer["class_names"].tolist() == plain["class_names"][:2].tolist()
    # Whatever it sees, it says the same places of the view: mirrored, they are mirrored.
    both = views.augmented(network, ("flip",), joining)
    sample, answer = next(views.answers(both, digits_records, "val"))
    plain = expected[0][1]["boxes"][0]
    mirrored = [plain[0], sample.width - plain[3], plain[2], sample.width - plain[1]]
    np.testing.assert_allclose(answer["boxes"][:2], [plain, mirrored], rtol=1e-5)
