"""`convoy init`: what it proposes of generated sets; slow ones run what it wrote."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import pathlib
import shlex

import numpy as np
import pytest

from convoy.models import tasks as table
from convoy.pipeline import cli, config
from convoy.pipeline.errors import UsageError
from convoy.pipeline.networks import pretrained
from convoy.pipeline.tools.init import kinds, look, machine, measure, propose, run, sizes, written
from convoy.pipeline.tools.init.machine import Machine
from convoy.pipeline.validation import recipe_checks
from tests.pipeline.init_sets import SETS, classes

CPU = Machine(gpu=False, bfloat16=False, cores=2, memory=8 << 30)


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No address is asked; what a test needs of published weights it puts into the cache."""
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(machine.urllib.request, "urlopen", _unreachable)


def _unreachable(*_, **__):
    raise OSError("no network")


@pytest.fixture(params=SETS)
def made(request, tmp_path) -> tuple[str, pathlib.Path]:
    SETS[request.param][0](tmp_path / "my set")
    return request.param, tmp_path / "my set"


def convoy(capsys, *words: object) -> tuple[int, str, str]:
    code = cli.main(["convoy", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_release_is_named(capsys):
    code, out, _ = convoy(capsys, "--version")
    assert (code, out) == (0, f"convoy {importlib.metadata.version('convoy-vision')}\n")


def test_each_kind_of_set_is_known_and_its_recipe_passes_the_checks(made, tmp_path, capsys):
    task, folder = made
    out = tmp_path / "recipe.yaml"
    code, printed, err = convoy(capsys, "init", folder, "-o", out, "--nomeasure", "--json")
    assert code == 0, err
    result = json.loads(printed.splitlines()[-1])
    assert (result["task"], result["format"]) == (task, SETS[task][1])
    recipe = config.load(out)
    recipe_checks.run(recipe)
    assert (recipe.name, recipe.task) == ("my_set", task)
    assert recipe.data.path == str(folder.resolve())
    assert recipe.data.train in ("train", "training")
    assert recipe.data.test in ("val", "test")
    assert recipe.train.batch_size <= 16  # of the few samples
    assert f"convoy run {out}" in printed
    assert out.read_text().startswith(f"# Made by `convoy init {folder}`")


def test_the_next_command_can_be_pasted(tmp_path, capsys):
    folder = tmp_path / "my set"
    SETS["classification"][0](folder)
    out = tmp_path / "my recipe.yaml"
    code, printed, err = convoy(capsys, "init", folder, "-o", out, "--nomeasure")
    assert code == 0, err
    assert shlex.split(printed.splitlines()[-1]) == ["convoy", "run", str(out)]


def test_every_task_has_a_proposal():
    """Attributes are columns of a table that only a person can name."""
    assert {*propose.PROPOSALS} == {*table.TASKS} - {"attributes"}


def test_a_recipe_that_is_there_is_kept(tmp_path, capsys):
    classes(tmp_path / "data")
    out = tmp_path / "recipe.yaml"
    out.write_text("mine")
    code, _, err = convoy(capsys, "init", tmp_path / "data", "-o", out, "--nomeasure")
    assert (code, out.read_text()) == (2, "mine")
    assert "--force to replace it" in err
    assert convoy(capsys, "init", tmp_path / "data", "-o", out, "--nomeasure", "--force")[0] == 0
    assert config.load(out).task == "classification"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["none"], "no such folder or archive"),
        (["empty"], "holds no file"),
        (["data", "-o", "data/recipe.yaml"], "would be a part of the data set"),
        (["data", "-o", "empty", "--force"], "is a folder"),
        (["data", "-o", "none/recipe.yaml"], "there is no folder"),
        (["data", "--task", "detektion"], "did you mean 'detection'"),
        (["data", "--task", "pose"], "it serves classification (one of 2 classes per picture)"),
        (["data", "--format", "cocoo"], "format 'cocoo'"),
        (["data", "--hours", "1"], "with --nomeasure no time is known"),
        (["flat"], "pictures without anything to learn"),
        (["text.md"], "no known layout"),
        ([], "expected the folder or archive"),
    ],
)
def test_what_cannot_be_proposed_is_said(words, told, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.md").write_text("no data set")
    (tmp_path / "flat").mkdir()
    for n, path in enumerate(sorted((tmp_path / "data/train/cat").iterdir())):
        (tmp_path / "flat" / f"{n}.jpg").write_bytes(path.read_bytes())
    code, _, err = convoy(capsys, "init", *words, "--nomeasure")
    assert code == 2
    assert told in err
    assert not (tmp_path / "recipe.yaml").exists()


def seen(tmp_path, **arguments) -> look.Look:
    classes(tmp_path / "data", **arguments)
    return look.look(str(tmp_path / "data"), "auto")


def proposed(found: look.Look, task: str = "classification", on: Machine = CPU):
    return propose.propose(found, task, kinds.tasks_of(found), on)


def test_published_weights_are_taken_where_they_can_be_had(tmp_path):
    found = seen(tmp_path, size=(120, 160))
    without = proposed(found).raw
    assert (without["model"]["name"], without["model"]["input_size"]) == (
        "mobilenet_v1",
        [128, 128],
    )
    assert "weights" not in without["model"]
    file = pretrained.published(pretrained.address("mobilenet_v2"))
    pretrained.kept(file).parent.mkdir(parents=True)
    pretrained.kept(file).write_bytes(b"weights")
    raw = proposed(found).raw
    assert raw["model"]["weights"] == "imagenet"
    assert raw["train"]["mode"] == "fine_tune"
    assert [stage["unfreeze"] for stage in raw["train"]["stages"]] == ["head", "all"]
    total = sum(stage["epochs"] for stage in raw["train"]["stages"])
    assert total == raw["train"]["epochs"]


@pytest.mark.parametrize(
    ("names", "mirrored"),
    [(("cat", "dog"), True), (("a", "b"), False), (("turn left", "turn_right"), False),
     (("brightness", "leftover"), True)],
)  # fmt: skip
def test_a_mirror_is_proposed_where_it_keeps_the_class(tmp_path, names, mirrored):
    augment = proposed(seen(tmp_path, names=names)).raw["augment"]
    assert ("flip_horizontal" in augment) == mirrored


def test_the_input_is_large_enough_for_small_objects(tmp_path):
    """By hand: of 600 x 800 the form at 320 is 240 x 320, in multiples of 32: 256 x 320."""
    found = seen(tmp_path)
    sample = dataclasses.replace(found.samples[0], height=600, width=800)

    def with_box(side):
        box = np.array([[0, 0, side, side]], np.float32)
        return dataclasses.replace(found, samples=(dataclasses.replace(sample, boxes=box),))

    assert sizes.for_objects(with_box(200), 640) == [256, 320]
    assert with_box(20).smallest == pytest.approx(20 / 800)
    assert sizes.for_objects(with_box(20), 640) == [352, 480]  # 12 px / 0.025 = 480; 360 -> 352
    assert sizes.for_objects(with_box(2), 640) == [480, 640]
    assert sizes.square(with_box(2), 128) == [128, 128]
    small = dataclasses.replace(found, samples=(dataclasses.replace(sample, height=70, width=50),))
    assert sizes.square(small, 224) == [64, 64]
    assert sizes.fitting(small, 320) == [64, 64]


def test_epochs_make_the_steps_within_limits():
    assert propose.epochs_for(4000, 32, 1280) == 100
    assert propose.epochs_for(4000, 32, 10**6) == propose.LEAST_EPOCHS
    assert propose.epochs_for(4000, 32, 32) == propose.MOST_EPOCHS


def test_a_batch_that_does_not_fit_is_halved(tmp_path, monkeypatch):
    """The child is told its batch; two of them report too much, one dies."""
    found, asked = seen(tmp_path), []

    def child(arguments):
        batch = arguments["recipe"]["train"]["batch_size"]
        asked.append(batch)
        return (
            (None, "memory: ended with -9") if batch == 4 else ({"seconds": 0.5, "peak": batch}, "")
        )

    monkeypatch.setattr(measure, "_child", child)
    raw = proposed(found).raw
    assert raw["train"]["batch_size"] == 4
    took = measure.fitting(raw, found, memory=2, tell=lambda _: None)  # of which 60 % are 1.2
    assert (took.batch, asked) == (1, [4, 2, 1])
    assert took.seconds == 0.5
    took = measure.fitting(raw, found, memory=1, tell=lambda _: None)
    assert took.seconds is None
    assert "too large for this machine" in took.why


def test_epochs_and_stages_fit_into_the_hours(tmp_path):
    made = propose.Proposal(
        {
            "train": {
                "batch_size": 10,
                "epochs": 100,
                "eval_epochs": 5,
                "stages": [{"epochs": 20}, {"epochs": 80}],
            }
        },
        {},
    )
    took = measure.Measured(batch=10, seconds=0.5, peak=1 << 30)
    said = run._settle(made, 95, took, hours=0.05)  # 10 steps of 0.5 s per epoch, 180 s: 36 epochs
    train = made.raw["train"]
    assert train["epochs"] == 36
    assert [stage["epochs"] for stage in train["stages"]] == [7, 29]
    assert train["eval_epochs"] == 1
    assert said == "3 minutes, 500 ms for each step of 10 with 1.0 GiB"
    assert "--hours" in made.remarks["train.epochs"]
    run._settle(made, 95, took, hours=0.0)
    assert train["epochs"] == propose.LEAST_EPOCHS


def test_remarks_stand_behind_values_or_above_them():
    raw = {"name": "a", "task": "text", "data": {"path": "x: y", "labels": ["no", "1"]}}
    remarks = {"task": "why", "data": "all of\nit", "data.labels": "long " * 30}
    text = written.text(raw, remarks, ["head"])
    assert text.splitlines() == [
        "# head",
        "name: a",
        "task: text  # why",
        "# all of it",
        "data:",
        "  path: 'x: y'",
        "  # " + " ".join(["long"] * 30),
        "  labels: ['no', '1']",
    ]


def test_a_set_without_a_sample_that_can_be_used(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "a.jpg").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"no sample of folder can be used, e.g. .*a.jpg"):
        look.look(str(tmp_path / "data"), "auto")


@pytest.mark.slow
def test_what_was_measured_is_run_unchanged(made, tmp_path, capsys, monkeypatch):
    """`--yes`: three epochs, to the pushed model."""
    _, folder = made
    monkeypatch.chdir(tmp_path)
    code, out, err = convoy(capsys, "init", folder, "--hours", "0", "--yes", "--json")
    assert code == 0, err
    result = json.loads(out.splitlines()[-1])
    assert result["epochs"] == propose.LEAST_EPOCHS
    assert " ms for each step of " in result["time"]
    assert pathlib.Path(result["pushed_path"]).is_relative_to(tmp_path / "runs/my_set")
