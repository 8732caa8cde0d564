"""A detector's graph in PyTorch or onnxruntime, timed call by call; imports nothing of Convoy.

    python torch_twin.py torch_bfloat16|torch_float32|onnxruntime FOLDER

FOLDER is from tests/bench/detectors.py: graph.json, weights.npz, picture.npy [1, H, W, 3] float32.
Prints the outputs' file, then one line of milliseconds for each line that it reads.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F


class Twin(torch.nn.Module):
    """The calls of graph.json in their order; maps are [B, C, H, W] inside."""

    def __init__(self, folder: pathlib.Path):
        super().__init__()
        graph = json.loads((folder / "graph.json").read_text())
        self.calls, self.image, self.outputs = graph["calls"], graph["image"], graph["outputs"]
        with np.load(folder / "weights.npz") as file:
            arrays = {name: torch.from_numpy(np.array(file[name])) for name in file.files}
        for name, array in arrays.items():
            if array.ndim == 4:  # [h, w, in, out]
                array = array.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
            self.register_buffer(name, array)

    def forward(self, image):
        values = {self.image: image}
        for call in self.calls:
            given = [values[key] for key in call["inputs"]]
            values[call["output"]] = getattr(self, "_" + call["kind"])(call, *given)
        return [values[key] for key in self.outputs]

    def _weight(self, call, name):
        return getattr(self, f"{call['name']}__{name}", None)

    def _Normalize(self, call, x):
        if call["channel_order"] == "bgr":
            x = x.flip(1)
        mean, std = (torch.tensor(call[name]).view(1, -1, 1, 1) for name in ("mean", "std"))
        kernel = next(value for name, value in self.named_buffers() if name.endswith("__kernel"))
        return (x * (call["scale"] / std) - mean / std).to(kernel.dtype)

    def _Conv2D(self, call, x):
        kernel, strides, rates = self._weight(call, "kernel"), call["strides"], call["rates"]
        if call["padding"] == "same":
            x = F.pad(x, same(x, kernel.shape[2:], strides, rates))
        x = F.conv2d(x, kernel, self._weight(call, "bias"), strides, 0, rates, call["groups"])
        return F.relu(x) if call["activation"] == "relu" else x

    def _BatchNorm(self, call, x):
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        return F.batch_norm(x, *(self._weight(call, name) for name in names), eps=call["epsilon"])

    def _LeakyReLU(self, call, x):
        return F.leaky_relu(x, call["slope"])

    def _Mish(self, _, x):
        return F.mish(x)

    def _ZeroPadding2D(self, call, x):
        (top, bottom), (left, right) = call["sides"]
        return F.pad(x, (left, right, top, bottom))

    def _MaxPooling2D(self, call, x):
        if call["padding"] == "same":
            sides = same(x, call["pool"], call["strides"], (1, 1))
            x = F.pad(x, sides, value=float("-inf")) if any(sides) else x
        return F.max_pool2d(x, call["pool"], call["strides"])

    def _UpSampling2D(self, call, x):
        return F.interpolate(x, scale_factor=tuple(map(float, call["size"])), mode="nearest")

    def _Add(self, _, *xs):
        return sum(xs[1:], xs[0])

    def _Concatenate(self, call, *xs):
        return torch.cat(xs, 1 if xs[0].ndim == 4 else call["axis"])

    def _L2Normalization(self, call, x):
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().sum(1, keepdim=True) + call["epsilon"])
        return (wide * self._weight(call, "scale").float().view(1, -1, 1, 1)).to(x.dtype)

    def _Reshape(self, call, x):
        x = x.permute(0, 2, 3, 1) if x.ndim == 4 else x
        return x.reshape(x.shape[0], *call["shape"])


def same(x, window, strides, rates) -> tuple[int, int, int, int]:
    """TensorFlow's padding: what is odd goes to the end."""
    sides: list[int] = []
    for size, taps, stride, rate in zip(x.shape[2:], window, strides, rates, strict=True):
        need = max(0, (-(-size // stride) - 1) * stride + (taps - 1) * rate + 1 - size)
        sides = [need // 2, need - need // 2, *sides]
    return tuple(sides)


def caller(kind: str, folder: pathlib.Path):
    """A function without arguments that runs the network once and returns its outputs."""
    twin = Twin(folder).eval()
    picture = torch.from_numpy(np.load(folder / "picture.npy")).permute(0, 3, 1, 2)
    if kind == "onnxruntime":
        import onnxruntime

        path = folder / "twin.onnx"
        torch.onnx.export(twin, (picture,), str(path), input_names=["image"], dynamo=False)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        given = {"image": picture.contiguous().numpy()}
        return lambda: session.run(None, given)
    picture = picture.contiguous(memory_format=torch.channels_last)
    twin = twin.to(torch.bfloat16) if kind == "torch_bfloat16" else twin

    def call():
        with torch.inference_mode():
            return [output.float().numpy() for output in twin(picture)]

    return call


def main() -> None:
    kind, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    call = caller(kind, folder)
    path = folder / f"{kind}.npz"
    np.savez(path, *call())
    print(path, flush=True)
    for _ in sys.stdin:
        before = time.perf_counter()
        call()
        print(1000 * (time.perf_counter() - before), flush=True)


if __name__ == "__main__":
    main()
