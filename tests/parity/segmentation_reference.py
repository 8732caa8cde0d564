"""Writes tests/golden/segmentation.npz: SegNet and U-Net by PyTorch's functions, formula weights.

Pooling with indices, unpooling and transposed convolutions are PyTorch's; which layer follows which
is written here once more, from the papers' figures and the authors' prototxt. Of SegNet also one
step of training in float64: its loss, gradients and what its norms keep. Run by hand, in the
environment of torch_reference.py:

    PYTHONPATH=. tv/bin/python tests/parity/segmentation_reference.py
"""

from __future__ import annotations

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from tests.parity import formula

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
CLASSES = 3
EVERY = {"unet": (1, 1)}  # rows and columns that are kept of an output
OTHERS = (4, 6)
SIZES = {
    "segnet": [(64, 64), (45, 61)],
    "segnet_basic": [(64, 64), (45, 61)],
    "unet": [(188, 204), (204, 204)],
    "unet_same": [(64, 64), (45, 61)],
}
TRAINED = "segnet_basic"


class Weights:
    """Tensors by our names, made when they are first asked for."""

    def __init__(self, dtype=torch.float32, learn: bool = False):
        self.dtype, self.learn, self.made = dtype, learn, {}

    def __call__(self, name: str, *shape: int):
        if name not in self.made:
            value = torch.from_numpy(formula.weight(name, shape)).to(self.dtype)
            self.made[name] = value.requires_grad_(self.learn and "moving" not in name)
        return self.made[name]

    def conv(self, x, name: str, outputs: int, side: int, padding: int):
        kernel = self(f"{name}/kernel", side, side, x.shape[1], outputs)
        return F.conv2d(
            x, kernel.permute(3, 2, 0, 1), self(f"{name}/bias", outputs), padding=padding
        )

    def up(self, x, name: str, outputs: int):
        kernel = self(f"{name}/kernel", 2, 2, outputs, x.shape[1])  # Keras: (h, w, out, in)
        return F.conv_transpose2d(
            x, kernel.permute(3, 2, 0, 1), self(f"{name}/bias", outputs), stride=2
        )

    def norm(self, x, name: str, training: bool):
        mean, variance, gamma, beta = (
            self(f"{name}/{part}", x.shape[1])
            for part in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return F.batch_norm(x, mean, variance, gamma, beta, training, 0.1, 1e-5)


def segnet(x, w: Weights, training: bool = False):
    """Thirteen convolutions and their mirror."""
    widths, kept, x = [64, 128, 256, 512, 512], [], x[:, [2, 1, 0]]
    depths = [2, 2, 3, 3, 3]
    for block, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        for index in range(1, depth + 1):
            x = w.conv(x, f"block{block}_conv{index}", width, 3, 1)
            x = F.relu(w.norm(x, f"block{block}_norm{index}", training))
        size = x.shape[2:]
        x, places = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
        kept.append((size, places))
    for block in (5, 4, 3, 2, 1):
        size, places = kept[block - 1]
        x = F.max_unpool2d(x, places, 2, 2, output_size=size)
        for index in range(depths[block - 1], 0, -1):
            if (block, index) == (1, 1):
                return w.conv(x, "logits", CLASSES, 3, 1)
            width = widths[block - 1] if index > 1 else widths[block - 2]
            x = w.conv(x, f"decoder{block}_conv{index}", width, 3, 1)
            x = F.relu(w.norm(x, f"decoder{block}_norm{index}", training))
    raise AssertionError


def segnet_basic(x, w: Weights, training: bool = False):
    kept, x = [], F.local_response_norm(x[:, [2, 1, 0]], 5, 1e-4, 0.75, 1.0)
    for block in (1, 2, 3, 4):
        x = w.conv(x, f"block{block}_conv1", 64, 7, 3)
        x = F.relu(w.norm(x, f"block{block}_norm1", training))
        size = x.shape[2:]
        x, places = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
        kept.append((size, places))
    for block in (4, 3, 2, 1):
        size, places = kept[block - 1]
        x = F.max_unpool2d(x, places, 2, 2, output_size=size)
        x = w.conv(x, f"decoder{block}_conv1", 64, 7, 3)
        x = w.norm(x, f"decoder{block}_norm1", training)
    return w.conv(x, "logits", CLASSES, 1, 0)


def unet(x, w: Weights, padding: int = 0):
    x, ways = (x - 127.5) / 127.5, []
    for level, width in enumerate((64, 128, 256, 512, 1024), start=1):
        if level > 1:
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        for index in (1, 2):
            x = F.relu(w.conv(x, f"down{level}_conv{index}", width, 3, padding))
        ways.append(x)
    for level, width in ((4, 512), (3, 256), (2, 128), (1, 64)):
        x, fine = w.up(x, f"up{level}_transpose", width), ways[level - 1]
        if padding:
            x = x[:, :, : fine.shape[2], : fine.shape[3]]
        else:
            top, left = ((fine.shape[axis] - x.shape[axis]) // 2 for axis in (2, 3))
            fine = fine[:, :, top : top + x.shape[2], left : left + x.shape[3]]
        x = torch.cat([fine, x], 1)
        for index in (1, 2):
            x = F.relu(w.conv(x, f"up{level}_conv{index}", width, 3, padding))
    return w.conv(x, "logits", CLASSES, 1, 0)


NETWORKS = {
    "segnet": segnet,
    "segnet_basic": segnet_basic,
    "unet": unet,
    "unet_same": lambda x, w: unet(x, w, 1),
}


def images(name: str, count: int, height: int, width: int):
    pixels = formula.pictures(count, height, width, 1 if name == "unet" else 3)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def outputs() -> dict[str, np.ndarray]:
    found = {}
    for name, network in NETWORKS.items():
        weights = Weights()
        for size in SIZES[name]:
            with torch.no_grad():
                logits = network(images(name, 1, *size), weights).permute(0, 2, 3, 1)
            key = f"{name}_{size[0]}x{size[1]}"
            rows, columns = EVERY.get(name, OTHERS)
            found[key] = logits[0, ::rows, ::columns].numpy()
            print(key, tuple(logits.shape), float(logits.std()))
    return found


def step() -> dict[str, np.ndarray]:
    """The loss over all pixels of two pictures, gradients, and the statistics of the batch."""
    weights = Weights(torch.float64, learn=True)
    pixels = images(TRAINED, 2, 45, 61).double()
    labels = torch.from_numpy(np.indices((2, 45, 61)).sum(0) % CLASSES)
    logits = NETWORKS[TRAINED](pixels, weights, True)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    found = {"training/loss": loss.detach().numpy()}
    for name, value in weights.made.items():
        if "moving" in name:
            found[f"training/{name}"] = value.numpy().astype(np.float32)[:4]
        elif name.endswith("kernel"):
            flat = value.grad.reshape(-1, value.grad.shape[-1])
            found[f"training/{name}"] = flat[::97, :8].numpy().astype(np.float32)
        else:
            found[f"training/{name}"] = value.grad.numpy().astype(np.float32)[:8]
    return found


if __name__ == "__main__":
    np.savez_compressed(GOLDEN / "segmentation.npz", **outputs(), **step())
