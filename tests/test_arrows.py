"""The layout's rules: who may import whom, and how large a file may grow."""

from __future__ import annotations

import ast
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = ("data", "models", "pipeline", "serving", "tests")
MAY_IMPORT = {
    "data": ("data", "models.resize", "models.spec"),
    "models": ("models",),
    "serving": ("serving", "models"),
    "pipeline": ("pipeline", "data", "models", "serving"),
}


def tracked() -> list[str]:
    """Python files that git knows, or all there are outside hidden folders without git."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        listed = [
            str(path.relative_to(ROOT)) for top in OURS for path in (ROOT / top).rglob("*.py")
        ]
    return sorted(name for name in listed if name and (ROOT / name).is_file())


def imported(source: str) -> list[str]:
    """Dotted names of all imports, wherever they stand; ours without "convoy."."""
    return [name.removeprefix("convoy.") for name in _imported(source)]


def _imported(source: str) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def forbidden(package: str, name: str) -> bool:
    if name.split(".")[0] == "tf_keras":
        return True
    if package not in MAY_IMPORT or name.split(".")[0] not in (*OURS, "convoy"):
        return False
    return not any(
        name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[package]
    )


FILES = tracked()


def test_the_rules_catch_what_they_forbid():
    assert forbidden("data", "models.registry")
    assert forbidden("data", "models")
    assert forbidden("models", "data.sample.Sample")
    assert forbidden("serving", "pipeline.config")
    assert forbidden("pipeline", "tests.bench")
    assert forbidden("tests", "tf_keras.layers")
    assert not forbidden("data", "models.resize.warp")
    assert not forbidden("pipeline", "serving.export")
    assert imported("def f():\n    from a.b import c, d\n    import e.f") == [
        "a.b.c",
        "a.b.d",
        "e.f",
    ]
    assert len(FILES) > 50


@pytest.mark.parametrize("package", [*OURS, "setup.py"])
def test_arrows(package):
    wrong = [
        f"{file} imports {name}"
        for file in FILES
        if file.split("/")[0] == package
        for name in imported((ROOT / file).read_text())
        if forbidden(package, name)
    ]
    assert not wrong


def modules() -> dict[str, str]:
    """{"data.files.tree": source} of all modules that are installed."""
    return {
        file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"): (
            ROOT / file
        ).read_text()
        for file in FILES
        if file.split("/")[0] in MAY_IMPORT
    }


def circles(sources: dict[str, str]) -> list[list[str]]:
    """Groups of modules that import each other, in functions or not."""
    reads = {
        module: {
            known
            for name in imported(source)
            if (known := name if name in sources else name.rpartition(".")[0]) in sources
        }
        for module, source in sources.items()
    }
    reachable: dict[str, set[str]] = {}
    for module in reads:
        seen, waiting = set(), [module]
        while waiting:
            for other in reads[waiting.pop()] - seen:
                seen.add(other)
                waiting.append(other)
        reachable[module] = seen
    rings = {
        tuple(sorted(o for o in reachable if o in reachable[m] and m in reachable[o]))
        for m in reachable
        if m in reachable[m]
    }
    return sorted(map(list, rings))


def test_circles_are_found():
    deferred = "def f():\n    from convoy.data import a"
    sources = {"data.a": "from convoy.data import b", "data.b": deferred, "data.c": "import os"}
    assert circles(sources) == [["data.a", "data.b"]]


def test_no_circle_of_imports():
    assert circles(modules()) == []


def test_imports_say_the_package():
    """`from convoy.models import ...`: a user's own `models` folder is another one."""
    wrong = [
        f"{file} imports {name}"
        for file in FILES
        for name in _imported((ROOT / file).read_text())
        if name.split(".")[0] in MAY_IMPORT
    ]
    assert not wrong


def test_files_are_about_one_idea():
    long = {file: len((ROOT / file).read_text().splitlines()) for file in FILES}
    assert {file: count for file, count in long.items() if count > 350} == {}
    grabbags = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}
    assert [file for file in FILES if pathlib.PurePath(file).name in grabbags] == []
