"""Records whose picture cannot be decoded: named, counted, and stepped over in the same order."""

import collections
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from convoy.data import tfrecord
from convoy.data.input.input import Stream
from convoy.data.sample import Sample
from convoy.models.classification import task
from convoy.models.spec import Preprocess
from convoy.pipeline.evaluation import predict
from convoy.pipeline.training import reading
from tests.data import build, exported

COUNT = 12


def sample(i, image):
    return Sample(f"r{i:02}", "train", image, 16, 16, labels=np.array([i % 2]))


def records(folder, broken=()):
    samples = [sample(i, build.picture(16, 16, seed=i)) for i in range(COUNT)]
    for i in broken:
        cut = samples[i].image[: 300 if i % 2 else 20]
        samples[i] = dataclasses.replace(samples[i], image=cut)
    return exported.write(folder, samples, ("a", "b"))


def batches(folder, workdir, step=0, said=None):
    workdir.mkdir(exist_ok=True)
    stream = Stream(
        folder, "train", ("labels",), Preprocess(size=(16, 16)), task.encode, batch_size=4
    )
    say = (said if said is not None else []).append
    return reading.Batches(stream, tf.distribute.get_strategy(), step, workdir, say)


def names(reader, steps):
    return [n.decode() for _ in range(steps) for n in next(reader)["source_id"].numpy().tolist()]


def test_broken_records_are_stepped_over(tmp_path):
    sound = names(batches(records(tmp_path / "good"), tmp_path / "a"), 6)
    said = []
    reader = batches(records(tmp_path / "bad", broken=(4, 7)), tmp_path / "b", said=said)
    seen = names(reader, 6)
    # The first that decodes, in the place of each; the others where they were.
    assert seen == ["r00" if name in ("r04", "r07") else name for name in sound]
    for epoch in range(2):
        counts = collections.Counter(seen[epoch * COUNT : (epoch + 1) * COUNT])
        assert counts == {f"r{i:02}": 3 if i == 0 else 1 for i in range(COUNT) if i not in (4, 7)}
    assert sorted(line.split(":")[0] for line in said) == ["r04", "r07"]
    told = json.loads((tmp_path / "b" / "undecodable.json").read_text())
    assert sorted(told) == ["r04", "r07"]
    assert reading.read(tmp_path / "b") == told
    assert reading.read(tmp_path / "a") == {}
    again = []
    assert names(batches(tmp_path / "bad", tmp_path / "b", 4, again), 2) == seen[16:]
    assert again == []  # told before


def test_other_failures_stay_failures(tmp_path):
    lacking = [sample(i, build.picture(16, 16, seed=i)) for i in range(COUNT)]
    lacking[5] = dataclasses.replace(lacking[5], labels=np.zeros(0, np.int64))
    folder = exported.write(tmp_path / "l", lacking, ("a", "b"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="without a label"):
        names(batches(folder, tmp_path / "w"), 3)
    assert not (tmp_path / "w" / "undecodable.json").exists()


def test_where_nothing_decodes(tmp_path):
    folder = records(tmp_path / "r", broken=range(COUNT))
    with pytest.raises(ValueError, match="no picture of split 'train' can be decoded"):
        names(batches(folder, tmp_path / "w"), 1)


def test_a_damaged_record_file_is_named(tmp_path):
    """TensorFlow's own words are `corrupted record at 0`, of whichever file."""
    folder = records(tmp_path / "bad")
    (shard, *_) = sorted(folder.glob("train-*.tfrecord"))
    content = bytearray(shard.read_bytes())
    content[40] ^= 1  # of the first record's bytes: its checksum does not match any more
    shard.write_bytes(content)
    words = rf"{shard}: byte 0: the checksum .*remove the folder {folder} "
    with pytest.raises(tfrecord.CorruptRecord, match=words):
        names(batches(folder, tmp_path / "work"), 6)
    stream = Stream(
        folder, "train", ("labels",), Preprocess(size=(16, 16)), task.encode, batch_size=4
    )
    with pytest.raises(tfrecord.CorruptRecord, match="remove the folder"):
        list(predict.answers(lambda batch: {}, stream))
