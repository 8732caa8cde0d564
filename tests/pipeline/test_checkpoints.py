"""Checkpoints: to the last bit, of the right network, and through a damaged file."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convoy.pipeline.training import checkpoints


def variables(shape=(3, 4), seed=0) -> list:
    """A matrix, a vector, a whole number and a half-precision one."""
    rng = np.random.default_rng(seed)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), name="kernel"),
        keras.Variable(rng.normal(size=4).astype("float32"), name="kernel"),
        keras.Variable(seed + 7, dtype="int64", name="iterations"),
        keras.Variable(rng.normal(size=2), dtype="float16", name="half"),
    ]


def values(given) -> list[np.ndarray]:
    return [variable.numpy() for variable in given]


def assert_same_bits(left, right):
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


def test_restored_to_the_last_bit(tmp_path):
    saved, fresh = variables(seed=1), variables(seed=2)
    path = checkpoints.save(tmp_path / "checkpoints", 12, saved, keep=2)
    assert path.name == "step-000000012.npz"
    assert checkpoints.restore_newest(tmp_path / "checkpoints", fresh) == path
    assert_same_bits(values(fresh), values(saved))


def test_nothing_there(tmp_path):
    fresh = variables()
    before = values(fresh)
    assert checkpoints.restore_newest(tmp_path / "checkpoints", fresh) is None
    assert_same_bits(values(fresh), before)


def test_the_newest_is_by_number_and_the_oldest_go(tmp_path):
    sets = {step: variables(seed=step) for step in (2, 10, 9, 100)}
    for step in (2, 9, 10, 100):
        checkpoints.save(tmp_path, step, sets[step], keep=2)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["step-000000010.npz", "step-000000100.npz"]
    fresh = variables()
    checkpoints.restore_newest(tmp_path, fresh)
    assert_same_bits(values(fresh), values(sets[100]))


def test_another_network_is_refused_before_anything_is_assigned(tmp_path):
    checkpoints.save(tmp_path, 5, variables(shape=(3, 5), seed=1), keep=1)
    fresh = variables(seed=2)
    fresh = [*fresh[1:], fresh[0]]  # the one that differs comes last
    before = values(fresh)
    with pytest.raises(ValueError, match=r"step-000000005.npz is of another network or optimizer"):
        checkpoints.restore_newest(tmp_path, fresh)
    assert_same_bits(values(fresh), before)


@pytest.mark.parametrize("other", ["shape", "fewer", "more"])
def test_what_counts_as_another(tmp_path, other):
    saved = variables(shape=(3, 5) if other == "shape" else (3, 4), seed=1)
    checkpoints.save(tmp_path, 5, saved[:-1] if other == "fewer" else saved, keep=1)
    fresh = variables(seed=2)
    fresh = fresh[:-1] if other == "more" else fresh
    before = values(fresh)
    with pytest.raises(ValueError, match=r"holds \d arrays, \d are needed; first difference: .+"):
        checkpoints.restore_newest(tmp_path, fresh)
    assert_same_bits(values(fresh), before)


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped"])
def test_a_damaged_newest_falls_back_to_the_older(tmp_path, damage):
    older = variables(seed=1)
    checkpoints.save(tmp_path, 5, older, keep=2)
    newest = checkpoints.save(tmp_path, 6, variables(seed=2), keep=2)
    data = bytearray(newest.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "empty":
        data = data[:0]
    else:
        at = data.index(b"NUMPY") + 130  # inside the first array's numbers
        data[at] ^= 0xFF
    newest.write_bytes(data)
    fresh = variables(seed=3)
    assert checkpoints.restore_newest(tmp_path, fresh).name == "step-000000005.npz"
    assert_same_bits(values(fresh), values(older))


def test_a_killed_save_leaves_the_older_one(tmp_path):
    """What is written aside has a name that nobody reads."""
    checkpoints.save(tmp_path, 5, variables(seed=1), keep=1)
    (tmp_path / ".step-000000006.npz.123.tmp").write_bytes(b"half")
    assert checkpoints.restore_newest(tmp_path, variables()).name == "step-000000005.npz"
