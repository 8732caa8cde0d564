"""Files of a data set wherever they lie: in a folder, or in a .tar or .zip, or in several of them.

A `Tree` lists names once; a file is then addressed by its path, or by the `Span` of bytes that
holds it, so that a worker reads one picture out of a 150 GB archive without opening the rest. Tars
inside a tar are listed as folders of their name (ILSVRC2012_img_train.tar).
"""

from __future__ import annotations

import bisect
import copy
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from convoy.data.files.archives import (
    SourceError,
    Span,
    UnreadableFile,
    Where,
    is_archive,
    length,
    members,
    name_of,
    needed,
    part,
    read,
    size,
    without_ending,
)

__all__ = [
    "PICTURES",
    "SourceError",
    "Span",
    "Tree",
    "UnreadableFile",
    "Where",
    "is_picture",
    "length",
    "name_of",
    "names_picture",
    "needed",
    "part",
    "path_of",
    "places",
    "read",
    "size",
    "tree",
]

PICTURES = (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".bmp", ".dib")
PICTURES += (".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".pnm")


ARRAY = ".npy"  # pictures of a data set that holds no others, else numbers that belong to some


def is_picture(name: str) -> bool:
    """By extension, in any case; hidden files are not. Files of a Tree: its own is_picture."""
    base = name.rpartition("/")[2]
    return base.lower().endswith(PICTURES) and not base.startswith(".")


def names_picture(text: str) -> bool:
    """Whether a text of an annotation may be the name of a picture."""
    return is_picture(text) or (text.lower().endswith(ARRAY) and is_picture(f"{text}{PICTURES[0]}"))


class Tree:
    """The files below a folder or in an archive: POSIX names relative to `root`, sorted.

    A folder without any picture but with archives is read as if they were unpacked where they lie,
    which is how VOC, COCO and ImageNet are downloaded. Archives that hold different files under one
    name are each taken as a folder of the archive's name.
    """

    def __init__(self, root: str | os.PathLike):
        """Raises SourceError."""
        self.root = os.path.normpath(os.fspath(root))
        self.empty: list[str] = []  # folders without anything in them
        self.unpacked: tuple[str, ...] = ()  # archives whose files are among the names
        if os.path.isdir(self.root):
            places: dict[str, Where] = dict(_walk(self.root, empty=self.empty))
            archives = [name for name in sorted(places) if is_archive(name)]
            if archives and not any(map(is_picture, places)):
                places = {**_side_by_side({name: places[name] for name in archives}), **places}
                self.unpacked = tuple(archives)
        elif os.path.isfile(self.root) and is_archive(self.root):
            places = dict(members(self.root))
        elif os.path.isfile(self.root):
            places = {os.path.basename(self.root): self.root}
        else:
            raise SourceError(f"{self.root}: no such file or folder")
        self._places = places
        self.names: list[str] = sorted(places)
        self.arrays = not any(map(is_picture, self.names))  # whether .npy files are its pictures
        self.opened: set[str] = set()  # names that were asked for by `where` or `read`
        self.passed_over: dict[str, str] = {}  # name -> why a reader that looked at it left it

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def is_picture(self, name: str, hidden: bool = False) -> bool:
        """By extension, of .npy see ARRAY. hidden: also of files whose names begin with a point."""
        folders, _, base = name.rpartition("/")
        name = f"{folders}/{base.lstrip('.')}" if hidden else name
        return names_picture(name) if self.arrays else is_picture(name)

    def pictures(self) -> list[str]:
        """Names of the pictures."""
        return [name for name in self.names if self.is_picture(name)]

    def where(self, name: str) -> Where:
        """Where a file lies, or would lie: reading that fails as for any missing file."""
        self.opened.add(name)
        return self.place(name)

    def place(self, name: str) -> Where:
        """`where`, without a mark that the file is used."""
        return self._places.get(name) or os.path.join(self.root, *name.split("/"))

    def pass_over(self, name: str, why: str) -> None:
        """Of a file that a reader looked into and does not use."""
        self.passed_over[name] = why

    def only(self, names: Iterable[str]) -> Tree:
        """These files alone, of which none is opened yet."""
        part = copy.copy(self)
        part._places = {name: self._places[name] for name in names}
        part.names = sorted(part._places)
        part.opened, part.passed_over = set(), {}
        return part

    def forget(self) -> None:
        """What was opened before, when the format was looked for."""
        self.opened.clear()
        self.passed_over.clear()

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError, or UnreadableFile, a SourceError."""
        return needed(self.where(name))

    def under(self, folder: str) -> list[str]:
        """Names below a folder, itself not included; "" is the top."""
        if not folder:
            return self.names
        first = bisect.bisect_left(self.names, f"{folder}/")
        return self.names[first : bisect.bisect_left(self.names, f"{folder}0")]  # "0" follows "/"

    def folders(self, folder: str = "") -> list[str]:
        """Names, without their path, of the folders directly inside a folder; hidden ones left
        out."""
        prefix = f"{folder}/" if folder else ""
        inside = (name[len(prefix) :] for name in self.under(folder))
        children = {rest.partition("/")[0] for rest in inside if "/" in rest}
        return sorted(name for name in children if not name.startswith("."))


def places(annotation: Any) -> Iterator[Where]:
    """Every place of a file in a reference's annotation, which may be nested; other texts too."""
    if isinstance(annotation, (Span, str)):
        yield annotation
    elif isinstance(annotation, (tuple, list)):
        for part in annotation:
            yield from places(part)
    elif isinstance(annotation, Mapping):
        for part in annotation.values():
            yield from places(part)


def path_of(where: Where) -> str:
    """The file on disk that holds the bytes."""
    while isinstance(where, Span):
        where = where.path
    return where


def tree(path: str | os.PathLike | Tree) -> Tree:
    """The Tree of a path; a Tree is passed through."""
    return path if isinstance(path, Tree) else Tree(path)


def _walk(folder: str, prefix: str = "", above: frozenset[str] = frozenset(), *, empty: list[str]):
    """(name, path) of the files below; links are followed unless they lead to a folder above.

    empty: is given the names of the folders that hold nothing.
    """
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        with os.scandir(folder) as entries:
            nothing = True
            for entry in entries:
                nothing = False
                path, linked = entry.path, entry.is_symlink()
                if os.path.isdir(path) if linked else entry.is_dir():
                    yield from _walk(path, f"{prefix}{entry.name}/", above | {real}, empty=empty)
                # No pipes, no devices: opening them may wait. What a link misses is reported later.
                elif (
                    not os.path.exists(path) or os.path.isfile(path) if linked else entry.is_file()
                ):
                    yield f"{prefix}{entry.name}", path
            if nothing and prefix:
                empty.append(prefix[:-1])
    except OSError as error:
        raise SourceError(f"{folder}: cannot be listed: {error.strerror}") from None


def _side_by_side(archives: dict[str, Where]) -> dict[str, Where]:
    """The files of several archives, as Tree says."""
    listed = {name: dict(members(path)) for name, path in archives.items()}
    together: dict[str, Where] = {}
    for name, inside in listed.items():
        folder = posixpath.dirname(name)
        for below, where in inside.items():
            target = posixpath.join(folder, below)
            earlier = together.setdefault(target, where)
            if is_picture(target) and size(earlier) != size(where):
                return {
                    f"{without_ending(archive)}/{member}": place
                    for archive, content in listed.items()
                    for member, place in content.items()
                }
    return together
