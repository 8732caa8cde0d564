"""Writes tests/golden/captioning.npz: both captioners on VGG-16 by PyTorch, formula weights.

Show and Tell's LSTM is torch.nn.LSTM; NeuralTalk2's is written out once more as in the author's
LSTM.lua, whose gates are in, forget, out, transform, from two linear layers. Run by hand, in the
environment of torch_reference.py:

    PYTHONPATH=. tv/bin/python tests/parity/captioning_reference.py
"""

from __future__ import annotations

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from tests.parity import formula
from tests.parity.captioning import SIZES, SPOKEN, UNITS, WORDS

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
DEPTHS = (2, 2, 3, 3, 3)
CAFFE_MEAN = np.float32([103.939, 116.779, 123.68])


def weight(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(formula.weight(name, shape))


def dense(x, name: str, outputs: int):
    return x @ weight(f"{name}/kernel", x.shape[-1], outputs) + weight(f"{name}/bias", outputs)


def vgg16(pixels: np.ndarray):
    """RGB [B, H, W, 3] of 0..255 -> [B, 512, H / 32, W / 32]."""
    x = torch.from_numpy(np.ascontiguousarray(pixels[..., ::-1] - CAFFE_MEAN)).permute(0, 3, 1, 2)
    for block, depth in enumerate(DEPTHS, start=1):
        filters = min(32 * 2**block, 512)
        for index in range(1, depth + 1):
            name = f"block{block}_conv{index}"
            kernel = weight(f"{name}/kernel", 3, 3, x.shape[1], filters).permute(3, 2, 0, 1)
            x = F.relu(F.conv2d(x, kernel, weight(f"{name}/bias", filters), padding=1))
        x = F.max_pool2d(x, 2)
    return x


def in_order(values, order: str):
    """Gates i, f, g, o along the last axis -> in another order."""
    parts = dict(zip("ifgo", torch.chunk(values, 4, -1), strict=True))
    return torch.cat([parts[gate] for gate in order], -1)


def speaker(name: str, *shape: int):
    return weight(f"speaker/{name}", *shape)


def heard(picture):
    """[B, 1 + words, UNITS]: the picture, the beginning, and each word but the last."""
    before = torch.from_numpy(SPOKEN)[:, :-1]
    before = F.pad(before, (1, 0), value=0)
    vectors = F.embedding(before, speaker("vectors", WORDS, UNITS))
    return torch.cat([picture[:, None], vectors], 1)


def said(h):
    return h[:, 1:] @ speaker("words_kernel", UNITS, WORDS) + speaker("words_bias", WORDS)


def show_and_tell(pixels):
    picture = dense(vgg16(pixels).mean((2, 3)), "picture", UNITS)
    lstm = torch.nn.LSTM(UNITS, UNITS, batch_first=True)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(speaker("input_kernel", UNITS, 4 * UNITS).T)
        lstm.weight_hh_l0.copy_(speaker("state_kernel", UNITS, 4 * UNITS).T)
        lstm.bias_ih_l0.copy_(speaker("input_bias", 4 * UNITS))
        lstm.bias_hh_l0.zero_()
    return said(lstm(heard(picture))[0])


def neuraltalk2(pixels):
    x = vgg16(pixels).permute(0, 2, 3, 1).flatten(1)
    for layer in ("fc1", "fc2"):
        x = F.relu(dense(x, layer, 4096))
    x = heard(F.relu(dense(x, "picture", UNITS)))
    i2h, h2h = (
        in_order(speaker(f"{part}_kernel", UNITS, 4 * UNITS), "ifog") for part in ("input", "state")
    )
    biases = [in_order(speaker(f"{part}_bias", 4 * UNITS), "ifog") for part in ("input", "state")]
    h = c = torch.zeros(len(x), UNITS)
    steps = []
    for t in range(x.shape[1]):
        sums = x[:, t] @ i2h + biases[0] + h @ h2h + biases[1]
        gates = torch.sigmoid(sums[:, : 3 * UNITS])
        inside, forget, outside = torch.chunk(gates, 3, -1)
        c = forget * c + inside * torch.tanh(sums[:, 3 * UNITS :])
        h = outside * torch.tanh(c)
        steps.append(h)
    return said(torch.stack(steps, 1))


def outputs() -> dict[str, np.ndarray]:
    found = {}
    for name, network in (("show_and_tell", show_and_tell), ("neuraltalk2", neuraltalk2)):
        for height, width in SIZES:
            with torch.no_grad():
                answer = network(formula.pictures(2, height, width))
            found[f"{name}_{height}x{width}"] = answer.numpy()
            print(name, height, width, tuple(answer.shape), float(answer.std()))
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN / "captioning.npz", **outputs())
