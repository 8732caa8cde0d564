"""Writes tests/golden/classics_*.npz: AlexNet to OverFeat and VGG under formula weights.

Run by hand, in an environment of its own (torch_reference.py tells how to make it), with

    tv/bin/pip install "opencv-python-headless<5"
    PYTHONPATH=. tv/bin/python tests/parity/classics_reference.py

AlexNet, ZFNet and OverFeat are written out as Caffe networks, which OpenCV runs, and once more
with PyTorch's functions; both must agree here already. Pyramid pooling is PyTorch's alone. VGG and
alexnet_owt are torchvision's.
"""

from __future__ import annotations

import struct

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from tests.parity import formula
from tests.parity.torch_reference import GOLDEN, VARIABLES, fill, import_torchvision, pictures

CLASSES = 10
CAFFE_MEAN = np.float32([103.939, 116.779, 123.68])


def full(*widths):
    layers = []
    for index, width in enumerate(widths, start=6):
        layers += [("fc", f"fc{index}", width), ("relu",)]
    return [*layers, ("fc", "logits", CLASSES)]


def conv(name, filters, kernel, stride=1, padding=0, groups=1):
    return [("conv", name, filters, kernel, stride, padding, groups), ("relu",)]


def alexnet(groups, norm):
    """("lrn", k, alpha / 5) and ("pool", window, stride): Caffe's meanings."""
    between = [norm, ("pool", 3, 2)] if norm else [("pool", 3, 2)]
    return [
        *conv("conv1", 96, 11, 4),
        *between,
        *conv("conv2", 256, 5, 1, 2, groups),
        *between,
        *conv("conv3", 384, 3, 1, 1),
        *conv("conv4", 384, 3, 1, 1, groups),
        *conv("conv5", 256, 3, 1, 1, groups),
        ("pool", 3, 2),
        *full(4096, 4096),
    ]


def zfnet(last, filters=(384, 384, 256)):
    between = [("pool", 3, 2), ("lrn", 2.0, 1e-4)]
    return [
        *conv("conv1", 96, 7, 2, 1),
        *between,
        *conv("conv2", 256, 5, 2),
        *between,
        *conv("conv3", filters[0], 3, 1, 1),
        *conv("conv4", filters[1], 3, 1, 1),
        *conv("conv5", filters[2], 3, 1, 1),
        last,
        *full(4096, 4096),
    ]


OVERFEAT_FAST = [
    *conv("conv1", 96, 11, 4),
    ("pool", 2, 2),
    *conv("conv2", 256, 5),
    ("pool", 2, 2),
    *conv("conv3", 512, 3, 1, 1),
    *conv("conv4", 1024, 3, 1, 1),
    *conv("conv5", 1024, 3, 1, 1),
    ("pool", 2, 2),
    *full(3072, 4096),
]
OVERFEAT_ACCURATE = [
    *conv("conv1", 96, 7, 2),
    ("pool", 3, 3),
    *conv("conv2", 256, 7),
    ("pool", 2, 2),
    *conv("conv3", 512, 3, 1, 1),
    *conv("conv4", 512, 3, 1, 1),
    *conv("conv5", 1024, 3, 1, 1),
    *conv("conv6", 1024, 3, 1, 1),
    ("pool", 3, 3),
    *full(4096, 4096),
]
# name: (layers, poolings round up, sizes). Where a network rounds down, sizes leave no remainder
# for Caffe, which always rounds up; PyTorch alone runs the others.
NETWORKS = {
    "alexnet": (alexnet(2, ("lrn", 1.0, 1e-4 / 5)), True, ((95, 95), (131, 107))),
    "alexnet_single": (alexnet(1, None), False, ((99, 99), (112, 75))),
    "zfnet": (zfnet(("pool", 3, 2)), True, ((64, 64), (93, 75))),
    "zfnet_large": (zfnet(("pool", 3, 2), (512, 1024, 512)), True, ((64, 64), (93, 75))),
    "spp_net_zf5": (zfnet(("spp", (6, 3, 2, 1))), True, ((180, 180), (93, 224))),
    "overfeat_fast": (OVERFEAT_FAST, False, ((71, 71), (103, 119))),
    "overfeat_accurate": (OVERFEAT_ACCURATE, False, ((77, 77), (121, 113))),
}


def caffe_pixels(images):
    return images[..., ::-1] - CAFFE_MEAN


def overfeat_pixels(images):
    return (images - np.float32(118.380948)) / np.float32(61.896913)


def torch_kernel(name, shape):
    kernel = formula.weight(f"{name}/kernel", shape).transpose(3, 2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(kernel))


def dense_kernel(name, shape, outputs):
    """Rows [outputs, C * H * W] of a kernel that is [H * W * C, outputs] with us."""
    channels, *sides = shape
    kernel = formula.weight(f"{name}/kernel", (channels * int(np.prod(sides)), outputs))
    return kernel.reshape(*sides, channels, outputs).transpose(3, 2, 0, 1).reshape(outputs, -1)


def bias(name, outputs):
    return formula.weight(f"{name}/bias", (outputs,))


def run_torch(layers, pixels, ceil):
    """Logits, and the shapes before each layer, of [B, H, W, C]."""
    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    shapes = []
    for kind, *args in layers:
        shapes.append(tuple(x.shape[1:]))
        if kind == "conv":
            name, filters, kernel, stride, padding, groups = args
            weights = torch_kernel(name, (kernel, kernel, x.shape[1] // groups, filters))
            b = torch.from_numpy(bias(name, filters))
            x = F.conv2d(x, weights, b, stride, padding, groups=groups)
        elif kind == "relu":
            x = F.relu(x)
        elif kind == "lrn":
            x = F.local_response_norm(x, 5, alpha=5 * args[1], beta=0.75, k=args[0])
        elif kind == "pool":
            x = F.max_pool2d(x, *args, ceil_mode=ceil)
        elif kind == "spp":
            bins = [F.adaptive_max_pool2d(x, n).permute(0, 2, 3, 1) for n in args[0]]
            x = torch.cat([b.flatten(1) for b in bins], 1)[:, :, None, None]
        else:
            name, width = args
            shape = (*x.shape[1:], 1, 1)[:3]
            weights = torch.from_numpy(np.ascontiguousarray(dense_kernel(name, shape, width)))
            x = F.linear(x.flatten(1), weights, torch.from_numpy(bias(name, width)))
    return x.numpy(), shapes


def message(*fields) -> bytes:
    """Protocol buffer of (number, value): str or bytes with their length, int as varint."""
    out = b""
    for number, value in fields:
        value = value.encode() if isinstance(value, str) else value
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def varint(n: int) -> bytes:
    out = b""
    while n >= 128:
        out += struct.pack("B", n & 127 | 128)
        n >>= 7
    return out + struct.pack("B", n)


def blob(values) -> bytes:
    shape = message((1, b"".join(varint(n) for n in values.shape)))
    return message((7, shape), (5, np.ascontiguousarray(values, np.float32).tobytes()))


def run_caffe(layers, pixels, shapes):
    """Logits by OpenCV of the same network as a prototxt and a caffemodel."""
    sides = " ".join(f"dim: {n}" for n in (1, pixels.shape[3], *pixels.shape[1:3]))
    text = f'layer {{ name: "x0" type: "Input" top: "x0" input_param {{ shape {{ {sides} }} }} }}\n'
    weights = b""
    for index, ((kind, *args), shape) in enumerate(zip(layers, shapes, strict=True)):
        name = args[0] if kind in ("conv", "fc") else f"layer{index}"
        values = None
        if kind == "conv":
            _, filters, kernel, stride, padding, groups = args
            of_kind = (
                f'type: "Convolution" convolution_param {{ num_output: {filters} kernel_size: '
                f"{kernel} stride: {stride} pad: {padding} group: {groups} }}"
            )
            values = torch_kernel(name, (kernel, kernel, shape[0] // groups, filters)).numpy()
        elif kind == "fc":
            outputs = args[1]
            of_kind = f'type: "InnerProduct" inner_product_param {{ num_output: {outputs} }}'
            values = dense_kernel(name, (*shape, 1, 1)[:3], outputs)
        elif kind == "relu":
            of_kind = 'type: "ReLU"'
        elif kind == "lrn":
            # OpenCV reads no k: (k + a s)^-b = k^-b (1 + a / k s)^-b.
            k, alpha = args
            text += (
                f'layer {{ name: "{name}_k" bottom: "x{index}" top: "x{index}_k" type: "LRN" '
                f"lrn_param {{ local_size: 5 alpha: {5 * alpha / k} beta: 0.75 }} }}\n"
            )
            of_kind = f'type: "Power" power_param {{ power: 1 scale: {k**-0.75} shift: 0 }}'
        else:
            of_kind = (
                f'type: "Pooling" pooling_param {{ pool: MAX kernel_size: {args[0]} '
                f"stride: {args[1]} }}"
            )
        before = f"x{index}_k" if kind == "lrn" else f"x{index}"
        ends = f'bottom: "{before}" top: "x{index + 1}"'
        text += f'layer {{ name: "{name}" {ends} {of_kind} }}\n'
        if values is not None:
            blobs = [(7, blob(values)), (7, blob(bias(name, len(values))))]
            weights += message((100, message((1, name), *blobs)))
    network = cv2.dnn.readNetFromCaffe(
        np.frombuffer(text.encode(), np.uint8), np.frombuffer(weights, np.uint8)
    )
    outputs = []
    for picture in pixels:
        network.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
        outputs.append(network.forward()[0])
    return np.stack(outputs)


def largest_error(a, b) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def classics() -> None:
    found = {}
    for name, (layers, ceil, sizes) in NETWORKS.items():
        pixels_of = overfeat_pixels if name.startswith("overfeat") else caffe_pixels
        for height, width in sizes:
            pixels = pixels_of(formula.pictures(2, height, width))
            logits, shapes = run_torch(layers, pixels, ceil)
            found[f"{name}_{height}x{width}"] = logits
            if name == "spp_net_zf5":
                continue
            rounded_up, _ = run_torch(layers, pixels, True) if not ceil else (logits, None)
            if rounded_up.shape == logits.shape and np.array_equal(rounded_up, logits):
                by_caffe = run_caffe(layers, pixels, shapes)
                error = largest_error(by_caffe, logits)
                print(f"{name} {height}x{width}: OpenCV and PyTorch differ by {error:.1e}")
                assert error < 1e-5
                found[f"{name}_{height}x{width}"] = by_caffe
            else:
                print(f"{name} {height}x{width}: by PyTorch alone, Caffe would round up")
    np.savez_compressed(GOLDEN / "classics_caffe.npz", **found)


def vgg_name(depths, norm):
    """torchvision's features.N.* -> our layers."""
    names, position = {}, 0
    for block, depth in enumerate(depths, start=1):
        for index in range(1, depth + 1):
            names[position] = f"block{block}_conv{index}"
            if norm:
                names[position + 1] = f"block{block}_norm{index}"
            position += 3 if norm else 2
        position += 1

    def name_of(name, tensor):
        position, variable = name.split(".")
        ours = names[int(position)]
        if "norm" in ours:
            return f"{ours}/{VARIABLES[variable]}"
        return f"{ours}/{'kernel' if variable == 'weight' else 'bias'}"

    return name_of


def vgg_head(x, widths=(4096, 4096)):
    for index, width in enumerate((*widths, CLASSES), start=1):
        name = f"fc{index}" if index <= len(widths) else "logits"
        weights = dense_kernel(name, (*x.shape[1:], 1, 1)[:3], width)
        x = F.linear(
            x.flatten(1),
            torch.from_numpy(np.ascontiguousarray(weights)),
            torch.from_numpy(bias(name, width)),
        )
        x = F.relu(x) if index <= len(widths) else x
    return x


def torchvision_nets(torchvision) -> None:
    depths = {
        "vgg11": (1, 1, 2, 2, 2),
        "vgg13": (2, 2, 2, 2, 2),
        "vgg16": (2, 2, 3, 3, 3),
        "vgg19": (2, 2, 4, 4, 4),
    }
    found = {}
    for name in ("vgg11", "vgg13", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"):
        norm = name.endswith("_bn")
        network = getattr(torchvision.models, name)(num_classes=CLASSES, init_weights=False)
        fill(network.features, vgg_name(depths[name[:5]], norm))
        network.eval()
        for height, width in ((64, 64), (75, 65)):
            maps = network.features(pictures("torch", 2, height, width))
            found[f"{name}_{height}x{width}"] = maps.permute(0, 2, 3, 1)[..., ::16].numpy()
        for height, width in ((75, 65), (64, 97)):  # maps of 2 x 2 and 2 x 3
            logits = vgg_head(network.features(pictures("torch", 2, height, width)))
            found[f"{name}_logits_{height}x{width}"] = logits.numpy()
        if name == "vgg11":
            found["vgg11_224x224"] = vgg_head(
                network.avgpool(network.features(pictures("torch", 1, 224, 224)))
            ).numpy()
    owt = torchvision.models.alexnet(num_classes=CLASSES).eval()
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5")
    names = dict(zip((0, 3, 6, 8, 10), layers, strict=True))

    def name_of(name, tensor):
        position, variable = name.split(".")
        return f"{names[int(position)]}/{'kernel' if variable == 'weight' else 'bias'}"

    fill(owt.features, name_of)
    for position, layer in ((1, "fc6"), (4, "fc7"), (6, "logits")):
        linear = owt.classifier[position]
        shape = (256, 6, 6) if layer == "fc6" else (linear.in_features, 1, 1)
        weights = np.ascontiguousarray(dense_kernel(layer, shape, linear.out_features))
        linear.weight.copy_(torch.from_numpy(weights))
        linear.bias.copy_(torch.from_numpy(bias(layer, linear.out_features)))
    for height, width in ((224, 224), (75, 131)):
        found[f"alexnet_owt_{height}x{width}"] = owt(pictures("torch", 2, height, width)).numpy()
    np.savez_compressed(GOLDEN / "classics_torchvision.npz", **found)


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        _library, vision = import_torchvision()
        classics()
        torchvision_nets(vision)
