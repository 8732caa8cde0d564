"""Writes tests/golden/darknet.npz: OpenCV runs the authors' Darknet networks on formula weights.

OpenCV reads darknet19.cfg and darknet53.cfg of https://github.com/pjreddie/darknet and
csdarknet53-omega.cfg of https://github.com/AlexeyAB/darknet (a copy of which is in
https://github.com/digantamisra98/Mish), their classes cut to ten and their softmax left out, with
a file of weights in darknet's order that is made here. Run by hand:

    python3 -m venv cv && cv/bin/pip install "opencv-python-headless<5" numpy
    PYTHONPATH=. cv/bin/python tests/parity/darknet_reference.py FOLDER_OF_CFG_FILES
"""

from __future__ import annotations

import pathlib
import re
import struct
import sys

import cv2
import numpy as np

from tests.parity import formula

OUTPUT = pathlib.Path(__file__).parents[1] / "golden" / "darknet.npz"
CLASSES = 10
SIZES = ((64, 64), (75, 97))
CFG = {
    "darknet19": "darknet19.cfg",
    "darknet53": "darknet53.cfg",
    "cspdarknet53": "csdarknet53-omega.cfg",
}
OPENCV_EPSILON, OUR_EPSILON = 1e-6, 1e-5
# Formula kernels let a leaky ReLU's map fade: after 18 layers the logits would not see the picture.
GAIN = np.float32(2**0.5)


def names_of(network: str) -> list[str]:
    """Our names of the convolutions, in the order of the cfg file; the logits last."""
    names = []
    if network == "darknet19":
        for stage, depth in enumerate((1, 1, 3, 3, 5, 5), start=1):
            names += [f"stage{stage}_conv{index}" for index in range(1, depth + 1)]
        return [*names, "logits"]
    names = ["stem_conv"]
    for stage, depth in enumerate((1, 2, 8, 8, 4), start=1):
        parts = [f"block{block}_conv{i}" for block in range(1, depth + 1) for i in (1, 2)]
        if network == "cspdarknet53":
            parts = ["skip", "split", *parts, "end", "join"]
        names += [f"stage{stage}_{part}" for part in ("down", *parts)]
    return [*names, "logits"]


def sections(text: str) -> list[tuple[str, dict[str, str]]]:
    """The cfg's sections in order: (kind, options)."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in text.splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            found.append((line.strip("[]"), {}))
        elif line:
            key, value = line.split("=")
            found[-1][1][key.strip()] = value.strip()
    return found


def channels(parts) -> list[tuple[int, int, int, bool]]:
    """(inputs, outputs, kernel side, normalised) of every convolution."""
    outputs: list[int] = []  # of every section
    found = []
    for kind, options in parts[1:]:
        before = outputs[-1] if outputs else 3
        if kind == "convolutional":
            filters, side = int(options["filters"]), int(options["size"])
            found.append((before, filters, side, "batch_normalize" in options))
            before = filters
        elif kind == "reorg":
            before *= int(options["stride"]) ** 2
        elif kind == "route":
            before = sum(outputs[int(index)] for index in options["layers"].split(","))
            before //= int(options.get("groups", 1))
        outputs.append(before)
    return found


def weights(network: str, parts) -> bytes:
    """darknet's file: version and pictures seen; then each convolution's numbers."""
    values = []
    for name, (inputs, outputs, side, normalised) in zip(
        names_of(network), channels(parts), strict=True
    ):
        if normalised:
            kinds = ("beta", "gamma", "moving_mean", "moving_variance")
            row = {kind: formula.weight(f"{name}_norm/{kind}", (outputs,)) for kind in kinds}
            row["moving_variance"] += np.float32(OUR_EPSILON - OPENCV_EPSILON)
            values += row.values()
        else:
            values.append(formula.weight(f"{name}/bias", (outputs,)))
        kernel = formula.weight(f"{name}/kernel", (side, side, inputs, outputs))
        values.append(GAIN * kernel.transpose(3, 2, 0, 1))
    header = struct.pack("<iiiQ", 0, 2, 0, 0)
    return header + b"".join(np.ascontiguousarray(v).tobytes() for v in values)


def cfg_for(text: str, height: int, width: int) -> str:
    text = re.sub(r"height *= *\d+", f"height={height}", text)
    text = re.sub(r"width *= *\d+", f"width={width}", text)
    text = re.sub(r"filters *= *1000\b", f"filters={CLASSES}", text)
    return text[: text.index("[softmax]")]


if __name__ == "__main__":
    written = {}
    for name, file in CFG.items():
        source = (pathlib.Path(sys.argv[1]) / file).read_text()
        for height, width in SIZES:
            cfg = cfg_for(source, height, width)
            net = cv2.dnn.readNetFromDarknet(
                np.frombuffer(cfg.encode(), np.uint8),
                np.frombuffer(weights(name, sections(cfg)), np.uint8),
            )
            image = (formula.pictures(2, height, width) / 255).transpose(0, 3, 1, 2)
            net.setInput(np.ascontiguousarray(image))
            logits = net.forward().reshape(2, CLASSES)
            print(name, height, width, logits.std())
            written[f"{name}_{height}x{width}"] = logits
    np.savez_compressed(OUTPUT, **written)
