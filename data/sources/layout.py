"""What the names of files say: their split, and which picture of a pair each is.

Data sets put the two halves of a pair (picture and label picture, blurred and sharp) into folders
or name endings of their own, around or below folders of splits: `train/blur`, `images/train`,
`trainannot`, `annotations_prepped_train`, `x_L.png`. A reader gives the words that it knows; what
is left of the name, equal for both halves, is their key.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from convoy.data.files import files
from convoy.data.sources.split import SPLITS

Words = frozenset[tuple[str, str]]  # (part of a folder's name, the role that it says)
_WORDS = re.compile(r"[^\W_]+")
_SPLIT = re.compile(rf"({'|'.join(sorted(SPLITS, key=len, reverse=True))})(.*)")


class Place(NamedTuple):
    """A file's role ("" = its folders do not say), its split, and what else its folders say."""

    role: str
    split: str | None
    rest: tuple[str, ...]
    stem: str  # name without folders and extension


class Pairs(NamedTuple):
    """Names of files."""

    matched: list[tuple[str, str, str | None]]  # (first, second, split or None)
    firsts_alone: list[tuple[str, str | None]]  # first halves without a second
    seconds_alone: list[tuple[str, str | None]]  # second halves without a first


def roles(**words: str) -> Words:
    """The words of roles, which "|" separates."""
    return frozenset((word, role) for role, text in words.items() for word in text.split("|"))


def place(name: str, words: Words = frozenset()) -> Place:
    """What lower-case parts of folder names say; the deepest that says a role counts."""
    folders, _, base = name.rpartition("/")
    return Place(*_folder_meaning(folders, words), base.rpartition(".")[0] or base)


@functools.lru_cache(maxsize=1 << 16)  # every reader asks, when a data set is detected
def _folder_meaning(folders: str, words: Words) -> tuple[str, str | None, tuple[str, ...]]:
    role_of = dict(words)
    role, split, rest = "", None, []
    for folder in filter(None, folders.split("/")):
        left = []
        whole = "".join(_WORDS.findall(folder.lower()))
        for word in [whole] if whole in role_of else _WORDS.findall(folder.lower()):
            word_role, word_split = _meaning(word, role_of)
            role, split = word_role or role, word_split or split
            if not word_role and not word_split:
                left.append(word)
        if left:
            rest.append("_".join(left))
    return role, split, tuple(rest)


def split_of(name: str) -> str | None:
    """The split that a folder of the name says, or None: `train/a.png`, `Test/Set5/b.png`."""
    return place(name).split


def split_in(stem: str) -> str | None:
    """The split that a word of a file's own name says: `train_5500.label`, `my-test.csv`."""
    splits = (_meaning(word, {})[1] for word in re.findall(r"[a-z]+", stem.lower()))
    return next(filter(None, splits), None)


def visible(names: Iterable[str]) -> Iterator[str]:
    """Those that are not hidden, and lie in no hidden folder."""
    return (name for name in names if not name.startswith(".") and "/." not in name)


def pictures(tree: files.Tree) -> list[str]:
    """Names of the pictures that lie in no hidden folder."""
    return list(visible(tree.pictures()))


def beginning(tree: files.Tree, name: str, count: int) -> bytes:
    """The first `count` bytes of a file, or all. Raises OSError."""
    where = tree.where(name)
    if isinstance(where, str):
        return files.read(files.part(where, 0, min(count, files.size(where))))
    return files.read(where)[:count]


def pairs(
    names: Iterable[str],
    words: Words,
    roles: tuple[str, str],
    *,
    first_ending: re.Pattern,
    second_ending: re.Pattern,
) -> Pairs:
    """Pairs pictures by their keys.

    roles: of the first and the second half; a picture whose folders say none is a first half,
    unless its stem ends as a second half's does and the picture without that ending is there.
    Endings are removed where the names do not match as they are; group 1 is what stays. Of two
    first halves of one name (a.jpg, a.png) neither is paired.
    """
    firsts: dict[tuple, str] = {}
    twice: dict[tuple, list[str]] = {}  # first halves of a name that another one has
    seconds: dict[tuple, str] = {}
    shortened: dict[tuple, str] = {}
    without_role: list[tuple[str, Place]] = []
    placed = {name: place(name, words) for name in names}
    for name, at in placed.items():
        if at.role == roles[1]:
            seconds.setdefault((at.split, at.rest, at.stem), name)
            shortened.setdefault((at.split, at.rest, _without(second_ending, at.stem)), name)
        elif at.role == roles[0]:
            _put(firsts, twice, (at.split, at.rest, at.stem), name)
        else:
            without_role.append((name, at))
    bare = {(at.split, at.rest, _without(first_ending, at.stem)) for _, at in without_role}
    for name, at in without_role:
        stem = _without(second_ending, at.stem)
        if stem != at.stem and (at.split, at.rest, stem) in bare:
            shortened.setdefault((at.split, at.rest, stem), name)
        else:
            _put(firsts, twice, (at.split, at.rest, at.stem), name)
    unclear = [(n, key[0]) for key, others in twice.items() for n in (firsts.pop(key), *others)]
    found = _matched(firsts, seconds, shortened, placed, first_ending)
    others = [row for row in found.seconds_alone if row not in unclear]
    alone = sorted([*found.firsts_alone, *unclear], key=lambda row: row[0])
    return found._replace(firsts_alone=alone, seconds_alone=others)


def _put(firsts: dict, twice: dict, key: tuple, name: str) -> None:
    if firsts.setdefault(key, name) != name:
        twice.setdefault(key, []).append(name)


def _matched(firsts, seconds, shortened, placed, first_ending) -> Pairs:
    everything = {**shortened, **seconds}
    by_stem = collections.defaultdict(set)
    for key, name in everything.items():
        by_stem[key[2]].add(name)
    count = collections.Counter(stem for _, _, stem in firsts)
    matched, alone = [], []
    for (split, rest, stem), name in sorted(firsts.items(), key=lambda item: item[1]):
        short = _without(first_ending, stem)
        second = everything.get((split, rest, stem)) or everything.get((split, rest, short))
        role_known = placed[name].role or not rest
        if second is None and role_known and count[stem] == 1 and len(by_stem[stem]) == 1:
            (second,) = by_stem[stem]  # the folders do not correspond, the names are unique
        if second is None:
            alone.append((name, split))
        else:
            matched.append((name, second, split or placed[second].split))
    used = {second for _, second, _ in matched} | {*firsts.values()}
    left = [(name, at.split) for name, at in placed.items() if name not in used]
    return Pairs(matched, alone, sorted(left))


def _meaning(word: str, words: Mapping[str, str]) -> tuple[str, str | None]:
    """(role, split) of a word of a folder's name: `trainannot`, `train2017`."""
    if word in words:
        return words[word], None
    match = _SPLIT.fullmatch(word)
    if match and (not match[2] or match[2] in words or match[2].isdigit()):
        return words.get(match[2], ""), SPLITS[match[1]]
    return "", None


def _without(ending: re.Pattern, stem: str) -> str:
    match = ending.fullmatch(stem)
    return match[1] if match else stem
