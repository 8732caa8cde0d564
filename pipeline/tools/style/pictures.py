"""Pictures in and out: read upright, at the size asked for, and written whole or not at all."""

from __future__ import annotations

import io
import pathlib

import numpy as np
from PIL import Image

from convoy.data.images.images import load
from convoy.pipeline.artifacts import write_bytes

LEAST_PX = 32  # per side, as given
LEAST_RESIZED_PX = 16  # per side, at --size: the pools before VGG's conv5_1 leave one position
MOST_PX = 1024
_KINDS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


def check_size(size: int) -> None:
    """Raises ValueError."""
    if not LEAST_PX <= size <= MOST_PX:
        raise ValueError(f"--size: expected {LEAST_PX} to {MOST_PX} px, got {size}")


def check_output(path: pathlib.Path) -> None:
    """Before anything is computed. Raises ValueError, OSError."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: expected the name of a picture to write")
    if path.exists():
        raise FileExistsError(f"{path} exists: remove it, or choose another name after -o")
    if path.suffix.lower() not in _KINDS:
        raise ValueError(f"{path}: expected a name that ends in {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: no folder {path.parent} to write it into")


def read(path: str, size: int, channels: int) -> np.ndarray:
    """float32 [1, H, W, channels] in 0 to 255, the longer side `size` pixels. Raises ValueError."""
    read_from = load(path)
    height, width = read_from.height, read_from.width
    if min(height, width) < LEAST_PX:
        raise ValueError(f"{path}: expected at least {LEAST_PX} px per side, got {width}x{height}")
    scale = size / max(height, width)
    wide, high = (max(1, round(side * scale)) for side in (width, height))
    if min(wide, high) < LEAST_RESIZED_PX:
        raise ValueError(
            f"{path}: {width}x{height} becomes {wide}x{high} at --size {size}: expected at least "
            f"{LEAST_RESIZED_PX} px per side: crop it, or raise --size"
        )
    with Image.open(io.BytesIO(read_from.image)) as picture:
        colors = picture.convert("L" if channels == 1 else "RGB")
    resized = colors.resize((wide, high), Image.Resampling.LANCZOS)
    return np.asarray(resized, np.float32).reshape(1, high, wide, channels)


def write(path: pathlib.Path, values: np.ndarray) -> None:
    """[1, H, W, channels] in 0 to 255, rounded; aside, then renamed."""
    pixels = np.clip(np.round(values[0]), 0, 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    picture.save(buffer, _KINDS[path.suffix.lower()], quality=95)
    write_bytes(path, buffer.getvalue())
