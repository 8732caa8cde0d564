"""Drawings: which pixels change, that names stay on the picture, and sizes of the pages."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from convoy.pipeline.report.overlay import (
    classification_gallery,
    color,
    draw,
    gallery,
    open_picture,
    sheet,
)
from tests.evaluation.build import found, sample

GREY = np.full((300, 400, 3), 128, np.uint8)
LABELS = ["cat", "dog"]


def _png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def _changed(picture, base=GREY):
    return (np.asarray(picture) != base).any(axis=-1)


def test_box_covers_exactly_its_edge_pixels():
    # Rows 100..199, columns 50..249; two pixels of line, inside.
    picture = np.asarray(draw(GREY, [[100, 50, 200, 250]], [1], [0.5], LABELS))
    edge = np.zeros(GREY.shape[:2], bool)
    edge[100:200, 50:250] = True
    edge[102:198, 52:248] = False
    assert (picture[edge] == color(1)).all()
    changed = _changed(picture)
    plate = changed & ~edge
    rows, columns = np.nonzero(plate)
    # All else that changed is the name plate, above the box and starting at its left edge.
    assert rows.max() < 100
    assert rows.min() > 70
    assert columns.min() == 50
    assert np.array_equal(picture[200:], GREY[200:])


def test_nothing_to_draw_changes_nothing():
    picture = draw(GREY, np.zeros((0, 4)), [], [], LABELS)
    assert picture.size == (400, 300)
    assert not _changed(picture).any()


def test_the_argument_is_not_changed():
    original = Image.fromarray(GREY.copy())
    draw(original, [[10, 10, 90, 90]], [0], None, LABELS)
    assert not _changed(original).any()


def test_truth_is_dashed():
    box = np.array([[100, 50, 200, 250]])
    none = np.zeros((0, 4))
    dashed = np.asarray(draw(GREY, none, [], [], LABELS, truth=(box, [0])))
    top = (dashed[100, 50:250] == color(0)).all(axis=-1)
    # Eight pixels on, eight off.
    assert top[:8].all()
    assert not top[8:16].any()
    assert top[16:24].all()
    assert (np.asarray(draw(GREY, box, [0], None, LABELS))[100, 50:250] == color(0)).all()


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 300, 400],  # the whole picture
        [-50, -50, 20, 20],  # partly outside
        [290, 390, 300, 400],  # the last corner
        [50, 50, 50, 50],  # empty
        [500, 500, 600, 600],  # far outside
        [0, 395, 300, 400],
    ],
)
def test_names_stay_on_the_picture(box):
    picture = draw(GREY, [box], [0], [0.99], LABELS)
    assert picture.size == (400, 300)
    inside = np.asarray(picture)
    # The plate is whole: its paper is at least 30 pixels wide somewhere.
    assert ((inside == color(0)).all(axis=-1).sum(axis=1) >= 30).sum() > 5


def test_plates_of_one_place_do_not_cover_each_other():
    box = [100, 100, 200, 300]
    one = _changed(draw(GREY, [box], [0], [0.9], LABELS)).sum()
    two = _changed(draw(GREY, [box, box], [0, 1], [0.9, 0.8], LABELS)).sum()
    edge = 2 * 2 * (100 + 200) - 4 * 4
    assert two - edge >= 1.8 * (one - edge)


def test_lines_grow_with_the_picture():
    large = np.full((2200, 2200, 3), 128, np.uint8)
    picture = np.asarray(draw(large, [[1000, 1000, 2000, 2000]], [0], None, LABELS))
    column = (picture[1000:1100, 1500] == color(0)).all(axis=-1)
    assert column.sum() == 10
    tiny = draw(np.zeros((1, 1, 3), np.uint8), [[0, 0, 1, 1]], [0], [1.0], LABELS)
    assert tiny.size == (1, 1)


def test_colors_differ():
    shades = np.array([color(k) for k in range(20)], int)
    distance = np.abs(shades[:, None] - shades[None]).sum(axis=-1) + 999 * np.eye(20, dtype=int)
    assert distance.min() > 25


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "P"])
def test_every_kind_of_picture_opens(mode):
    buffer = io.BytesIO()
    kind = "JPEG" if mode in ("L", "CMYK") else "PNG"
    Image.fromarray(GREY).convert(mode).save(buffer, kind)
    assert open_picture(buffer.getvalue()).mode == "RGB"


def test_gallery_keeps_detections_over_the_threshold_of_their_class():
    truth = sample("a", [[50, 50, 150, 150]], [0], image=_png(GREY))
    said = found("a", [[50, 50, 150, 150], [50, 200, 150, 300]], [0, 1], [0.6, 0.6])
    both, one, none = (
        np.asarray(gallery([truth], [said], LABELS, thresholds)[0])
        for thresholds in (0.5, [0.5, 0.7], 0.7)
    )
    right = slice(488, None)
    assert np.array_equal(both[26:386, :480], one[26:386, :480])

    def shown(page, k):
        return (page[26:386, right] == color(k)).all(axis=-1).any()

    assert [shown(both, k) for k in (0, 1)] == [True, True]
    assert [shown(one, k) for k in (0, 1)] == [True, False]
    assert [shown(none, k) for k in (0, 1)] == [False, False]


def test_gallery_scales_boxes_with_the_picture():
    # 100x50 becomes 480x240: the box grows by 4.8.
    truth = sample("a", [[10, 10, 40, 90]], [0], image=_png(np.zeros((50, 100, 3), np.uint8)))
    page = np.asarray(gallery([truth], [found("a", [], [], [])], LABELS)[0])
    left = page[26 : 26 + 240, :480]
    assert (left[48, 200:430] == color(0)).all()
    assert (left[191, 48:432] == color(0)).all()
    assert not (left[193:] == color(0)).all(axis=-1)[:, 200:].any()


def test_galleries_stop_at_count_and_sheets_hold_all():
    truth = [sample(str(n), [], [], image=_png(GREY)) for n in range(5)]
    pages = gallery(truth, [found(str(n), [], [], []) for n in range(5)], LABELS, count=3)
    assert len(pages) == 3
    page = sheet(pages, columns=2)
    assert page.size == (12 + 2 * (968 + 12), 12 + 2 * (pages[0].height + 12))
    assert sheet([]).size[0] > 0
    assert gallery([], [], LABELS) == []


def test_classification_gallery_marks_right_and_wrong():
    right, wrong = (
        dataclasses.replace(sample(str(n), [], [], image=_png(GREY)), labels=np.array([n]))
        for n in range(2)
    )
    pages = classification_gallery([right, wrong], [[0.9, 0.1], [0.8, 0.2]], LABELS)
    greens = [_inks(page)[1] > _inks(page)[0] for page in pages]
    assert greens == [True, False]
    assert pages[0].size == pages[1].size == (240, 180 + 50)


def _inks(page):
    """Red and green of the most saturated pixel of the caption's first line."""
    strip = np.asarray(page, int)[180:206].reshape(-1, 3)
    return strip[np.ptp(strip, axis=1).argmax()][:2]
