"""Signals that a network cannot learn from are refused before it is trained, by their names."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convoy.data import example, tfrecord
from convoy.data.sample import Sample
from convoy.data.signals import wav
from convoy.pipeline.components import trainer


def records(folder, *signals: bytes):
    with open(folder / "train-00000-of-00001.tfrecord", "wb") as file:
        for n, signal in enumerate(signals):
            sample = Sample(f"s{n}", "train", b"", 0, 0, labels=np.array([0]), signal=signal)
            tfrecord.write(file, example.encode(sample, ("a",)))
    splits = {"train": {"records": len(signals), "shards": ["train-00000-of-00001.tfrecord"]}}
    (folder / "manifest.json").write_text(json.dumps({"splits": splits}))
    return folder


ONE, TWO = (np.zeros((5, channels), np.float32) for channels in (1, 2))


def test_what_fits_passes(tmp_path):
    folder = records(tmp_path, wav.encode(TWO), wav.encode(np.zeros((9, 2), np.float32)))
    assert trainer.series(folder, ["train"], "series_fcn") == (9, 2)


def test_series_for_a_network_of_sounds(tmp_path):
    folder = records(tmp_path, wav.encode(ONE, 8000), wav.encode(ONE))
    with pytest.raises(ValueError, match="s1: is a series of numbers, and wave_m5 hears sounds"):
        trainer.series(folder, ["train"], "wave_m5")


def test_series_of_other_channels(tmp_path):
    folder = records(tmp_path, wav.encode(ONE), wav.encode(TWO))
    with pytest.raises(ValueError, match=r"s1: expected 1 channels, .* got 2"):
        trainer.series(folder, ["train"], "series_fcn")
