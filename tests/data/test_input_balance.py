"""Rare classes are read more often: how often, in which order, and where a training goes on."""

import collections
import dataclasses

import numpy as np
import pytest

from convoy.data.augment.policy import Augment
from convoy.data.input.balance import Repeats
from convoy.data.input.input import Stream, training_batches
from convoy.data.sample import Sample
from convoy.models.spec import Preprocess
from convoy.pipeline.training import class_weights
from tests.data import build, exported

NAMES = ("common", "some", "rare")
COUNTS = (12, 3, 1)
EQUAL = Repeats((1.0, 4.0, 12.0), 36)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    samples = [
        Sample(f"{name}/{i}", "train", build.picture(16, 16, seed=100 * label + i), 16, 16,
               labels=np.array([label]))
        for label, name in enumerate(NAMES)
        for i in range(COUNTS[label])
    ]  # fmt: skip
    folder = exported.write(tmp_path_factory.mktemp("balance") / "records", samples, NAMES)
    return folder


def batches(records, repeats, number, start=0, **changed):
    stream = Stream(
        records, "train", ("labels",), Preprocess(size=(16, 16)), lambda a: a["labels"][0],
        batch_size=6, repeats=repeats, **changed,
    )  # fmt: skip
    return list(training_batches(stream, start_step=start).take(number).as_numpy_iterator())


def names(found):
    return [name.decode() for batch in found for name in batch["source_id"].tolist()]


def test_all_classes_alike(records):
    """36 reads: each of 12 once, of 3 four times, of 1 twelve times, in every pass."""
    seen = names(batches(records, EQUAL, 12))
    passes = seen[:36], seen[36:]
    for one in passes:
        assert collections.Counter(name.split("/")[0] for name in one) == dict.fromkeys(NAMES, 12)
        assert set(collections.Counter(n for n in one if n[0] == "s").values()) == {4}
    assert passes[0] != passes[1]
    assert passes[0] != sorted(passes[0])


def test_parts_of_a_repeat_are_drawn(records):
    """Rates 1, 1.5 and 2.25: over 100 passes the means are these; each pass is as long."""
    repeats = Repeats((1.0, 1.5, 2.25), 19)  # 12 + 4.5 + 2.25 = 18.75
    seen = names(batches(records, repeats, 19 * 100 // 6))
    counts = collections.Counter(name.split("/")[0] for name in seen)
    passes = len(seen) / 19
    # Binomial: 300 draws of a half and 100 of a quarter; 4 standard deviations.
    assert counts["some"] / passes == pytest.approx(4.5, abs=4 * np.sqrt(300 * 0.25) / 100 + 0.1)
    assert counts["rare"] / passes == pytest.approx(2.25, abs=4 * np.sqrt(100 * 0.1875) / 100 + 0.1)
    one = [collections.Counter(seen[i : i + 19])["rare/0"] for i in range(0, 19 * 90, 19)]
    assert set(one) <= {1, 2, 3, 4}  # 1, 4: at the seam of a pass that was cut or filled up
    assert {2, 3} <= set(one)


def test_it_goes_on_where_it_was(records):
    """The batches before and after the end of a pass of 36."""
    start = 5
    busy = {"augment": Augment(flip_horizontal=0.5, brightness=0.2, shift=0.1)}
    whole = batches(records, EQUAL, 7, **busy)
    resumed = batches(records, EQUAL, 2, start=start, **busy)
    for left, right in zip(whole[start:], resumed, strict=False):
        assert left["source_id"].tolist() == right["source_id"].tolist()
        np.testing.assert_array_equal(left["image"], right["image"])


def test_copies_are_augmented_each_in_its_own_way(records):
    found = batches(records, EQUAL, 6, augment=Augment(brightness=0.3))
    images = [
        image
        for batch in found
        for name, image in zip(batch["source_id"], batch["image"], strict=True)
        if name == b"rare/0"
    ]
    assert len({image.tobytes() for image in images}) == 12


def test_without_repeats_nothing_changes(records):
    plain = batches(records, None, 4)
    once = batches(records, Repeats((1.0, 1.0, 1.0), 16), 4)
    assert names(plain) == names(once)


def test_numbers_by_hand():
    assert class_weights.repeats([100, 25, 4, 0], 0.5) == Repeats((1.0, 2.0, 5.0, 1.0), 170)
    assert class_weights.repeats(COUNTS, 1.0) == EQUAL
    with pytest.raises(ValueError, match="no record of the split has a class"):
        class_weights.repeats([0, 0], 1.0)
    assert dataclasses.astuple(class_weights.repeats([7], 0.3)) == ((1.0,), 7)
