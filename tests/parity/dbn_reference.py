"""Writes tests/golden/restoration.npz: DBN by PyTorch's functions, formula weights.

Which layer follows which is written here once more, from the paper's table 1 and the authors'
Torch7 file. Run by hand, in the environment of torch_reference.py:

    PYTHONPATH=. tv/bin/python tests/parity/dbn_reference.py
"""

from __future__ import annotations

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from tests.parity import formula
from tests.parity.restoration import EVERY, SIZES, WIDTHS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def weight(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(formula.weight(name, shape))


def norm(x, name: str):
    mean, variance, gamma, beta = (
        weight(f"{name}_norm/{part}", x.shape[1])
        for part in ("moving_mean", "moving_variance", "gamma", "beta")
    )
    return F.batch_norm(x, mean, variance, gamma, beta, False, 0.1, 1e-3)


def conv(x, name: str, outputs: int, side: int = 3, stride: int = 1):
    kernel = weight(f"{name}/kernel", side, side, x.shape[1], outputs)
    bias = weight(f"{name}/bias", outputs)
    return norm(F.conv2d(x, kernel.permute(3, 2, 0, 1), bias, stride, side // 2), name)


def up(x, name: str, beside):
    outputs = beside.shape[1]
    kernel = weight(f"{name}_conv/kernel", 4, 4, outputs, x.shape[1])
    bias = weight(f"{name}_conv/bias", outputs)
    x = F.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, stride=2, padding=1)
    return F.relu(norm(x, name) + beside)


def dbn(stack, width: float):
    """[B, 15, H, W] of 0..1 -> [B, 3, H, W] of 0..1."""
    c64, c128, c256, c512 = (int(width * channels) for channels in (64, 128, 256, 512))
    f0 = F.relu(conv(stack, "f0", c64, 5))
    x = F.relu(conv(f0, "d1", c64, 3, 2))
    x = F.relu(conv(x, "f1", c128))
    f2 = F.relu(conv(x, "f2", c128))
    x = F.relu(conv(f2, "d2", c256, 3, 2))
    for name in ("f3", "f4", "f5"):
        x = F.relu(conv(x, name, c256))
    f5 = x
    x = F.relu(conv(f5, "d3", c512, 3, 2))
    for name in ("f6", "f7", "f8"):
        x = F.relu(conv(x, name, c512))
    x = up(x, "u1", f5)
    for name in ("f9", "f10", "f11"):
        x = F.relu(conv(x, name, c256))
    x = up(x, "u2", f2)
    x = F.relu(conv(x, "f12", c128))
    x = F.relu(conv(x, "f13", c64))
    x = up(x, "u3", f0)
    x = F.relu(conv(x, "f14", 15))
    return torch.sigmoid(conv(x, "f15", 3) + stack[:, 6:9])


def outputs() -> dict[str, np.ndarray]:
    found = {}
    for name, width in WIDTHS.items():
        for height, width_px in SIZES:
            stack = formula.pictures(1, height, width_px, 15)
            with torch.no_grad():
                answer = dbn(torch.from_numpy(stack).permute(0, 3, 1, 2) / 255, width)
            key = f"{name}_{height}x{width_px}"
            found[key] = 255 * answer.permute(0, 2, 3, 1)[0, :: EVERY[0], :: EVERY[1]].numpy()
            print(key, tuple(answer.shape), float(found[key].std()))
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN / "restoration.npz", **outputs())
