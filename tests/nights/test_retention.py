"""Retention: what stays of a store, by the rule; nothing that is in use goes."""

from __future__ import annotations

import json
import os
import pathlib

import pytest

from convoy.pipeline import cli, locks, retention

DAY = 86400.0


@pytest.fixture
def store(tmp_path) -> pathlib.Path:
    """Nights 1 to 4 of one run folder: each with an artifact "b" of its own, "a" new every second
    night; beside them one of no run, of day 1, and half-made ones of days 1 and 4.
    """
    run = tmp_path / "run"
    top = run / "artifacts"
    top.mkdir(parents=True)
    (run / "config.yaml").write_text("name: x\n")
    for night in (1, 2, 3, 4):
        a, b = f"a/{(night - 1) // 2}", f"b/{night}"
        for name in (a, b):
            make(top / name, night if not (top / name).exists() else None)
        retention.note(top, run, "pusher", night * DAY, {n[0]: str(top / n) for n in (a, b)})
    make(top / "c" / "lonely", 1)
    make(top / "b" / "old.partial", 1)
    make(top / "b" / "new.partial", 4)
    return top


def make(path: pathlib.Path, day: float | None) -> None:
    """An artifact of 10 bytes, made at noon of a day."""
    path.mkdir(parents=True, exist_ok=True)
    if day is not None:
        (path / "file").write_text("0123456789")
        for changed in (path / "file", path):
            os.utime(changed, ((day + 0.5) * DAY,) * 2)


def there(store: pathlib.Path) -> list[str]:
    return sorted(p.relative_to(store).as_posix() for p in store.glob("*/*") if p.is_dir())


ALL = ["a/0", "a/1", "b/1", "b/2", "b/3", "b/4", "b/new.partial", "b/old.partial", "c/lonely"]


@pytest.mark.parametrize(
    ("keep", "gone"),
    [
        (5, []),  # fewer runs are known
        (4, []),  # what no run needs was made since the oldest of them began
        (3, ["b/1", "b/old.partial", "c/lonely"]),  # a/0 is night 2's too
        (2, ["a/0", "b/1", "b/2", "b/old.partial", "c/lonely"]),
        (1, ["a/0", "b/1", "b/2", "b/3", "b/old.partial", "c/lonely"]),
    ],
)
def test_what_goes(store, keep, gone):
    assert there(store) == ALL
    assert list(retention.clean(store, keep, plan=True)) == gone
    assert there(store) == ALL
    assert retention.clean(store, keep) == dict.fromkeys(gone, 10)
    assert there(store) == [name for name in ALL if name not in gone]
    assert retention.clean(store, keep) == {}


def test_runs_of_folders_that_share_the_store_count_each(store, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    retention.note(store, other, "evaluator", 1.2 * DAY, {"b": str(store / "b" / "1")})
    assert "b/1" not in retention.clean(store, 1)
    other.rmdir()
    assert list(retention.clean(store, 1)) == ["b/1"]


def test_nothing_goes_while_a_run_uses_the_store(store):
    with locks.shared(store / locks.LOCK, "it"):
        with pytest.raises(locks.Held, match="in use by another process"):
            retention.clean(store, 1)
        said: list[str] = []
        retention.after(store, 1, said.append)
        assert said[0].startswith("keep_runs: nothing is removed now: ")
    assert there(store) == ALL
    retention.after(store, 1, said.append)
    assert said[1] == "keep_runs: 6 artifacts, 0.0 MiB, that no run needs"


def test_what_is_being_made_stays(store):
    with locks.held(store / "b" / "old.lock", "it"):
        assert "b/old.partial" not in retention.clean(store, 1)
    assert list(retention.clean(store, 1)) == ["b/old.partial"]


def test_what_a_killed_cleaning_left_goes(store):
    aside = store / "b" / f".1{retention.ASIDE}"
    os.rename(store / "b" / "1", aside)
    retention.clean(store, 5)
    assert not aside.exists()


def test_a_line_that_was_cut_short_is_no_run(store):
    with open(store / retention.RUNS, "a") as file:
        file.write('{"run_dir": ')
    assert list(retention.clean(store, 3)) == ["b/1", "b/old.partial", "c/lonely"]


def test_the_verb(store, capsys):
    run = str(store.parent)
    assert cli.main(["convoy", "runs", run, "--clean=2", "--dry_run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["removed"] == {}
    assert list(told["unneeded"][str(store.resolve())])[:2] == ["a/0", "b/1"]
    assert there(store) == ALL
    assert cli.main(["convoy", "runs", run, "--clean=2"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.endswith("removed 5 artifacts, 0.0 MiB, that no run needs")
    assert len(there(store)) == 4


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--clean=0"], 2, "clean"),
        (["--clean=2", "--diff=a,b"], 2, "--diff is not used: with --clean nothing is compared"),
        (["--dry_run"], 2, "--dry_run is not used: it is of --clean"),
    ],
)
def test_errors(store, capsys, words, code, message):
    assert cli.main(["convoy", "runs", str(store.parent), *words]) == code
    assert message in capsys.readouterr().err
