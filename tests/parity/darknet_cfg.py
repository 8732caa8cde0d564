"""Darknet's detectors as .cfg text and .weights bytes, written from the authors' layer lists.

OpenCV runs both. They are written here without our networks: a layer is a line, routes count
layers as a .cfg does. `LINES` are those of darknet.cfg (without its softmax) and of YOLO's in
https://github.com/pjreddie/darknet; `python -m tests.parity.darknet_cfg FOLDER_OF_CFG_FILES`
compares them.
"""

from __future__ import annotations

import pathlib
import re
import struct
import sys

import numpy as np

from tests.parity import formula
from tests.parity.darknet_reference import channels, sections

GAIN = np.float32(2**0.5)  # else a leaky ReLU's map fades from layer to layer
HEAD_GAIN = {
    "yolov3": 5e-6,
    "yolov3_spp": 5e-6,
    "yolov4": 1e-5,
}  # residual blocks make maps grow: e^t stays finite
THRESHOLD = 1e-4  # products below are zeroed by OpenCV
ANCHORS = {
    "yolov3": "10,13, 16,30, 33,23, 30,61, 62,45, 59,119, 116,90, 156,198, 373,326",
    "yolov3_tiny": "10,14, 23,27, 37,58, 81,82, 135,169, 344,319",
    "yolov2": "1.3221,1.73145, 3.19275,4.00944, 5.05587,8.09892, 9.47112,4.84053, 11.2364,10.0071",
    "yolov2_tiny": "1.08,1.19, 3.42,4.41, 6.63,11.38, 9.42,5.11, 16.62,10.52",
}
ANCHORS["yolov3_spp"] = ANCHORS["yolov3"]
ANCHORS["yolov4"] = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"
ANCHORS["yolov4_tiny"] = ANCHORS["yolov3_tiny"]
REACHES = {"yolov4": {"0,1,2": 1.2, "3,4,5": 1.1, "6,7,8": 1.05}}
REACHES["yolov4_tiny"] = {"3,4,5": 1.05, "1,2,3": 1.05}


def conv(filters: int, size: int, stride: int = 1, activation: str = "leaky") -> str:
    return f"conv {filters} {size} {stride} {activation}"


def residuals(filters: int, depth: int) -> list[str]:
    block = [conv(filters // 2, 1), conv(filters, 3), "shortcut -3"]
    return [conv(filters, 3, 2), *block * depth]


def darknet53() -> list[str]:
    depths = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))
    return [conv(32, 3), *(line for pair in depths for line in residuals(*pair))]


def darknet19() -> list[str]:
    lines = [conv(32, 3), "maxpool 2 2", conv(64, 3)]
    for filters, times in ((128, 1), (256, 1), (512, 2), (1024, 2)):
        both = [conv(filters, 3), conv(filters // 2, 1)]
        lines += ["maxpool 2 2", *both * times, conv(filters, 3)]
    return lines


def pairs(filters: int, times: int) -> list[str]:
    return [conv(filters, 1), conv(2 * filters, 3)] * times


def up(filters: int, source: int) -> list[str]:
    return ["route -4", conv(filters, 1), "upsample", f"route -1,{source}"]


def small(last_stride: int) -> list[str]:
    """The body of the tiny ones, whose last pooling does not halve the map; the classifier's."""
    lines = []
    for index in range(6):
        lines += [conv(16 * 2**index, 3), f"maxpool 2 {2 if index < 5 else last_stride}"]
    return [*lines, conv(1024, 3)]


def mish(*numbers: int) -> str:
    return conv(*numbers, activation="mish")


def cspdarknet53() -> list[str]:
    lines = [mish(32, 3)]
    for filters, depth in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        half = filters // 2
        split = filters if filters == 64 else half
        block = [mish(half, 1), mish(split, 3), "shortcut -3"]
        lines += [mish(filters, 3, 2), mish(split, 1), "route -2", mish(split, 1), *block * depth]
        lines += [mish(split, 1), f"route -1,-{3 * depth + 4}", mish(filters, 1)]
    return lines


def tiny_stage(filters: int) -> list[str]:
    half = conv(filters // 2, 3)
    return [
        *(conv(filters, 3), "half -1", half, half, "route -1,-2"),
        *(conv(filters, 1), "route -6,-1", "maxpool 2 2"),
    ]


SPP = ["maxpool 5 1", "route -2", "maxpool 9 1", "route -4", "maxpool 13 1", "route -1,-3,-5,-6"]
COARSE = {
    "yolov3": pairs(512, 3),
    "yolov3_spp": [*pairs(512, 1), conv(512, 1), *SPP, *pairs(512, 2)],
}
TAIL = [
    *("head 6,7,8", *up(256, 61), *pairs(256, 3), "head 3,4,5"),
    *(*up(128, 36), *pairs(128, 3), "head 0,1,2"),
]
TINY_CSP = [
    *(conv(32, 3, 2), conv(64, 3, 2), *tiny_stage(64), *tiny_stage(128), *tiny_stage(256)),
    conv(512, 3),
]


def lateral(filters: int, source: int) -> list[str]:
    return [conv(filters, 1), "upsample", f"route {source}", conv(filters, 1), "route -1,-3"]


def lower(filters: int, joined: int) -> list[str]:
    return ["route -4", conv(filters, 3, 2), f"route -1,-{joined}", *pairs(filters, 3)]


LINES = {
    "cspdarknet53_tiny": [*TINY_CSP, "avgpool", "logits"],
    "yolov4": [
        *(*cspdarknet53(), *pairs(512, 1), conv(512, 1), *SPP, *pairs(512, 1), conv(512, 1)),
        *(*lateral(256, 85), *pairs(256, 2), conv(256, 1), *lateral(128, 54), *pairs(128, 3)),
        *("head 0,1,2", *lower(256, 16), "head 3,4,5", *lower(512, 37), "head 6,7,8"),
    ],
    "yolov4_tiny": [
        *(*TINY_CSP, conv(256, 1), conv(512, 3), "head 3,4,5"),
        *(*up(128, 23), conv(256, 3), "head 1,2,3"),
    ],
    "darknet_reference": [*small(2), "avgpool", "logits"],
    "yolov2": [
        *(*darknet19(), conv(1024, 3), conv(1024, 3), "route -9", conv(64, 1)),
        *("reorg", "route -1,-4", conv(1024, 3), "region"),
    ],
    "yolov2_tiny": [*small(1), conv(1024, 3), "region"],
    "yolov3": [*darknet53(), *COARSE["yolov3"], *TAIL],
    "yolov3_spp": [*darknet53(), *COARSE["yolov3_spp"], *TAIL],
    "yolov3_tiny": [
        *(*small(1), conv(256, 1), conv(512, 3), "head 3,4,5"),
        *(*up(128, 8), conv(256, 3), "head 0,1,2"),
    ],
}


def cfg(network: str, classes: int, height: int, width: int) -> str:
    text = f"[net]\nheight={height}\nwidth={width}\nchannels=3\n"
    for line in LINES[network]:
        kind, *numbers = line.split()
        if kind == "conv":
            filters, size, stride, activation = numbers
            text += f"[convolutional]\nbatch_normalize=1\nactivation={activation}\npad=1\n"
            text += f"filters={filters}\nsize={size}\nstride={stride}\n"
        elif kind == "head":
            text += "[convolutional]\nactivation=linear\npad=1\nsize=1\nstride=1\n"
            text += f"filters={3 * (5 + classes)}\n"
            text += f"[yolo]\nmask={numbers[0]}\nanchors={ANCHORS[network]}\nclasses={classes}\n"
            text += f"num={ANCHORS[network].count(',') // 2 + 1}\nthresh={THRESHOLD}\n"
            text += "nms_threshold=0\n"
            if reaches := REACHES.get(network):
                text += f"scale_x_y={reaches[numbers[0]]}\n"
        elif kind == "region":
            text += "[convolutional]\nactivation=linear\npad=1\nsize=1\nstride=1\n"
            text += f"filters={5 * (5 + classes)}\n"
            text += f"[region]\nanchors={ANCHORS[network]}\nclasses={classes}\ncoords=4\nnum=5\n"
            text += f"softmax=1\nthresh={THRESHOLD}\nnms_threshold=0\n"
        elif kind == "reorg":
            text += "[reorg]\nstride=2\n"
        elif kind == "logits":
            text += "[convolutional]\nactivation=linear\npad=1\nsize=1\nstride=1\n"
            text += f"filters={classes}\n"
        elif kind == "avgpool":
            text += "[avgpool]\n"
        elif kind == "maxpool":
            text += "[maxpool]\nsize={}\nstride={}\n".format(*numbers)
        elif kind == "shortcut":
            text += f"[shortcut]\nfrom={numbers[0]}\nactivation=linear\n"
        elif kind == "route":
            text += f"[route]\nlayers={numbers[0]}\n"
        elif kind == "half":
            text += f"[route]\nlayers={numbers[0]}\ngroups=2\ngroup_id=1\n"
        else:
            text += "[upsample]\nstride=2\n"
    return text


def weights(text: str, head_gain: float = 1.0) -> bytes:
    """A .weights file for the .cfg text: of a formula by the number of the convolution.

    head_gain: factor of the kernels of the last convolutions.
    """
    parts = [struct.pack("<iiiQ", 0, 2, 0, 0)]
    for index, (inputs, outputs, side, normalised) in enumerate(channels(sections(text))):
        kinds = ("beta", "gamma", "moving_mean", "moving_variance") if normalised else ("bias",)
        for kind in kinds:
            parts.append(formula.weight(f"{index}/{kind}", (outputs,)).tobytes())
        gain = GAIN * np.float32(1.0 if normalised else head_gain)
        kernel = gain * formula.weight(f"{index}/kernel", (inputs, side, side, outputs))
        parts.append(np.ascontiguousarray(kernel.transpose(3, 0, 1, 2)).tobytes())
    return b"".join(parts)


def summary(text: str) -> list[tuple]:
    """What of a .cfg decides its outputs, layer by layer."""
    found = []
    for kind, options in sections(text)[1:]:
        keys = ("filters", "size", "stride", "batch_normalize", "activation", "layers", "from")
        keys += ("mask", "anchors", "classes", "num", "pad", "coords", "softmax")
        keys += ("groups", "group_id", "scale_x_y")
        values = {key: re.sub(" +", "", options[key]) for key in keys if key in options}
        found.append((kind, values))
    return found


if __name__ == "__main__":
    for network in LINES.keys() - {"cspdarknet53_tiny"}:
        name = network.replace("_reference", "").replace("_", "-")
        name += "-voc" if "v2" in name else ""
        path = pathlib.Path(sys.argv[1]) / f"{name}.cfg"
        classes = 20 if "v2" in name else 80 if "yolo" in name else 1000
        ours = summary(cfg(network, classes, 416, 416))
        theirs = summary(path.read_text().split("[softmax]")[0])
        assert ours == theirs, next((a, b) for a, b in zip(ours, theirs) if a != b)  # noqa: B905
        print(network, "equals", path.name, len(ours), "layers")
