"""Small data sets made by code, for the tests of ingest."""

from __future__ import annotations

import io
import pathlib
import tarfile
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np
import PIL.Image

XML_OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
    "<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>{extra}</object>"
)


def picture(height: int = 40, width: int = 60, *, seed: int = 0, kind: str = "JPEG", **options):
    """Bytes of a smooth random RGB picture."""
    rng = np.random.default_rng(seed)
    small = PIL.Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
    return encoded(small.resize((width, height), PIL.Image.Resampling.BICUBIC), kind, **options)


def encoded(image: PIL.Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def xml_object(name: str, box: Sequence[float], extra: str = "") -> str:
    """`box` as VOC writes it: 1-based inclusive (xmin, ymin, xmax, ymax)."""
    xmin, ymin, xmax, ymax = box
    return XML_OBJECT.format(name=name, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax, extra=extra)


def annotation(objects: str, size: tuple[int, int] = (40, 60)) -> str:
    height, width = size
    sizes = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{sizes}{objects}</annotation>"


def voc(
    root: pathlib.Path, splits: dict[str, Sequence[str]] | None = None, count: int = 12
) -> pathlib.Path:
    """A VOC year of `count` pictures with a cat and a dog each; ids 000001 and on."""
    for name in ("Annotations", "JPEGImages"):
        (root / name).mkdir(parents=True)
    for index in range(1, count + 1):
        name = f"{index:06d}"
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(picture(seed=index))
        objects = xml_object("dog", (5, 7, 20 + index, 30)) + xml_object("cat", (1, 1, 60, 40))
        (root / "Annotations" / f"{name}.xml").write_text(annotation(objects))
    if splits:
        (root / "ImageSets" / "Main").mkdir(parents=True)
        for split, names in splits.items():
            text = "".join(f"{name}\n" for name in names)
            (root / "ImageSets" / "Main" / f"{split}.txt").write_text(text)
    return root


def classes(root: pathlib.Path, counts: dict[str, int], kind: str = "JPEG") -> pathlib.Path:
    """Class folders below `root`, with so many pictures each."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            data = picture(seed=len(name) * 1000 + index, kind=kind)
            (root / name / f"{index:03d}.{kind.lower()}").write_bytes(data)
    return root


def tar_bytes(content: Mapping[str, bytes], mode: str = "w", **options) -> bytes:
    """A tar of these files; mode "w:gz" packs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **options) as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zip_bytes(content: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def written(root: pathlib.Path, content: Mapping[str, bytes | str]) -> pathlib.Path:
    """Writes the files, with their folders."""
    for name, data in content.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return root


def saved(path: pathlib.Path, data: bytes) -> pathlib.Path:
    """Writes one file, with its folders."""
    written(path.parent, {path.name: data})
    return path


def contents(tree) -> dict[str, bytes]:
    """Every file of a data.files.Tree."""
    return {name: tree.read(name) for name in tree.names}
