"""InfraValidator and Pusher: what they refuse, and that nothing half-written is ever seen."""

from __future__ import annotations

import json
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from convoy.pipeline import errors, versions
from convoy.pipeline.components import infra_validator, pusher
from convoy.pipeline.config import Push
from convoy.serving import client, warmup
from tests.serving import tiny


@pytest.fixture(scope="module")
def verified(tmp_path_factory, saved_model):
    """InfraValidator's output for the shared export."""
    workdir = tmp_path_factory.mktemp("verified")
    infra_validator.run(
        {"export": saved_model.parent}, infra_validator.Params(name="tiny"), workdir
    )
    return workdir


@pytest.fixture
def inputs(tmp_path, saved_model, verified):
    """A pusher's inputs, blessed and verified; tests may change the copies."""
    folders = {name: tmp_path / name for name in ("export", "evaluation", "infra_validation")}
    shutil.copytree(saved_model, folders["export"] / "saved_model")
    folders["evaluation"].mkdir()
    write(folders["evaluation"] / "gate.json", {"blessed": True, "summary": "Blessed: good."})
    shutil.copytree(verified, folders["infra_validation"])
    return folders


def write(path, value):
    path.write_text(json.dumps(value))


def params(tmp_path, keep=3):
    return pusher.Params(name="tiny", push=Push(model_dir=str(tmp_path / "served"), keep=keep))


def push(inputs, tmp_path, **options) -> dict:
    workdir = tmp_path / "work"
    workdir.mkdir(exist_ok=True)
    pusher.run(inputs, params(tmp_path, **options), workdir)
    return json.loads((workdir / "pushed.json").read_text())


def change(inputs, text: str) -> None:
    """Another export, verified as well."""
    model = inputs["export"] / "saved_model"
    (model / "assets.extra" / "model_card.md").write_text(text)
    path = inputs["infra_validation"] / "verified.json"
    write(path, {**json.loads(path.read_text()), "digest": pusher.content_digest(model)})


def test_validator_writes_what_it_checked(verified, saved_model):
    found = json.loads((verified / "verified.json").read_text())
    assert found["verified"] is True
    assert found["digest"] == pusher.content_digest(saved_model)
    assert found["requests"] == 3
    assert found["outputs"] == ["class_id", "class_name", "scores"]
    assert sorted(p.name for p in verified.iterdir()) == ["verified.json"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model: (model / "saved_model.pb").write_bytes(b"x"), "Cannot parse file"),
        (lambda model: (model / warmup.PLACE).unlink(), "no warm-up requests"),
        (lambda model: warmup.write(model, "tiny", [b"no picture"]), "picture 0 of the request"),
    ],
)
def test_validator_refuses_what_does_not_serve(inputs, tmp_path, damage, message):
    damage(inputs["export"] / "saved_model")
    workdir = tmp_path / "work"
    workdir.mkdir()
    with pytest.raises(infra_validator.ValidationFailed, match=message):
        infra_validator.run(inputs, infra_validator.Params(name="tiny"), workdir)
    assert not (workdir / "verified.json").exists()


def test_validator_compares_answers(saved_model):
    answer = client.load_local(saved_model)([tiny.jpeg(9, 9)])
    infra_validator.compare("REST", answer, answer)
    other = {**answer, "scores": answer["scores"] + 0.01}
    with pytest.raises(infra_validator.ValidationFailed, match=r"REST: scores is 0\.01 off"):
        infra_validator.compare("REST", answer, other)
    with pytest.raises(infra_validator.ValidationFailed, match="gRPC: expected outputs"):
        infra_validator.compare("gRPC", answer, {})


def test_push_numbers_versions_and_keeps_the_newest(inputs, tmp_path):
    served = tmp_path / "served" / "tiny"
    first = push(inputs, tmp_path)
    assert (first["version"], first["new"], first["name"]) == (1, True, "tiny")
    assert first["path"] == str(served / "1")
    again = push(inputs, tmp_path)
    assert (again["version"], again["new"]) == (1, False)
    for number in (2, 3, 4):
        change(inputs, f"card {number}")
        assert push(inputs, tmp_path, keep=2)["version"] == number
    assert sorted(p.name for p in served.iterdir()) == [".lock", "3", "4"]
    model = client.load_local(served)
    assert model([tiny.jpeg(9, 9)])["scores"].shape == (1, 3)
    assert "card 4" in (served / "4" / "assets.extra" / "model_card.md").read_text()


@pytest.fixture
def exports(tmp_path) -> dict[str, pathlib.Path]:
    """Exports of two trainings, A of them also with other thresholds, and A exported again."""
    made = {
        "A": ("a", "a1", b"a"),
        "B": ("b", "b1", b"b"),
        "A otherwise": ("a", "a2", b"a'"),
        "A again": ("a", "a1", b"a, other times measured"),
    }
    for name, (trainer, export, content) in made.items():
        (tmp_path / name / "assets.extra").mkdir(parents=True)
        (tmp_path / name / "saved_model.pb").write_bytes(content)
        write(tmp_path / name / versions.SOURCE, {"trainer": trainer, "export": export})
    return {name: tmp_path / name for name in made}


def pushes(exports, tmp_path, *names: str, **options) -> list[tuple]:
    """What came of each push into one folder; "A!" = the gate found A better than the newest."""
    base = tmp_path / "served" / "shared"
    return [
        pusher.push(
            exports[name.removesuffix("!")],
            base,
            **{"keep": 9, "better": name.endswith("!"), **options},
        )[:4]
        for name in names
    ]


NEW_1, NEW_2 = (1, True, 1, None), (2, True, 2, None)


def test_no_export_is_pushed_twice(exports, tmp_path):
    """Nightly A, B, A, B where the gate lets both pass: no more than two versions, B serves."""
    found = pushes(exports, tmp_path, "A", "B!", "B", "A", "B", "A again", "B")
    held_by_1, held_by_2 = (1, False, 2, None), (2, False, 2, None)
    assert found == [NEW_1, NEW_2, held_by_2, held_by_1, held_by_2, held_by_1, held_by_2]
    base = tmp_path / "served" / "shared"
    assert sorted(versions.versions(base)) == [1, 2]
    assert pusher.summary(pusher.Pushed(*found[3])._asdict()) == (
        "already there (version 2 is newer, and this one is not better)"
    )


def test_an_older_version_that_is_better_returns(exports, tmp_path):
    found = pushes(exports, tmp_path, "A", "B", "A!", "A!", "A", "B")
    again = (3, False, 3, None)
    assert found == [NEW_1, NEW_2, (3, False, 3, 1), again, again, (2, False, 3, None)]
    base = tmp_path / "served" / "shared"
    assert sorted(versions.versions(base)) == [2, 3]
    assert (base / "3" / "saved_model.pb").read_bytes() == b"a"
    assert json.loads((base / "3" / versions.MARK).read_text())["version"] == 3
    assert pusher.summary(pusher.Pushed(*found[2])._asdict()) == (
        "this very export was version 1 and is the newest again, version 3"
    )


def test_a_change_of_the_export_that_is_taken_back_serves_again(exports, tmp_path):
    """The gate compares trainings; between two exports of one training the recipe decides."""
    found = pushes(exports, tmp_path, "A", "A otherwise", "A")
    assert found == [NEW_1, NEW_2, (3, False, 3, 1)]


def test_the_version_that_is_named_stays(exports, tmp_path):
    pushes(exports, tmp_path, "A", "B", "A otherwise")
    assert pushes(exports, tmp_path, "B", keep=1) == [(2, False, 3, None)]
    assert sorted(versions.versions(tmp_path / "served" / "shared")) == [2, 3]


def test_the_newest_version_of_another_training(exports, tmp_path):
    base = tmp_path / "served" / "shared"
    assert versions.newest(base) is None
    pushes(exports, tmp_path, "A", "B", "A otherwise")
    assert [versions.newest(base, but=key) for key in ("", "a", "b", "c")] == [3, 2, 3, 3]


def test_a_version_whose_files_have_changed_is_named_and_pushed_anew(exports, tmp_path):
    base = tmp_path / "served" / "shared"
    pushes(exports, tmp_path, "A", "B")
    (base / "1" / "saved_model.pb").write_bytes(b"damaged")
    pushed = pusher.push(exports["A"], base, keep=9)
    assert pushed == (3, True, 3, None, 1)
    assert (base / "3" / "saved_model.pb").read_bytes() == b"a"
    assert pusher.summary(pushed._asdict()) == (
        "new version (version 1 held it, but its files have changed since)"
    )
    assert pusher.push(exports["A"], base, keep=9) == (3, False, 3, None, None)


def test_numbers_with_zeros_before_them(exports, tmp_path):
    """As people name versions by hand, and TensorFlow Serving takes them."""
    base = tmp_path / "served" / "shared"
    shutil.copytree(exports["B"], base / "0001")
    shutil.copytree(exports["A otherwise"], base / "0007")
    assert versions.folders(base) == {1: base / "0001", 7: base / "0007"}
    assert versions.newest(base, but="a") == 1
    assert pushes(exports, tmp_path, "A", keep=2) == [(8, True, 8, None)]
    assert sorted(path.name for path in base.iterdir()) == [".lock", "0007", "8"]
    assert pushes(exports, tmp_path, "A otherwise!") == [(9, False, 9, 7)]
    assert sorted(path.name for path in base.iterdir()) == [".lock", "8", "9"]


def test_what_was_pushed_since_the_gate_decided_holds_the_push_up(exports, tmp_path):
    base = tmp_path / "served" / "shared"
    pusher.push(exports["A"], base, keep=9, against="")
    seen = versions.identity(base / "1")
    with pytest.raises(pusher.Overtaken, match="version 1 is of another training"):
        pusher.push(exports["B"], base, keep=9, against="")  # it saw an empty folder
    assert sorted(versions.versions(base)) == [1]
    pusher.push(exports["A otherwise"], base, keep=9, against="")  # its own training does not count
    with pytest.raises(pusher.Overtaken, match="version 2 is of another training"):
        pusher.push(exports["B"], base, keep=9, against=seen)
    shutil.rmtree(base / "2")
    assert pusher.push(exports["B"], base, keep=9, against=seen).version == 2
    shutil.rmtree(base / "1")
    with pytest.raises(pusher.Overtaken, match="that the gate compared with is gone"):
        pusher.push(exports["B"], base, keep=9, against=seen)


def test_the_gates_gain_lets_an_older_version_return(inputs, tmp_path):
    """gate.json -> pushed.json: only a gain over the newest version brings an older one back."""
    gate = inputs["evaluation"] / "gate.json"
    model = inputs["export"] / "saved_model"
    card = model / "assets.extra" / "model_card.md"
    before = card.read_text()
    push(inputs, tmp_path)
    change(inputs, "another")
    assert push(inputs, tmp_path)["version"] == 2
    change(inputs, before)
    for gain in (None, 0.0, -0.1):
        write(gate, {"blessed": True, "summary": "Blessed: good.", "gain": gain})
        result = push(inputs, tmp_path)
        assert (result["version"], result["newest"], result["new"]) == (1, 2, False)
    write(gate, {"blessed": True, "summary": "Blessed: good.", "gain": 0.1})
    result = push(inputs, tmp_path)
    assert (result["version"], result["returned_from"], result["new"]) == (3, 1, False)
    assert result["path"] == str(tmp_path / "served" / "tiny" / "3")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("evaluation/gate.json", {"blessed": False, "summary": "Refused: AP50 0.2."}, "AP50 0.2"),
        ("evaluation/gate.json", None, "has no blessing"),
        ("infra_validation/verified.json", None, "does not verify"),
        ("infra_validation/verified.json", {"verified": False}, "does not verify"),
        ("infra_validation/verified.json", {"verified": True, "digest": "0"}, "another SavedModel"),
    ],
)
def test_push_refuses(inputs, tmp_path, file, content, message):
    path = tmp_path / file
    path.unlink() if content is None else write(path, content)
    with pytest.raises(errors.Refused, match=message):
        push(inputs, tmp_path)
    assert not (tmp_path / "served").exists()


def test_a_killed_push_leaves_no_version_and_the_next_one_cleans_up(inputs, tmp_path):
    """Killed while the copy lies aside: before the rename, after every file was written."""
    base = tmp_path / "served" / "tiny"
    code = (
        "import os, pathlib, sys, time\n"
        "from convoy.pipeline.components import pusher\n"
        "def rename(*_):\n"
        "    print('copied', flush=True)\n"
        "    time.sleep(60)\n"
        "pusher.os.rename = rename\n"
        "pusher.push(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), keep=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(inputs["export"] / "saved_model"), str(base)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "copied\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert versions.versions(base) == []
    assert [p.name for p in base.iterdir() if p.name != ".lock"] == [".partial-1"]
    assert push(inputs, tmp_path)["version"] == 1
    assert sorted(p.name for p in base.iterdir()) == [".lock", "1"]


def test_two_pushers_take_turns(inputs, tmp_path):
    base = tmp_path / "served" / "tiny"
    other = tmp_path / "other"
    shutil.copytree(inputs["export"] / "saved_model", other)
    (other / "assets.extra" / "model_card.md").write_text("other")
    code = (
        "import pathlib, sys\n"
        "from convoy.pipeline.components import pusher\n"
        "print(pusher.push(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), keep=9).version)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(model), str(base)], stdout=subprocess.PIPE, text=True
        )
        for model in (inputs["export"] / "saved_model", other)
    ]
    found = sorted(int(process.communicate()[0]) for process in processes)
    assert found == [1, 2]
    assert sorted(versions.versions(base)) == [1, 2]
