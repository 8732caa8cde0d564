"""Damaged and forged files of weights: an error for people, quickly, and without much memory."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from convoy.models.weights import caffe, darknet, keras_h5, safetensors, torch_pth
from tests.models.test_weights_caffe import layer, layer_v1, message, varint
from tests.models.test_weights_torch import write_safetensors

UNITS = [
    darknet.Unit("conv", (3, 3, 3, 4), "norm"),
    darknet.Unit("logits", (4, 5)),
]
READERS = {
    "a.caffemodel": caffe.read,
    "a.h5": keras_h5.read,
    "a.safetensors": safetensors.read,
    "a.pth": torch_pth.read,
    "a.weights": lambda path: darknet.read(path, UNITS),
}
LARGE = 50_000_000  # bytes; the files here have a few thousand


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def write_h5(path, keras3: bool = False) -> None:
    """Names of one length, as published: on a damaged heap of others HDF5's library may loop."""
    with h5py.File(path, "w") as file:
        if not keras3:
            file.attrs["layer_names"] = np.asarray([b"conv", b"norm"], "S")
        for name, arrays in {
            "conv": [values(3, 3, 2, 4), values(4)],
            "norm": [values(4)] * 4,
        }.items():
            group = file.create_group(f"{name}/vars" if keras3 else name)
            group.attrs["name"] = np.bytes_(name)
            numbers = [str(index) for index in range(len(arrays))]
            group.attrs["weight_names"] = np.asarray(numbers, "S")
            for index, array in enumerate(arrays):
                group[str(index)] = array


def whole(kind: str, path) -> bytes:
    if kind == "safetensors":
        write_safetensors(path, {"a.weight": values(4, 3), "a.bias": values(4)})
    elif kind.startswith("h5"):
        write_h5(path, kind == "h5 of Keras 3")
    elif kind == "darknet":
        data = np.concatenate([values(u.numbers(u.outputs)) for u in UNITS])
        path.write_bytes(struct.pack("<3iQ", 0, 2, 0, 0) + data.tobytes())
    elif kind == "caffe":
        weights = values(4, 2, 3, 3), values(4)
        path.write_bytes(
            message((1, "net"))
            + layer("conv", "Convolution", *weights)
            + layer("norm", "BatchNorm", values(4), values(4), values(1))
            + layer_v1("old", 4, *weights)
        )
    return path.read_bytes()


ENDINGS = {"h5": "a.h5", "h5 of Keras 3": "a.h5", "darknet": "a.weights"}
ENDINGS |= {"caffe": "a.caffemodel", "safetensors": "a.safetensors"}


@pytest.mark.parametrize("kind", ENDINGS)
def test_damaged_bytes_are_read_or_an_error_for_people(kind, tmp_path):
    """Bytes changed, cut, doubled or left out at random places."""
    path = tmp_path / ENDINGS[kind]
    data, read = whole(kind, path), READERS[path.name]
    assert read(path)
    draw, refused = np.random.default_rng(0), []
    tracemalloc.start()
    for index in range(300):
        damaged = bytearray(data)
        for place in draw.integers(0, min(len(data), 2500), 3):  # where the structure is
            damaged[place] = draw.choice([0, 1, 127, 128, 255, draw.integers(256)])
        if index % 5 == 0:
            del damaged[draw.integers(len(data)) :]
        elif index % 5 == 1:
            begin, end = sorted(draw.integers(0, len(data), 2))
            damaged[begin:end] = damaged[begin:end] * int(draw.integers(0, 3))
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as error:
            refused.append(str(error))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < LARGE
    assert len(refused) > 30
    assert all(path.name in told for told in refused)


def forged_safetensors(names: str = "a", **changes) -> bytes:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    text = json.dumps(dict.fromkeys(names, entry)).encode()
    return struct.pack("<Q", len(text)) + text + bytes(8)


def forged_zip(pickled: bytes, compressed: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        if compressed:
            archive.writestr("a/data/0", bytes(1 << 20), zipfile.ZIP_DEFLATED)
        else:
            archive.writestr("a/data/0", bytes(8))
    return file.getvalue()


def forged_tensor(shape: tuple, strides: tuple, around=dict) -> bytes:
    """The pickle of {"a": a tensor}, two numbers of storage below it, and what is `around` it."""

    class Storage:
        pass

    class Tensor:
        def __reduce__(self):
            return (torch_pth._rebuild, (Storage(), 0, shape, strides))

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", "F32", "0", "cpu", 2) if isinstance(obj, Storage) else None

    file = io.BytesIO()
    Pickler(file, 2).dump(around({"a": Tensor()}))
    found = file.getvalue()
    return found.replace(
        b"cconvoy.models.weights.torch_pth\n_rebuild\n", b"ctorch._utils\n_rebuild_tensor_v2\n"
    )


def one_field(*fields) -> bytes:
    return message((100, message(*fields)))


CONV = ((1, "conv"), (2, "Convolution"))
FORGED = {
    "a header of 2^60 bytes": ("a.safetensors", struct.pack("<Q", 1 << 60) + b"{}"),
    "a header that nests": ("a.safetensors", struct.pack("<Q", 99_999) + b"[" * 99_999),
    "a tensor of 2^60 numbers": ("a.safetensors", forged_safetensors(shape=[1 << 60])),
    "numbers beyond the file": (
        "a.safetensors",
        forged_safetensors(shape=[1 << 58], data_offsets=[0, 1 << 60]),
    ),
    "negative sides": ("a.safetensors", forged_safetensors(shape=[-1, -2])),
    "sides that are no integers": ("a.safetensors", forged_safetensors(shape=[2.0])),
    "offsets that are none": ("a.safetensors", forged_safetensors(data_offsets=[None, "8"])),
    "three offsets": ("a.safetensors", forged_safetensors(data_offsets=[0, 4, 8])),
    "two tensors of the same bytes": ("a.safetensors", forged_safetensors("ab")),
    "no object": ("a.safetensors", struct.pack("<Q", 2) + b"[]"),
    "a name of 2^40 zeros": ("a.caffemodel", one_field((1, 1 << 40), (7, b""))),
    "a type of 2^60": ("a.caffemodel", one_field((1, "conv"), (2, b"\xff"), (7, b""))),
    "a field of 2^60 bytes": ("a.caffemodel", varint(100 << 3 | 2) + varint(1 << 60) + b"abc"),
    "a blob of 2^60 numbers": (
        "a.caffemodel",
        one_field(*CONV, (7, message((7, message((1, varint(1 << 60))))))),
    ),
    "sides of 2^63 and 0": (
        "a.caffemodel",
        one_field(*CONV, (7, message((7, message((1, varint((1 << 63) - 1) + varint(0))))))),
    ),
    "a blob that is a number": ("a.caffemodel", one_field(*CONV, (7, 5))),
    "a norm of two blobs": ("a.caffemodel", layer("bn", "BatchNorm", values(4), values(4))),
    "a norm whose weight is four": (
        "a.caffemodel",
        layer("bn", "BatchNorm", values(4), values(4), values(4)),
    ),
    "an expanded tensor of 2^28": ("a.pth", forged_zip(forged_tensor((1 << 28,), (0,)))),
    "a tensor beyond its storage": ("a.pth", forged_zip(forged_tensor((3,), (1,)))),
    "a compressed archive": ("a.pth", forged_zip(forged_tensor((2,), (1,)), compressed=True)),
    "bytes of 2^60 in a pickle": (
        "a.pth",
        forged_zip(b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60)),
    ),
    "a header alone": ("a.weights", struct.pack("<3iQ", 0, 2, 0, 0)),
    "nothing": ("a.weights", b""),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_a_forged_file_claims_is_not_believed(forged, tmp_path):
    name, data = FORGED[forged]
    path = tmp_path / name
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        READERS[name](path)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < LARGE


def test_a_forged_tensor_that_is_right_is_read(tmp_path):
    (tmp_path / "a.pth").write_bytes(forged_zip(forged_tensor((2,), (1,))))
    np.testing.assert_array_equal(torch_pth.read(tmp_path / "a.pth")["a"], [0, 0])


def test_the_one_part_of_a_checkpoint_that_is_all_tensors(tmp_path):
    path = tmp_path / "a.pth"
    for around in (
        lambda held: {"epoch": 3, "net": held},
        lambda held: {"epoch": 3, "net": held, "model": held},
        lambda held: {"epoch": 3, "model": {"state_dict": held, "more": {}}},
    ):
        path.write_bytes(forged_zip(forged_tensor((2,), (1,), around)))
        assert list(torch_pth.read(path)) == ["a"]
    several = forged_tensor((2,), (1,), lambda held: {"epoch": 3, "painter": held, "judge": held})
    path.write_bytes(forged_zip(several))
    with pytest.raises(ValueError, match="expected tensors alone, but 'epoch' is none"):
        torch_pth.read(path)


def test_a_checkpoint_that_holds_itself_ends(tmp_path):
    held: dict = {"epoch": 3}
    held["model"] = held
    (tmp_path / "a.pth").write_bytes(forged_zip(pickle.dumps(held, 2)))
    with pytest.raises(ValueError, match="expected tensors alone"):
        torch_pth.read(tmp_path / "a.pth")


@pytest.mark.parametrize("kind", ["f4", "S8"])
def test_an_h5_array_that_is_not_there_or_no_number(kind, tmp_path):
    """HDF5 need not store what was never written: 2^50 numbers in a few kilobytes."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"0"]
        shape = (1 << 50,) if kind == "f4" else (4,)
        group.create_dataset("0", shape, kind, chunks=(1,) if kind == "S8" else (1 << 20,))
    with pytest.raises(ValueError, match=r"a\.h5.*cannot be weights"):
        keras_h5.read(path)
