"""Round trips of whatever hypothesis thinks of: run-length masks, records, turned pictures."""

from __future__ import annotations

import itertools

import hypothesis
import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np

from convoy.data import example, masks
from convoy.data.images import images
from convoy.data.sample import Sample, keep_objects
from tests.data import build
from tests.data.test_example import assert_same

LABELS = ("cat", "dog", "猫")
PICTURE = build.picture(40, 60)
quick = hypothesis.settings(max_examples=60, deadline=None, derandomize=True)


def runs_of(mask) -> list[int]:
    """COCO's runs of a mask, column by column, beginning with zeros: by a plain loop."""
    runs = [len(list(group)) for _, group in itertools.groupby(mask.T.ravel().tolist())]
    return runs if mask.T.ravel()[0] == 0 else [0, *runs]


@quick
@hypothesis.given(
    arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)
    )
)
def test_run_lengths_come_back(mask):
    height, width = mask.shape
    packed = masks.to_rle(mask)
    np.testing.assert_array_equal(masks.from_rle(packed, height, width), mask)
    plain = {"size": [height, width], "counts": runs_of(mask)}
    np.testing.assert_array_equal(masks.from_rle(plain, height, width), mask)


sixty_fourths = st.integers(0, 40 * 64).map(lambda n: n / 64)


@st.composite
def samples(draw):
    count = draw(st.integers(0, 4))
    points = draw(st.integers(0, 3)) if count else 0
    column = st.lists(sixty_fourths, min_size=4 * count, max_size=4 * count)
    corners = np.array(draw(column), np.float32).reshape(count, 2, 2)
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    flags = arrays.arrays(bool, count)
    marks = np.zeros((count if points else 0, points, 3), np.float32)
    marks[..., :2] = draw(st.integers(0, 40))
    marks[..., 2] = draw(st.integers(0, 2))
    text = st.text(st.characters(blacklist_categories=("Cs",)), max_size=8)
    return Sample(
        source_id=draw(text),
        split=draw(st.sampled_from(("train", "val"))),
        image=PICTURE,
        height=40,
        width=60,
        labels=np.array(sorted(draw(st.sets(st.integers(0, 2)))), np.int64),
        boxes=boxes,
        classes=draw(arrays.arrays(np.int64, count, elements=st.integers(0, 2))),
        difficult=draw(flags),
        truncated=draw(flags),
        crowd=draw(flags),
        areas=draw(arrays.arrays(np.float32, count, elements=st.integers(0, 2400))),
        views=tuple(draw(st.lists(text, min_size=count, max_size=count))),
        keypoints=marks,
        captions=tuple(draw(st.lists(text, max_size=3))),
        text=draw(text),
    )


@quick
@hypothesis.given(samples())
def test_records_hold_samples(sample):
    assert_same(sample, example.decode(example.encode(sample, LABELS)))


@quick
@hypothesis.given(samples(), st.data())
def test_kept_objects_keep_all_that_is_theirs(sample, data):
    keep = data.draw(arrays.arrays(bool, len(sample.boxes)))
    kept = keep_objects(sample, keep)
    np.testing.assert_array_equal(kept.boxes, sample.boxes[keep])
    assert kept.views == tuple(v for v, k in zip(sample.views, keep, strict=True) if k)
    if keep.any():  # records without objects do not tell how many keypoints none of them has
        assert_same(kept, example.decode(example.encode(kept, LABELS)))
    assert_same(keep_objects(sample, np.ones(len(keep), bool)), sample)


@quick
@hypothesis.given(
    st.integers(1, 8),
    st.integers(2, 9),
    st.integers(2, 9),
    st.tuples(*[st.floats(0, 1, width=32)] * 4),
)
def test_boxes_and_pixels_turn_alike(orientation, height, width, corners):
    """A rectangle drawn on the stored picture lies in its turned box on the upright one."""
    upright = (width, height) if orientation > 4 else (height, width)
    turned = images.Picture(b"", "png", *upright, orientation)
    y0, y1 = sorted(int(c * (height - 1)) for c in corners[:2])
    x0, x1 = sorted(int(c * (width - 1)) for c in corners[2:])
    drawn = np.zeros((height, width), np.uint8)
    drawn[y0 : y1 + 1, x0 : x1 + 1] = 1
    raster = turned.raster(drawn)
    assert raster.shape == upright
    box = turned.boxes(np.array([[y0, x0, y1 + 1, x1 + 1]], np.float32))[0]
    rows, columns = np.flatnonzero(raster.any(1)), np.flatnonzero(raster.any(0))
    np.testing.assert_array_equal(box, [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
