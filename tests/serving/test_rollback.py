"""Rollback: servers go back to the version before, and no push brings back what was withdrawn."""

from __future__ import annotations

import json
import shutil

import pytest

from convoy.pipeline import cli, errors, locks, rollback, versions
from convoy.pipeline.components import pusher
from convoy.serving import client
from tests.serving.running import PICTURE, serving, wait_for


@pytest.fixture
def exports(tmp_path) -> dict:
    """Exports of three trainings, and another one of the second."""
    made = {}
    for name, (trainer, export) in {
        "A": ("a", "a1"), "B": ("b", "b1"), "C": ("c", "c1"), "B otherwise": ("b", "b2"),
    }.items():  # fmt: skip
        made[name] = tmp_path / name
        (made[name] / "assets.extra").mkdir(parents=True)
        (made[name] / "saved_model.pb").write_text(name)
        source = {"trainer": trainer, "export": export}
        (made[name] / versions.SOURCE).write_text(json.dumps(source))
    return made


@pytest.fixture
def base(tmp_path, exports):
    """A is version 1, B is version 2."""
    path = tmp_path / "served" / "x"
    for name in "AB":
        pusher.push(exports[name], path, keep=9)
    return path


def test_the_newest_version_is_withdrawn(base):
    before = versions.identity(base / "2")
    found = rollback.back(base, "dogs are cats")
    assert (found["version"], found["withdrawn"]) == (1, 2)
    assert found["path"] == str(base / "1")
    assert versions.versions(base) == [1]
    assert (base / "2.withdrawn" / "saved_model.pb").read_text() == "B"
    record = versions.withdrawn(base)
    assert list(record) == [2]
    expected = {"identity": before, "trainer": "b", "reason": "dogs are cats"}
    assert {key: record[2][key] for key in expected} == expected


def test_what_was_withdrawn_is_not_pushed_again(base, exports):
    rollback.back(base, "dogs are cats")
    for name in ("B", "B otherwise"):  # this export, and the same weights exported otherwise
        with pytest.raises(errors.Refused, match=r"withdrew .* version 2, on .*: dogs are cats"):
            pusher.push(exports[name], base, keep=9, better=True)
    assert versions.versions(base) == [1]
    assert pusher.push(exports["A"], base, keep=9).new is False
    (base / versions.RECORD).write_text("{}")
    assert pusher.push(exports["B"], base, keep=9).new


def test_a_number_is_never_given_twice(base, exports):
    """A server that did not look in between would take the new version 2 for the old one."""
    rollback.back(base)
    assert pusher.push(exports["C"], base, keep=9)[:3] == (3, True, 3)
    rollback.back(base)
    assert sorted(versions.withdrawn(base)) == [2, 3]
    assert versions.last_number(base) == 3
    assert versions.versions(base) == [1]


def test_a_version_that_is_put_back_by_hand_counts_again(base, exports):
    rollback.back(base)
    (base / "2.withdrawn").rename(base / "2")
    assert versions.withdrawn(base) == {}
    assert pusher.push(exports["B"], base, keep=9)[:3] == (2, False, 2)
    rollback.back(base)
    assert sorted(path.name for path in base.iterdir()) == [
        ".lock", "1", "2.withdrawn", versions.RECORD,
    ]  # fmt: skip


def test_where_there_is_nothing_sound_to_go_back_to(base, tmp_path):
    (base / "1" / "saved_model.pb").write_text("damaged")
    with pytest.raises(rollback.NothingBefore, match="its files have changed since it was pushed"):
        rollback.back(base)
    shutil.rmtree(base / "1")
    with pytest.raises(rollback.NothingBefore, match="no version to go back to; there is 2"):
        rollback.back(base)
    assert versions.versions(base) == [2]
    assert versions.withdrawn(base) == {}
    with pytest.raises(rollback.NothingBefore, match="nothing was pushed there"):
        rollback.back(tmp_path / "nowhere")


def test_a_rollback_waits_for_a_push(base, monkeypatch):
    monkeypatch.setattr(pusher, "WAIT_S", 0.2)
    with locks.held(base / locks.LOCK, "it"), pytest.raises(locks.Held, match="is in use by"):
        rollback.back(base)
    assert versions.versions(base) == [1, 2]


def test_a_server_goes_back_without_a_failed_request(tmp_path, saved_model):
    base = tmp_path / "served" / "tiny"
    pusher.push(saved_model, base, keep=9)
    other = tmp_path / "other"
    shutil.copytree(saved_model, other)
    (other / "assets.extra" / "model_card.md").write_text("another")
    pusher.push(other, base, keep=9)
    with serving(base.parent) as (_, channel, _):

        def served() -> set[int]:
            assert client.predict_grpc(channel, "tiny", [PICTURE])["scores"].shape == (1, 3)
            status = client.status_grpc(channel, "tiny")
            return {number for number, about in status.items() if about["state"] == "AVAILABLE"}

        assert served() == {2}
        rollback.back(base)
        wait_for(lambda: served() == {1})
        (other / "assets.extra" / "model_card.md").write_text("a third")
        assert pusher.push(other, base, keep=9).version == 3
        wait_for(lambda: served() == {3})


def test_the_verb(base, tmp_path, capsys):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"name: x\ntask: classification\nrun_dir: {tmp_path}/run\n"
        f"on_push: sh -c 'cat > {tmp_path}/told'\npush: {{model_dir: {base.parent}}}\n"
    )
    words = ["convoy", "push", str(recipe), "--rollback", "--reason=worse at night", "--json"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"version 1 is served again: {base / '1'}"
    told = json.loads((tmp_path / "told").read_text())
    assert (told["version"], told["withdrawn"], told["reason"]) == (1, 2, "worse at night")
    assert cli.main(words) == 1
    assert "no version to go back to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--reason=x"], "--reason is not used: it is of --rollback"),
        (["--rollback", "--dry_run"], "--dry_run is not used: with --rollback"),
        (["--rollback", "--", "--direct_num_workers=2"], "--direct_num_workers=2 is not used"),
    ],
)
def test_flags_that_would_do_nothing(tmp_path, capsys, words, message):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: x\ntask: classification\n")
    assert cli.main(["convoy", "push", str(recipe), *words]) == 2
    assert message in capsys.readouterr().err
