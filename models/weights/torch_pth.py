"""Files of torch.save: a pickle of tensors, read without PyTorch and without running its code.

Two layouts. Since PyTorch 1.6 a zip archive: NAME/data.pkl beside a file NAME/data/KEY of raw
numbers for each storage. Before: pickles one after the other (magic number, protocol, system,
object, keys), then for each key its length (int64) and raw numbers. The pickle names functions of
torch to rebuild tensors with; those alone are known here, so that no other code can be called.
"""

from __future__ import annotations

import collections
import io
import math
import os
import pickle
import zipfile
from collections.abc import Callable

import numpy as np

from convoy.models.weights import state_dict

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
# What pickle, zipfile and NumPy raise for bytes that are not what they should be.
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    EOFError,
    OSError,
)
# Where checkpoints of trainings keep the tensors; averaged ones only where there are no others.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema", "ema")
_DEEPEST = 4  # of one in the other; a pickle can hold itself


class _Storage:
    """Numbers that several tensors may look at; in the older layout they come after the pickle."""

    def __init__(self, kind: str, count: int):
        self.kind, self.count, self.values = kind, count, None


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Tensors by name. Raises ValueError where the file is no state_dict()."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        if zipfile.is_zipfile(path):
            content = _read_zip(path)
        else:
            with open(path, "rb") as file:
                content = _read_legacy(file)
        for _ in range(_DEEPEST):
            content = _inner(content) or content
        if not isinstance(content, dict) or not content:
            raise ValueError(f"expected tensors by name, got {type(content).__name__}")
        not_tensors = [name for name, value in content.items() if not isinstance(value, _Tensor)]
        if not_tensors:
            raise ValueError(f"expected tensors alone, but {not_tensors[0]!r} is none")
        return {str(name): tensor.array() for name, tensor in content.items()}
    except _BROKEN as error:
        raise ValueError(f"{path} cannot be read as what torch.save wrote: {error}") from None


def _inner(content) -> dict | None:
    """The tensors of a training's checkpoint, or what leads to them; None where there is none."""
    if not isinstance(content, dict):
        return None
    inner = {name: value for name, value in content.items() if isinstance(value, dict) and value}
    for key in _WRAPPERS:
        if key in inner:
            return inner[key]
    state_dicts = [v for v in inner.values() if all(isinstance(t, _Tensor) for t in v.values())]
    return state_dicts[0] if len(state_dicts) == 1 else None


class _Tensor:
    def __init__(self, storage: _Storage, offset: int, shape: tuple, strides: tuple):
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        values = self.storage.values
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)
        )
        if 0 in self.shape:
            return np.zeros(self.shape, values.dtype)
        wrong = min(self.offset, *self.strides, *self.shape, 0) < 0 or last >= len(values)
        if wrong or math.prod(self.shape) > len(values):
            raise ValueError(f"a tensor of shape {self.shape} leaves its {len(values)} numbers")
        steps = [step * values.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, steps)
        return np.ascontiguousarray(view)


def _rebuild(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    ("torch._utils", "_rebuild_tensor"): _rebuild,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch", "Size"): tuple,
}


class _Unread:
    """In place of what trainings keep beside tensors: arguments, paths, single numbers."""

    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


_UNREAD = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "pathlib": ("Path", "PosixPath", "WindowsPath"),
    "numpy": ("dtype",),
    "numpy.core.multiarray": ("scalar",),
    "numpy._core.multiarray": ("scalar",),
    "_codecs": ("encode",),
    "torch": ("device", "float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8"),
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, storage_of: Callable):
        super().__init__(file, encoding="utf-8")
        self.storage_of = storage_of

    def find_class(self, module: str, name: str):
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        if name in _UNREAD.get(module, ()):
            return _Unread
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(
                f"it holds {module}.{name}, which is not read for safety; save "
                "model.state_dict() alone"
            )
        return _KNOWN[module, name]

    def persistent_load(self, pid):
        marker, kind, key, _device, count, *view = pid
        if marker != "storage" or kind not in state_dict.KINDS or any(view):
            raise pickle.UnpicklingError(f"unknown reference {pid!r}")
        return self.storage_of(kind, str(key), count)


def _read_zip(path):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if (
                member.compress_type != zipfile.ZIP_STORED
                or member.file_size > os.stat(path).st_size
            ):
                raise ValueError(f"{member.filename} is compressed, or larger than the file")
        names = archive.namelist()
        (pickled,) = [name for name in names if name.endswith("/data.pkl")] or ["data.pkl"]
        folder = pickled.removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in names and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        storages: dict[str, _Storage] = {}

        def storage(kind: str, key: str, count: int) -> _Storage:
            if key not in storages:
                storages[key] = _Storage(kind, count)
                storages[key].values = state_dict.numbers(archive.read(f"{folder}data/{key}"), kind)
            return storages[key]

        return _Unpickler(io.BytesIO(archive.read(pickled)), storage).load()


def _read_legacy(file):
    storages: dict[str, _Storage] = {}
    size = os.fstat(file.fileno()).st_size

    def storage(kind: str, key: str, count: int) -> _Storage:
        return storages.setdefault(key, _Storage(kind, count))

    def load():
        return _Unpickler(file, storage).load()

    if load() != _MAGIC:
        raise ValueError("its first bytes are another format's")
    load()  # protocol
    if not load().get("little_endian", True):
        raise ValueError("its numbers are big-endian")
    tensors = load()
    for key in load():
        waiting = storages[str(key)]
        count = int.from_bytes(file.read(8), "little")
        length = count * np.dtype(state_dict.KINDS[waiting.kind]).itemsize
        if count != waiting.count or length > size - file.tell():
            raise ValueError(f"expected {waiting.count} numbers, got {count}, or fewer are left")
        waiting.values = state_dict.numbers(file.read(length), waiting.kind)
    return tensors
