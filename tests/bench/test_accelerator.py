"""The accelerators' table: shares of the peak by hand, which networks stand side by side."""

from __future__ import annotations

import pytest

from convoy import models
from tests.bench import accelerator

ROW = {
    "name": "resnet50",
    "input": [224, 224, 3],
    "batch": 64,
    "precision": "mixed_bfloat16",
    "macs": {"train": 4_000_000_000, "infer": 4_000_000_000},
    "device": "NVIDIA H200",
    "versions": {"jax": "0.10", "torch": "2.13"},
    "train": {"ours": 3000.0, "torch": 2500.0},
    "infer": {"ours": 10_000.0, "torch": 12_500.0},
}


def test_share_by_hand():
    """4 GMAC are 8 GFLOP forward, 24 a training step: of 3000 images/s 72 TFLOP/s."""
    assert accelerator.share(4 * 10**9, 3000.0, "train", 144.0) == pytest.approx(0.5)
    assert accelerator.share(4 * 10**9, 3000.0, "infer", 144.0) == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("device", "precision", "peak"),
    [
        ("NVIDIA H200", "mixed_bfloat16", 989.0),
        ("NVIDIA H100 80GB HBM3", "mixed_bfloat16", 989.0),
        ("NVIDIA A100-SXM4-80GB", "mixed_bfloat16", 312.0),
        ("NVIDIA H200", "float32", None),
        ("cpu", "mixed_bfloat16", None),
    ],
)
def test_peaks(device, precision, peak):
    assert accelerator.peak_of(device, precision) == peak


def test_the_table_of_both_sides():
    """24 GFLOP * 3000/s is 72 of 989 TFLOP/s, 2500/s 60; 8 GFLOP * 10,000/s 80, 12,500/s 100."""
    lines = accelerator.text([ROW]).splitlines()
    expected = ["resnet50", "224x224", "4.00", "3000.0", "7.3%", "2500.0", "6.1%", "1.200"]
    assert lines[1].split() == [*expected, "10000.0", "8.1%", "12500.0", "10.1%", "0.800"]
    assert lines[2:] == [
        accelerator.WAYS,
        "NVIDIA H200, mixed_bfloat16, batch 64, peak 989 TFLOP/s",
        "jax 0.10, torch 2.13",
    ]


def test_the_table_of_ours_alone_without_a_peak():
    alone = {**ROW, "device": "cpu", "alone": "No module named 'timm'"}
    alone |= {"train": {"ours": 3.0}, "infer": {"ours": 9.0}}
    failed = {"name": "vgg16", "error": "vgg16: ended with -9; was there enough memory?"}
    lines = accelerator.text([alone, failed]).splitlines()
    assert lines[1].split() == ["resnet50", "224x224", "4.00", "3.0", "9.0"]
    assert lines[2].split() == ["vgg16", *["-"] * 12]
    assert lines[4].endswith("its peak is not known: give --peak-tflops")
    assert lines[6:] == ["ours alone: No module named 'timm'", failed["error"]]


def test_the_peak_given_counts():
    line = accelerator.text([{**ROW, "device": "cpu"}], peak_tflops=144.0).splitlines()[1]
    assert line.split()[4] == "50.0%"


def test_twins_are_of_networks_that_there_are():
    assert set(accelerator.TWINS) <= set(models.list_models("classification"))
