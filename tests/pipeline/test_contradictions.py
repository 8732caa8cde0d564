"""What a recipe of other channels than RGB cannot ask for is said before anything is done."""

from __future__ import annotations

import pytest

from convoy.pipeline import config

FIVE = {"channels": 5, "bits": 16}


def parse(**content):
    return config.parse({"name": "tiny", "task": "classification", **content})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"data": {"bits": 16}}, "data.bits: 16 needs data.channels"),
        ({"data": {"channels": 0}}, "data.channels"),
        ({"data": {"channels": 5, "bits": 12}}, "data.bits"),
        ({"task": "restoration", "data": FIVE}, "data.channels: is not for restoration"),
        ({"task": "text", "data": FIVE}, "data.channels: is not for text"),
        (
            {"data": FIVE, "augment": {"hue": 0.1}},
            "augment.hue changes red, green and blue, but data.channels is 5, data.bits 16: set",
        ),
        ({"data": FIVE, "augment": "slides"}, "augment.saturation changes red, green and blue"),
        ({"data": FIVE, "augment": {"jpeg_quality": [50, 90]}}, "set it to null"),
        ({"data": {"channels": 3, "bits": 16}, "augment": {"autoaugment": "v0"}}, "autoaugment"),
        ({"data": FIVE, "ingest": {"copies": 1}}, "ingest.copies are made of 8-bit gray or RGB"),
        ({"data": FIVE, "ingest": {"proposals": "edge_boxes"}}, "ingest.proposals are found in"),
        ({"data": FIVE, "evaluate": {"tta": ["flip"]}}, "evaluate.tta is of 8-bit RGB"),
        (
            {
                "data": FIVE,
                "model": {"name": "resnet18", "weights": "imagenet"},
                "train": {"mode": "extract"},
            },
            "train.mode: extract reads features of 8-bit RGB",
        ),
    ],
)
def test_what_other_channels_exclude(content, said):
    with pytest.raises(config.ConfigError) as caught:
        parse(**content)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        {"data": {"channels": 3}, "augment": "slides", "evaluate": {"tta": ["flip"]}},
        {"data": {"channels": 1}, "augment": "slides", "ingest": {"copies": 1}},
        {"data": {"channels": 3, "bits": 16}, "augment": "slides"},
        {"data": FIVE, "augment": {"policy": "slides", "saturation": 0, "hue": 0}},
        {"data": FIVE, "augment": {"mixup": 0.2, "cutout": 0.3, "noise": 0.01, "blur_px": 1}},
    ],
)
def test_what_they_allow(content):
    parse(**content)
