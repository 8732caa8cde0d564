"""PyTorch's weights into our networks: true names and outputs, files that torch itself wrote."""

from __future__ import annotations

import functools
import json
import lzma
import pathlib
import pickle
import struct
import zipfile

import keras
import numpy as np
import pytest

from convoy import models
from convoy.models.rows import CAFFE, TORCH
from convoy.models.weights import convert, load, safetensors, state_dict, torch_pth
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


@functools.lru_cache(2)  # VGG has half a gigabyte
def true_tensors(network: str) -> dict[str, np.ndarray]:
    """What the reference's state_dict() held when it computed the golden logits."""
    shapes = json.loads(lzma.decompress((GOLDEN / "weights_torch.json.xz").read_bytes()))[network]
    shapes = {name: tuple(shape) for name, shape in shapes.items()}
    return weights_formula.tensors(shapes, scaled=network != "inception_resnet_v2")


def golden_logits(network: str) -> np.ndarray:
    with np.load(GOLDEN / "weights_torch.npz") as golden:
        return golden[f"{network}_logits"]


QUICK = ("resnet18", "resnet18_v2", "googlenet_bn")
SIZES = {"inception_v3_aux": 299, "inception_resnet_v2": 107, "alexnet_owt": 224}
SIZES |= {f"vgg{depth}{norm}": 224 for depth in (11, 13, 16, 19) for norm in ("", "_bn")}
DEEP = [f"resnet{depth}{kind}" for depth in (34, 50, 101, 152) for kind in ("", "_v2")]
SLOW = [*DEEP, "resnet200", *(n for n in SIZES if n not in ("vgg16", "vgg19"))]


@pytest.mark.parametrize(
    "network", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]
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
@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_vgg_of_torchvision_sees_our_pixels(network, tmp_path):
    """Ours are BGR minus means, without a deviation; the border is padded with other zeros."""
    path = write_safetensors(tmp_path / "vgg.safetensors", true_tensors(network))
    model = models.build(network, num_classes=10)
    report = load.load(model, network, path)
    assert report.notes == ["block1_conv1: changed to the pixels that this network sees"]
    outputs = model(formula.pictures(2, 224, 224), training=False)
    assert_close(outputs, golden_logits(network))


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


def test_what_a_training_saved():
    """Arguments, paths and the optimizer's numbers are passed over; only averages are there."""
    found = state_dict.layers(torch_pth.read(GOLDEN / "torch_training.pth"))
    assert {layer: sorted(parts) for layer, parts in found.items()} == {
        "norm": ["gamma", "moving_mean"]
    }
    np.testing.assert_array_equal(found["norm"]["gamma"], [0, 1])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model."])
def test_what_training_puts_before_names(prefix):
    value = np.zeros(2, np.float32)
    names = (f"{prefix}fc.weight", f"{prefix}features.module.0.bias", "n_averaged")
    assert list(state_dict.layers(dict.fromkeys(names, value))) == ["fc", "features.0"]
    assert state_dict.layers({"n_averaged": value}) == {}


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


def test_other_kinds_of_numbers(resnet, tmp_path):
    """float16 and bfloat16 are made float32, what is no real number is refused."""
    tensors = dict(true_tensors("resnet18"))
    tensors["fc.weight"] = tensors["fc.weight"].astype(np.float16)
    tensors["conv1.weight"] = (tensors["conv1.weight"].view(np.uint32) >> 16).astype(np.uint16)
    path = write_safetensors(tmp_path / "r.safetensors", tensors)
    model = models.build("resnet18", num_classes=10, input_size=(32, 32))
    assert not load.load(model, "resnet18", path).mismatched
    stem = model.get_layer("stem_conv").kernel
    expected = true_tensors("resnet18")["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(stem, expected, rtol=2**-7)
    np.testing.assert_array_equal(model.get_layer("logits").kernel, tensors["fc.weight"].T)
    tensors["bn1.bias"] = np.arange(64)
    write_safetensors(path, tensors)
    with pytest.raises(ValueError, match="stem_norm/beta holds int64 where real numbers belong"):
        load.load(resnet, "resnet18", path)


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
        (lambda t: t.update({"fc.bias": t["fc.bias"][:4] * np.nan}), "logits/bias holds .* finite"),
        (
            lambda t: t.update({"bn1.running_var": t["bn1.bias"] - 1}),
            "stem_norm/moving_variance holds .* too low for a variance",
        ),
    ],
    ids=["missing", "more", "shape", "infinite", "head", "nan", "variance"],
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


def test_a_second_head_starts_fresh_beside_the_file(true_file):
    """Localisation's box is no layer of a classification network."""
    task = models.build_task("resnet18", task="localization", num_classes=10, input_size=(32, 32))
    report = load.load(task.model, "resnet18", true_file)
    assert report.missing == ["box/kernel", "box/bias"]
    assert report.classes == 10
    assert len(report.matched) == len(task.model.weights) - 2


@pytest.mark.parametrize(
    ("name", "start", "told"),
    [
        ("a.pth", b"\x89HDF\r\n\x1a\n", "HDF5: name it .h5"),
        ("a.safetensors", b"PK\x03\x04 and more", "PyTorch's is .pth"),
        ("a.pth", b"\n<!DOCTYPE html><title>sign in</title>", "a web page"),
        ("a.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ],
)
def test_what_a_file_really_is(resnet, name, start, told, tmp_path):
    (tmp_path / name).write_bytes(start)
    with pytest.raises(ValueError, match=f"(?s){name}.*first bytes are those of .*{told}"):
        load.load(resnet, "resnet18", tmp_path / name)


def test_another_network_or_format_is_named(resnet, tmp_path):
    path = write_safetensors(tmp_path / "r.safetensors", {"conv1.weight": np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match=r"resnet50_v1: .* take Keras \.h5 or Caffe"):
        load.load(resnet, "resnet50_v1", path)
    with pytest.raises(ValueError, match="goes by the name"):
        load.load(resnet, "resnet18", path.rename(tmp_path / "r.npz"))
    with pytest.raises(ValueError, match=r"model\.init_from"):
        load.load(resnet, "resnet18", tmp_path)
