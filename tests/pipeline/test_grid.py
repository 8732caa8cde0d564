"""`convoy grid`: each combination is the recipe with another network; what fails is a row."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time

import matplotlib.colors
import numpy as np
import pytest

from convoy import models
from convoy.data.sources import digits
from convoy.pipeline import cli, config, errors
from convoy.pipeline.components import timer
from convoy.pipeline.networks import trained
from convoy.pipeline.report import overlay, speed
from convoy.pipeline.tools import grid

ROWS = [
    {"meta": "a", "backbone": "x", "ms": 10.0, "network_ms": 8.0, "AP50": 0.5, "machine": "m"},
    {"meta": "a", "backbone": "y", "ms": 20.0, "network_ms": 15.0, "AP50": 0.7, "machine": "m"},
    {"meta": "b", "backbone": "x", "ms": 40.0, "network_ms": 41.0, "AP50": 0.9, "machine": "m"},
]


def recipe(top: pathlib.Path, **sections) -> pathlib.Path:
    path = top / "recipe.yaml"
    content = {
        "name": "small",
        "task": "detection",
        "run_dir": str(top / "run"),
        "data": {"format": "voc", "path": str(top / "digits"), "val": None},
        "model": {"name": "ssd", "input_size": [64, 64], "width": 1.0},
        "train": {"batch_size": 8, "epochs": 1},
        "evaluate": {"gallery": 1},
        **sections,
    }
    path.write_text(json.dumps(content))
    return path


def convoy(capfd, *words) -> tuple[int, str, str]:
    code = cli.main(["convoy", "grid", *map(str, words)])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_a_combination_is_the_recipe_with_another_network(tmp_path):
    whole = config.load(
        recipe(
            tmp_path,
            model={"name": "ssd", "backbone": "vgg16", "widths": {"a": 3}, "input_size": [96, 96]},
            push={"model_dir": "served"},
            evaluate={"tta": ["flip"], "gallery": 3},
        )
    )
    changed = grid.combination(whole, "yolov2", "darknet19", tmp_path / "one")
    assert (changed.model.name, changed.model.backbone) == ("yolov2", "darknet19")
    assert changed.model.input_size == (96, 96)
    assert (changed.model.widths, changed.push.model_dir) == ({}, "")
    assert changed.run_dir == str(tmp_path / "one")
    assert (changed.evaluate.tta, changed.evaluate.gallery) == ((), 3)
    same = {"model", "push", "run_dir", "evaluate"}
    assert changed.model_dump(exclude=same) == whole.model_dump(exclude=same)


def test_a_marker_for_each_meta_and_a_colour_for_each_backbone():
    figure = speed.scatter(ROWS, "AP50")
    (axes,) = figure.axes
    points = [tuple(c.get_offsets()[0]) for c in axes.collections]
    assert points == [(10.0, 0.5), (20.0, 0.7), (40.0, 0.9)]
    shades = [matplotlib.colors.to_hex(c.get_facecolor()[0]) for c in axes.collections]
    expected = [matplotlib.colors.to_hex(np.array(overlay.color(n)) / 255) for n in (0, 1, 0)]
    assert shades == expected
    shapes = [len(c.get_paths()[0].vertices) for c in axes.collections]
    assert shapes[0] == shapes[1] != shapes[2]
    told = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert told == [["a", "b"], ["x", "y"]]
    assert axes.get_xscale() == "linear"
    far = speed.scatter([*ROWS, {**ROWS[0], "ms": 1000.0}], "AP50")
    assert far.axes[0].get_xscale() == "log"


def test_times_alone_are_bars_the_fastest_first():
    (axes,) = speed.bars(ROWS[::-1]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a + x", "a + y", "b + x"]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == [10.0, 8.0, 20.0, 15.0, 40.0, 40.0]  # noise may make a part the longer one


def test_the_page_and_the_table(tmp_path):
    """A row that failed, one without a number, and the others."""
    one = config.load(recipe(tmp_path))
    failed = {"meta": "b", "backbone": "<y>", "error": "<y> has no maps"}
    blank = {**ROWS[0], "meta": "c", "AP50": None}
    rows = [*ROWS, blank, failed]
    grid._write(one, tmp_path, rows, time_only=False)
    page = (tmp_path / "grid.html").read_text()
    assert "AP50 against time" in page
    assert "a + x" in page
    assert "b + &lt;y&gt;" in page
    assert "&lt;y&gt; has no maps" in page
    assert "Weights are random" not in page
    assert (tmp_path / "grid.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "grid.json").read_text())
    assert told == {"recipe": "small", "metric": "AP50", "time_only": False, "rows": rows}
    lines = grid.text(rows, grid.columns_of(one, False)).splitlines()
    assert lines[0].split()[:3] == ["combination", "AP50", "ms"]
    assert lines[1].split()[:5] == ["a", "+", "x", "0.5000", "10.00"]
    assert lines[-1] == "b + <y>: <y> has no maps"
    grid._write(one, tmp_path / "timed", [*ROWS, failed], time_only=True)
    assert "Weights are random" in (tmp_path / "timed" / "grid.html").read_text()
    grid._write(one, tmp_path / "none", [failed], time_only=True)
    assert not (tmp_path / "none" / "grid.png").exists()


def test_times_are_measured_once(tmp_path, monkeypatch):
    """Of random weights; the second time they are read."""
    monkeypatch.setattr(timer, "ROUNDS", 2)
    content = {"name": "ssd_mobilenet_v1", "input_size": [64, 64], "width": 0.25}
    one = config.load(recipe(tmp_path, model=content, export={"max_detections": 5}))
    store = tmp_path / "store"
    row = grid.measure(one, store, True, tell=print)
    built = models.build_task("ssd_mobilenet_v1", input_size=(64, 64), width=0.25)
    assert (row["input"], row["params"]) == ("64x64", built.info.params)
    assert 0 < row["network_ms"] < 60_000
    assert row["ms"] > 0
    (made,) = (store / "timer").glob("*/timing.json")
    timing = json.loads(made.read_text())
    assert (timing["weights"], timing["rounds"], timing["pictures"]) == ("random", 2, 1)
    made.write_text(json.dumps({**timing, "ms": 123.0}))
    assert grid.measure(one, store, True, tell=print)["ms"] == 123.0


def test_what_cannot_be_built_is_told_before_the_rest(tmp_path, capfd):
    """Nothing is started for a name that does not exist; none is made, which is a failure."""
    words = ["--meta", "ssd,sdd", "--backbones", "moblenet_v1", "--time_only", "--json"]
    code, out, err = convoy(capfd, recipe(tmp_path), *words)
    assert code == errors.FAILURE
    told = json.loads((tmp_path / "run/grid/grid.json").read_text())
    assert [row["error"].split(";")[0] for row in told["rows"]] == [
        "unknown network 'moblenet_v1'",
        "unknown network 'sdd'",
    ]
    assert "closest names are mobilenet_v1" in told["rows"][0]["error"]
    assert "no combination of 2 was made: unknown network 'moblenet_v1'" in err
    assert "sdd + moblenet_v1: unknown network 'sdd'" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--backbones: expected names of networks, such as mobilenet_v1,resnet101"),
        (["--backbones", "x", "--time_only", "--weights", "imagenet"], "--weights is not used"),
        (["--backbones", "x", "--metas", "ssd"], "did you mean --meta?"),
    ],
)
def test_wrong_usage(tmp_path, capfd, words, message):
    code, out, err = convoy(capfd, recipe(tmp_path), *words)
    assert (code, out) == (errors.USAGE, "")
    assert message in err


def test_data_that_is_not_there_ends_it_at_once(tmp_path, capfd):
    code, _, err = convoy(capfd, recipe(tmp_path), "--backbones", "mobilenet_v1")
    assert code == errors.FAILURE
    assert "digits: no such folder" in err
    assert not (tmp_path / "run/grid").exists()


@pytest.mark.slow
def test_a_grid_of_two_is_made_and_made_again(tmp_path, capfd):
    """One backbone of three lacks what the detector needs."""
    digits.build(tmp_path / "digits", images=(16, 6))
    words = [recipe(tmp_path), "--backbones", "mobilenet_v1,lenet5,resnet18", "--json"]
    code, out, err = convoy(capfd, *words)
    assert code == errors.OK, err
    rows = json.loads(out.splitlines()[-1])["rows"]
    assert [row["backbone"] for row in rows] == ["mobilenet_v1", "lenet5", "resnet18"]
    assert "lenet5: expected an input of 28x28 px, got 64x64" in rows[1]["error"]
    for row in (rows[0], rows[2]):
        assert 0 <= row["AP50"] <= 1
        assert row["network_ms"] > 0
        assert row["training_seconds"] > 0
        assert trained.find(row["run_dir"]).parents[1] == tmp_path / "run/artifacts"
    assert rows[0]["params"] < rows[2]["params"]
    assert len(list((tmp_path / "run/artifacts/example_gen").glob("*/manifest.json"))) == 1
    with pytest.raises(FileNotFoundError, match=r"convoy grid. left .*run/grid/ssd-mobilenet_v1"):
        trained.find(tmp_path / "run")
    code, out, err = convoy(capfd, *words)
    assert json.loads(out.splitlines()[-1])["rows"] == rows
    assert err.count("trainer: cached") == err.count("timer: cached") == 2


@pytest.mark.slow
def test_a_grid_that_is_stopped_stops_its_training_and_goes_on(tmp_path, capfd):
    digits.build(tmp_path / "digits", images=(16, 6))
    path = recipe(tmp_path, train={"batch_size": 8, "epochs": 400, "checkpoint_minutes": 0.01})
    command = [sys.executable, "-m", "convoy.pipeline.cli", "grid", str(path)]
    command += ["--backbones", "mobilenet_v1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    folder = tmp_path / "run/artifacts/trainer"
    while not list(folder.glob("*.partial/metrics.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=150)
    assert process.returncode == errors.STOPPED, err
    assert "convoy: stopped: stopped by SIGTERM; run the same again to go on" in err
    assert "Traceback" not in err
    assert list(folder.glob("*.partial/checkpoints/*"))
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
    assert str(tmp_path) not in running
