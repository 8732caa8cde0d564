"""The code that a module runs: itself and all of ours that it imports, in functions too.

What counts is a file's meaning, the syntax tree without docstrings: a comment, a docstring or an
`if TYPE_CHECKING` import changes nothing. Packages that only lead to a module do not count, their
`__init__` has no effects; one that something is imported from does.

A module that imports others by name reads the name in a table. Of a table counts the entry in use
alone (`Choice`, see pipeline/chosen.py), so that a new network or format is no news to old recipes.
Data that a module reads beside itself counts where it is named `Path(__file__).with_name("x")` or
`Path(__file__).parent / "x"`; any other use of `__file__` is an error.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from convoy.pipeline.artifacts import write_bytes

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "convoy"

# Module -> the names that it assigns a table to; "*" = all that it assigns.
TABLES = {
    "convoy.data.sources": ("SOURCES",),
    "convoy.models.registry": ("MODELS",),
    "convoy.models.tasks": ("TASKS", "_BOXES", "_CLASSES"),
    "convoy.pipeline.networks.pretrained": ("*",),
}
ROWS = "convoy.models.rows*"  # modules that are nothing but tables of networks
# Pattern of modules that are not followed, and why their code cannot change a result.
ELSEWHERE = {
    ROWS: "the row in use counts, see Choice",
    "convoy.pipeline.config": "what it reads of a recipe are parameters, which count by value",
    "convoy.pipeline.errors": "a component that raises leaves no result",
    "convoy.data.fetch*": "a fetched file counts by its address and its hash",
    "convoy.serving.runtimes*": "components open SavedModels alone, none of their own files",
    "convoy.serving.engines": "the servers of components run by TensorFlow, as they stand",
}


class Choice(NamedTuple):
    """What a module that imports by name takes from its tables."""

    modules: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()  # the rows in use, as text


class Closure(NamedTuple):
    """Names of modules, data files as paths below the root, and the hash of all that counts."""

    modules: tuple[str, ...]
    files: tuple[str, ...]
    version: str


class Parsed(NamedTuple):
    """One file: the hash of its meaning, what it imports, what it reads beside itself."""

    meaning: str
    imports: tuple[tuple[str, str], ...]  # (module, name of it or "")
    beside: tuple[str, ...]


def of(
    roots: Iterable[str],
    choices: Mapping[str, Choice] | None = None,
    *,
    without: Iterable[str] = (),
    root: pathlib.Path = ROOT,
) -> Closure:
    """The closure of the modules `roots`, dotted names such as "convoy.models.losses".

    choices: what the modules take that import by name. without: patterns of modules that are
    imported but never run. root: the folder of data/, models/, ... Raises ModuleNotFoundError for
    an import of ours that is nowhere, ValueError for a use of `__file__` that cannot be followed.
    """
    choices, skipped = choices or {}, (*ELSEWHERE, *without)
    meanings: dict[str, str] = {}
    files: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in meanings or _matches(module, skipped):
            continue
        path = _file(module, root)
        if path is None:
            raise ModuleNotFoundError(f"{module}: no such module below {root}")
        parsed = _parsed(path.read_bytes(), module)
        choice = choices.get(module, Choice())
        meanings[module] = "\n".join((parsed.meaning, *choice.entries))
        waiting += [_module(name, attribute, root) for name, attribute in parsed.imports]
        waiting += choice.modules
        for name in parsed.beside:
            files.update(_contents(path.parent / name, root))
    lines = [f"{name} {text}" for name, text in sorted((meanings | files).items())]
    version = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    return Closure(tuple(sorted(meanings)), tuple(sorted(files)), version)


def _matches(module: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(module, pattern) for pattern in patterns)


def _file(module: str, root: pathlib.Path) -> pathlib.Path | None:
    """The file of a module or package of ours; the package itself is pipeline/api or installed."""
    places = [root.joinpath(*module.split(".")[1:])]
    if module == PACKAGE:
        places.append(root / "pipeline" / "api")
    candidates = [file for p in places for file in (p.with_suffix(".py"), p / "__init__.py")]
    return next((file for file in candidates if file.is_file()), None)


def _module(name: str, attribute: str, root: pathlib.Path) -> str:
    """The module that `from name import attribute` reads: the attribute, if it is a module."""
    inside = f"{name}.{attribute}"
    return inside if attribute and _file(inside, root) else name


def _contents(path: pathlib.Path, root: pathlib.Path) -> dict[str, str]:
    """Hash of a file, or of each below a folder; of a Python file, of its meaning."""
    if path.is_dir():
        below = [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    else:
        below = [path]
    hashes = {}
    for file in below:
        content, name = file.read_bytes(), file.relative_to(root).as_posix()
        script = file.suffix == ".py"
        hashes[name] = (
            _parsed(content, name).meaning if script else hashlib.sha256(content).hexdigest()
        )
    return hashes


def recall(path: pathlib.Path) -> None:
    """Takes what `keep` wrote, so that a cached run parses nothing: a hundred files take 1 s."""
    if path.is_file():
        content = json.loads(path.read_text())
        if content["by"] == _reader():
            for key, (meaning, imports, beside) in content["parsed"].items():
                _RECALLED[key] = Parsed(meaning, tuple(map(tuple, imports)), tuple(beside))


def keep(path: pathlib.Path) -> None:
    """Writes what is known of the files that were ever read, by the hash of their bytes."""
    if not _PARSED.keys() <= _RECALLED.keys() or not path.is_file():
        content = {"by": _reader(), "parsed": dict(sorted((_RECALLED | _PARSED).items()))}
        write_bytes(path, json.dumps(content).encode())


def _reader() -> str:
    """Hash of what decides how a file is parsed: this module, and Python's syntax tree."""
    return hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:16] + sys.version


# Hash of a module's name and bytes -> what is known of it.
_PARSED: dict[str, Parsed] = {}  # of the files that this process read
_RECALLED: dict[str, Parsed] = {}


def _parsed(source: bytes, module: str) -> Parsed:
    key = hashlib.sha256(module.encode() + b"\0" + source).hexdigest()
    if key not in _PARSED:
        _PARSED[key] = _RECALLED.get(key) or _parse(source, module)
    return _PARSED[key]


def _parse(source: bytes, module: str) -> Parsed:
    tree = _Meaning(TABLES.get(module, ())).visit(ast.parse(source))
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports += [(node.module, alias.name) for alias in node.names]
    ours = [pair for pair in imports if pair[0].split(".")[0] == PACKAGE]
    meaning = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return Parsed(meaning, tuple(ours), _beside(tree, module))


class _Meaning(ast.NodeTransformer):
    """Takes out docstrings, imports for type checkers, and tables with what they import."""

    def __init__(self, tables: tuple[str, ...]):
        self._tables = tables

    def visit_Module(self, node):
        node.body = [statement for statement in node.body if not self._is_table(statement)]
        return self._documented(node)

    def _is_table(self, node) -> bool:
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        assigns = isinstance(node, (ast.Assign, ast.AnnAssign))
        names = [target.id for target in targets if assigns and isinstance(target, ast.Name)]
        return any(name in self._tables or "*" in self._tables for name in names)

    def _documented(self, node):
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        if not node.body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _documented

    def visit_If(self, node):
        if "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", "")):
            return [self.visit(statement) for statement in node.orelse]
        return self.generic_visit(node)

    def visit_ImportFrom(self, node):
        if node.module is None or node.level:
            raise ValueError(f"line {node.lineno}: relative import; expected the whole name")
        rows = [a for a in node.names if fnmatch.fnmatchcase(f"{node.module}.{a.name}", ROWS)]
        node.names = [alias for alias in node.names if alias not in rows]
        return node if node.names else None


def _beside(tree: ast.AST, module: str) -> tuple[str, ...]:
    """Names of the files and folders that a module reads beside itself. Raises ValueError."""
    names, uses = [], sum(_is_file(node) for node in ast.walk(tree))
    for node in ast.walk(tree):
        match node:
            case (
                ast.Call(
                    func=ast.Attribute(value=place, attr="with_name"),
                    args=[ast.Constant(value=name)],
                )
                | ast.BinOp(
                    left=ast.Attribute(value=place, attr="parent"),
                    op=ast.Div(),
                    right=ast.Constant(value=name),
                )
            ) if any(map(_is_file, ast.walk(place))):
                names.append(name)
    if len(names) != uses:
        raise ValueError(
            f'{module}: expected `Path(__file__).with_name("x")` or `Path(__file__).parent / "x"` '
            f"wherever it says __file__, so that what it reads is known; found {len(names)} of "
            f"{uses}"
        )
    return tuple(names)


def _is_file(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "__file__"
