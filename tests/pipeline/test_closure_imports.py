"""Import closures of a small package made for the purpose."""

from __future__ import annotations

import json
import pathlib

import pytest

from convoy.pipeline import closure
from convoy.pipeline.closure import Choice


@pytest.fixture
def package(tmp_path):
    def write(**files: str) -> pathlib.Path:
        for name, text in files.items():
            path = tmp_path / "data" / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


def test_imports_are_followed_wherever_they_stand(package):
    root = package(
        a="from convoy.data import b\nimport os, numpy\n",
        b="def f():\n    from convoy.data.c import g\n",
        c="if TYPE_CHECKING:\n    from convoy.data import d\nelse:\n    import convoy.data.e\n",
        d="",
        e="import typing\nif typing.TYPE_CHECKING:\n    import convoy.data.missing\n",
    )
    found = closure.of(["convoy.data.a"], root=root)
    assert found.modules == tuple(f"convoy.data.{name}" for name in "abce")
    cut = closure.of(["convoy.data.a"], without=["convoy.data.b*"], root=root)
    assert cut.modules == ("convoy.data.a",)


def test_a_name_and_a_choice_are_followed(package):
    root = package(a="import importlib\n", b="x = 1\n")
    choice = {"convoy.data.a": Choice(("convoy.data.b",), ("row 1",))}
    with_row = closure.of(["convoy.data.a"], choice, root=root)
    assert with_row.modules == ("convoy.data.a", "convoy.data.b")
    other = {"convoy.data.a": Choice(("convoy.data.b",), ("row 2",))}
    assert closure.of(["convoy.data.a"], other, root=root).version != with_row.version


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 1", "x = 1  # one", True),
        ("def f():\n    return 1", 'def f():\n    "Says."\n    return 1', True),
        ("class A:\n    pass", 'class A:\n    """Says."""', True),
        ("x = (1,\n     2)", "x = (1, 2)", True),
        ("x = 1", "x = 2", False),
        ('f("a")', 'f("b")', False),
        ("def f(): return 1", 'def f():\n    "a"\n    return 2', False),
        ('x = "a"', 'x = "b"', False),
        ("from a import b", "from a import c as b", False),
    ],
)
def test_the_meaning_counts(package, one, other, same):
    versions = [
        closure.of(["convoy.data.a"], root=package(a=text)).version for text in (one, other)
    ]
    assert (versions[0] == versions[1]) is same


def test_files_beside_a_module(package):
    source = (
        "import pathlib\n"
        'PAGE = pathlib.Path(__file__).with_name("page.html")\n'
        'PARTS = pathlib.Path(__file__).parent / "parts"\n'
    )
    root = package(a=source)
    (root / "data" / "page.html").write_text("<p>")
    (root / "data" / "parts" / "deep").mkdir(parents=True)
    (root / "data" / "parts" / "deep" / "one.html").write_text("1")
    first = closure.of(["convoy.data.a"], root=root)
    assert first.files == ("data/page.html", "data/parts/deep/one.html")
    (root / "data" / "parts" / "deep" / "one.html").write_text("2")
    second = closure.of(["convoy.data.a"], root=root)
    (root / "data" / "page.html").write_text("<b>")
    assert (
        len({first.version, second.version, closure.of(["convoy.data.a"], root=root).version}) == 3
    )


def test_what_cannot_be_followed_is_an_error(package):
    root = package(a="import pathlib\nHERE = pathlib.Path(__file__).resolve()\n")
    with pytest.raises(ValueError, match=r"convoy\.data\.a: expected .*__file__.* found 0 of 1"):
        closure.of(["convoy.data.a"], root=root)
    root = package(b="import convoy.data.gone\n")
    with pytest.raises(ModuleNotFoundError, match=r"convoy\.data\.gone: no such module below"):
        closure.of(["convoy.data.b"], root=root)
    root = package(c="from . import a\n")
    with pytest.raises(ValueError, match="line 1: relative import"):
        closure.of(["convoy.data.c"], root=root)


def test_what_was_parsed_is_kept_by_content(package, tmp_path, monkeypatch):
    monkeypatch.setattr(closure, "_PARSED", {})
    root = package(a="import convoy.data.b\n", b="x = 1\n")
    first = closure.of(["convoy.data.a"], root=root)
    place = tmp_path / "sources.json"
    closure.keep(place)

    def again() -> closure.Closure:
        """As a new process would."""
        monkeypatch.setattr(closure, "_PARSED", {})
        monkeypatch.setattr(closure, "_RECALLED", {})
        closure.recall(place)
        return closure.of(["convoy.data.a"], root=root)

    written = place.stat().st_mtime_ns
    assert again() == first
    closure.keep(place)
    assert place.stat().st_mtime_ns == written  # nothing new
    package(b="x = 2\n")
    assert again().version != first.version
    package(b="x = 1\n")
    kept = json.loads(place.read_text())
    for key in kept["parsed"]:
        kept["parsed"][key] = ["of another reader", [], []]
    place.write_text(json.dumps(kept))
    assert again() != first  # it is read
    place.write_text(json.dumps({**kept, "by": "another Python"}))
    assert again() == first
    closure.recall(tmp_path / "missing.json")
