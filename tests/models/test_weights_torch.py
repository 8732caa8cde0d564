"""PyTorch's weights into our networks: true names and outputs, files that torch itself wrote."""

from __future__ import annotations

import functools
import json
import pathlib
import pickle
import struct
import zipfile

import keras
import numpy as np
import pytest

import models
from models.rows import CAFFE, TORCH
from models.weights import convert, load, safetensors, state_dict, torch_pth
from tests.models.test_parity import GOLDEN, assert_close
from tests.parity import formula, weights_formula


def write_safetensors(path: pathlib.Path, tensors: dict[str, np.ndarray]) -> pathlib.Path:
    kinds = {"float32": "F32", "float16": "F16", "int64": "I64", "uint16": "BF16"}
    header, data = {"__metadata__": {"format": "pt"}}, b""
    pieces = []
    for name, value in tensors.items():
        raw = np.ascontiguousarray(value).tobytes()
        begin = sum(map(len, pieces))
        pieces.append(raw)
        header[name] = {
            "dtype": kinds[value.dtype.name],
            "shape": list(value.shape),
            "data_offsets": [begin, begin + len(raw)],
        }
    text = json.dumps(header).encode()
    data = b"".join(pieces)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@functools.cache
def true_tensors(network: str) -> dict[str, np.ndarray]:
    """What the reference's state_dict() held when it computed the golden logits."""
    with np.load(GOLDEN / "weights_torch.npz") as golden:
        lines = golden[f"{network}_names"].tobytes().decode().split("\n")
    shapes = {}
    for line in lines:
        name, _, sides = line.partition(" ")
        shapes[name] = tuple(map(int, sides.split(","))) if sides else ()
    return weights_formula.tensors(shapes)


def golden_logits(network: str) -> np.ndarray:
    with np.load(GOLDEN / "weights_torch.npz") as golden:
        return golden[f"{network}_logits"]


SIZES = {"inception_v3_aux": 299, "vgg11": 224, "vgg11_bn": 224, "alexnet_owt": 224}
SLOW = (*SIZES, "resnet50", "resnet50_v2")
EQUAL = ("resnet18", "resnet18_v2", "googlenet_bn", *SLOW)


@pytest.mark.parametrize(
    "network", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in EQUAL]
)
def test_outputs_are_the_reference_s(network, tmp_path):
    size = SIZES.get(network, 64)
    path = write_safetensors(tmp_path / "true.safetensors", true_tensors(network))
    model = models.build(network, num_classes=10, input_size=(size, size))
    report = load.load(model, network, path)
    outputs = model(formula.pictures(2, size, size), training=False)
    assert_close(
        outputs["logits"] if isinstance(outputs, dict) else outputs, golden_logits(network)
    )
    assert len(report.matched) == len(model.weights)
    assert not report.missing
    assert not report.mismatched
    assert not report.notes
    layers = {name.split(".")[0] for name in report.unused}
    assert layers == ({"aux1", "aux2"} if network == "googlenet_bn" else set())


@pytest.mark.slow
def test_vgg16_of_torchvision_sees_our_pixels(tmp_path):
    """Ours are BGR minus means, without a deviation; the border is padded with other zeros."""
    path = write_safetensors(tmp_path / "vgg16.safetensors", true_tensors("vgg16"))
    model = models.build("vgg16", num_classes=10)
    report = load.load(model, "vgg16", path)
    assert report.notes == ["block1_conv1: changed to the pixels that this network sees"]
    outputs = model(formula.pictures(2, 224, 224), training=False)
    assert_close(outputs, golden_logits("vgg16"))


def test_a_kernel_for_other_pixels_computes_the_same():
    draw = np.random.default_rng(0)
    kernel, image = draw.standard_normal((3, 3, 3, 5)), draw.uniform(0, 255, (1, 3, 3, 3))
    normalize = models.layers.Normalize(CAFFE.scale, CAFFE.mean, CAFFE.std, CAFFE.channel_order)
    changed, bias = convert.other_pixels(kernel, TORCH, normalize)
    theirs = (image / 255 - TORCH.mean) / TORCH.std
    ours = image[..., ::-1] - CAFFE.mean
    assert_close(
        (ours * 1.0).reshape(27) @ changed.reshape(27, 5) + bias,
        theirs.reshape(27) @ kernel.reshape(27, 5),
        1e-6,
    )
    same, none = convert.other_pixels(kernel, CAFFE, normalize)
    assert same is kernel
    assert none is None


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_what_torch_saved(layout):
    """Values as tests/parity/weights_reference.py gave them to torch.save."""
    found = state_dict.layers(torch_pth.read(GOLDEN / f"torch_{layout}.pth"))
    base = np.arange(24, dtype=np.float32)
    np.testing.assert_array_equal(found["conv"]["kernel"], base.reshape(2, 3, 2, 2) / 8)
    np.testing.assert_array_equal(found["conv"]["bias"], [4, 5])
    np.testing.assert_array_equal(found[""]["turned"], base.reshape(4, 6).T)
    np.testing.assert_array_equal(found["norm"]["gamma"], [0.5, -2])
    np.testing.assert_array_equal(found["norm"]["moving_mean"], np.float32([1, 3.140625]))
    assert set(found["norm"]) == {"gamma", "moving_mean"}
    assert found[""]["empty"].shape == (0, 3)


class _Evil:
    def __reduce__(self):
        return (pathlib.Path.touch, (pathlib.Path("touched-by-a-pickle"),))


def test_a_pickle_cannot_call_other_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("evil.pth", "w") as archive:
        archive.writestr("evil/data.pkl", pickle.dumps({"weight": _Evil()}, 2))
    with pytest.raises(ValueError, match="not read for safety"):
        torch_pth.read("evil.pth")
    assert not pathlib.Path("touched-by-a-pickle").exists()


@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_a_cut_pth_is_an_error_for_people(layout, part, tmp_path):
    whole = (GOLDEN / f"torch_{layout}.pth").read_bytes()
    cut = tmp_path / "cut.pth"
    cut.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(ValueError, match=r"cut\.pth"):
        torch_pth.read(cut)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_a_damaged_pth_is_read_or_an_error_for_people(layout, tmp_path):
    draw, path = np.random.default_rng(0), tmp_path / "damaged.pth"
    whole = (GOLDEN / f"torch_{layout}.pth").read_bytes()
    refused = []
    for _ in range(300):
        damaged = bytearray(whole)
        for place in draw.integers(0, len(whole), 3):
            damaged[place] = draw.integers(256)
        path.write_bytes(damaged)
        try:
            torch_pth.read(path)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 30
    assert all("damaged.pth" in told for told in refused)


def test_safetensors_kinds_and_cuts(tmp_path):
    bits = np.asarray([0x3F80, 0xC049], np.uint16)  # 1 and -3.140625 in bfloat16
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.asarray(2.5, np.float16),
        "c": bits,
    }
    path = write_safetensors(tmp_path / "x.safetensors", tensors)
    found = safetensors.read(path)
    np.testing.assert_array_equal(found["a"], tensors["a"])
    assert found["b"] == 2.5
    np.testing.assert_array_equal(found["c"], np.float32([1, -3.140625]))
    whole = path.read_bytes()
    for length in (0, 4, 30, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"x\.safetensors"):
            safetensors.read(path)
    path.write_bytes(whole.replace(b'"shape": [2, 3]', b'"shape": [9, 3]'))
    with pytest.raises(ValueError, match="108 bytes"):
        safetensors.read(path)


@pytest.fixture(scope="module")
def resnet() -> keras.Model:
    return models.build("resnet18", num_classes=4, input_size=(32, 32))


@pytest.fixture
def true_file(tmp_path) -> pathlib.Path:
    return write_safetensors(tmp_path / "r.safetensors", true_tensors("resnet18"))


def test_other_classes_leave_the_head_fresh(resnet, true_file):
    head = resnet.get_layer("logits").get_weights()
    report = load.load(resnet, "resnet18", true_file)
    assert report.mismatched == [
        "logits/kernel (512, 10) -> (512, 4)",
        "logits/bias (10,) -> (4,)",
    ]
    for mine, theirs in zip(head, resnet.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    gamma = resnet.get_layer("stage4_block2_norm2").gamma
    np.testing.assert_array_equal(gamma, true_tensors("resnet18")["layer4.1.bn2.weight"])


def test_a_file_without_head_loads(resnet, tmp_path):
    tensors = {k: v for k, v in true_tensors("resnet18").items() if not k.startswith("fc.")}
    path = write_safetensors(tmp_path / "r.safetensors", tensors)
    assert load.load(resnet, "resnet18", path).missing == ["logits/kernel", "logits/bias"]


def test_a_backbone_leaves_the_head_in_the_file(true_file):
    backbone = models.build("resnet18", num_classes=None, input_size=(32, 32))
    assert load.load(backbone, "resnet18", true_file).unused == ["fc"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.pop("layer3.1.bn2.running_var"), "missing.*stage3_block2_norm2"),
        (lambda t: t.update({"layer4.2.conv1.weight": t["conv1.weight"]}), r"alone: layer4\.2"),
        (lambda t: t.update({"conv1.weight": t["conv1.weight"][:, :1]}), r"\(7, 7, 1, 64\) ->"),
        (
            lambda t: t.update({"bn1.weight": t["bn1.weight"] / 0}),
            "stem_norm/gamma holds .* finite",
        ),
        (lambda t: t.update({"fc.weight": t["fc.weight"][:, :5]}), r"\(5, 10\) -> \(512, 4\)"),
    ],
    ids=["missing", "more", "shape", "infinite", "head"],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_nothing_is_loaded_of_a_file_that_does_not_fit(resnet, change, told, tmp_path):
    tensors = dict(true_tensors("resnet18"))
    change(tensors)
    path = write_safetensors(tmp_path / "r.safetensors", tensors)
    before = [value.copy() for value in resnet.get_weights()]
    with pytest.raises(ValueError, match=rf"(?s)r\.safetensors.*nothing was loaded.*{told}"):
        load.load(resnet, "resnet18", path)
    for mine, theirs in zip(before, resnet.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_another_network_or_format_is_named(resnet, tmp_path):
    path = write_safetensors(tmp_path / "r.safetensors", {"conv1.weight": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"resnet50_v1 is not one .* take Keras \.h5 or Caffe"):
        load.load(resnet, "resnet50_v1", path)
    with pytest.raises(ValueError, match="goes by the name"):
        load.load(resnet, "resnet18", path.rename(tmp_path / "r.npz"))
    with pytest.raises(ValueError, match=r"model\.init_from"):
        load.load(resnet, "resnet18", tmp_path)
