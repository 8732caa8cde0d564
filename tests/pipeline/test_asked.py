"""Files, folders and globs as what is asked about."""

from __future__ import annotations

import json
import pathlib

import pytest

from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.asked import drawn_before, expand


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    for name in ("a/2.png", "a/10.JPG", "a/1.png", "a/b/3.png", "a/.hidden.png", "a/note.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one line\n")
    return tmp_path


def names(paths) -> list[str]:
    return [pathlib.Path(path).name for path in paths]


def test_folders_and_globs_are_their_pictures_in_the_order_of_numbers(folder):
    assert names(expand([folder / "a"])) == ["1.png", "2.png", "10.JPG", "3.png"]
    assert names(expand([f"{folder}/a/*.png"])) == ["1.png", "2.png"]
    assert names(expand([f"{folder}/**/*.png"])) == ["1.png", "2.png", "3.png"]
    assert names(expand([f"{folder}/?"])) == ["1.png", "2.png", "10.JPG", "3.png"]
    assert names(expand([folder / "a"], "text")) == ["note.txt"]


def test_what_is_no_folder_stays_as_it_is(folder):
    given = [b"\x89PNG", str(folder / "none.png"), folder / "a/note.txt", "zero\0byte"]
    assert expand(given) == given
    assert expand(["is this a question?"], "text") == ["is this a question?"]


def test_a_file_with_signs_of_a_glob_is_a_file(folder):
    path = folder / "a[1].png"
    path.write_text("")
    assert expand([str(path)]) == [str(path)]


@pytest.mark.parametrize("word", ["empty", "a/*.webp"])
def test_nothing_is_said(folder, word):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError, match=r"without any image file|meets no file"):
        expand([f"{folder}/{word}"])


def test_what_was_drawn_is_not_asked_about_again(folder):
    """-o in the folder of the pictures: a second run sees what the first one saw."""
    rows = [{"image": str(folder / "a/1.png"), "picture": str(folder / "a/2.png"), "found": 1}]
    (folder / "a/predictions.json").write_text(json.dumps(rows))
    drawn = drawn_before(folder / "a")
    assert names(expand([folder / "a"], drawn=drawn)) == ["1.png", "10.JPG", "3.png"]
    assert names(expand([folder / "a/2.png"], drawn=drawn)) == ["2.png"]
    (folder / "a/predictions.json").write_text('["other"]')
    assert drawn_before(folder / "a") == []
