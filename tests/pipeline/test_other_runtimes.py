"""`convoy export RUN --to ...`: files with their proof, refused over the tolerance, asked about."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import yaml

import convoy
from convoy.data.sources import digits
from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.tools import exported, other_runtimes
from convoy.serving.runtimes import kinds
from tests.serving import tiny

pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("runtimes")
    digits.build(top / "digits", images=(8, 6))
    content = {
        "name": "tiny",
        "task": "multilabel",
        "run_dir": str(top / "run"),
        "data": {"format": "voc", "path": str(top / "digits")},
        "model": {"name": "mobilenet_v1", "input_size": [48, 48], "width": 0.25},
        "train": {"batch_size": 8, "epochs": 1, "learning_rate": 0.01},
        "evaluate": {"gallery": 1},
        "export": {"precision": "float32"},
    }
    (top / "recipe.yaml").write_text(yaml.safe_dump(content))
    steps.run(steps.Job(config.load(top / "recipe.yaml")), "exporter")
    return top / "run"


def _run(capsys, *words: object) -> tuple[int, dict, str]:
    code = cli.main(["convoy", *map(str, words), "--json"])
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    return code, json.loads(lines[-1]) if lines else {}, captured.err


def test_a_file_its_proof_and_its_answers(run, capsys):
    code, result, err = _run(capsys, "export", run, "--to", "litert", "--pictures", 4)
    assert code == errors.OK, err
    folder = run / "runtimes/litert"
    assert result["files"] == {"litert": str(folder)}
    assert sorted(path.name for path in folder.iterdir()) == [
        "around", "assets.extra", "card.json", "model.tflite"
    ]  # fmt: skip
    assert [path.name for path in sorted((run / "runtimes").iterdir())] == [
        "README.md", "litert", "litert.json"
    ]  # fmt: skip
    proof = json.loads((run / "runtimes/litert.json").read_text())
    assert proof["verdict"] == "passed"
    assert proof["difference"] <= 1e-4
    assert proof["pictures"] == 4
    assert proof["metric_name"] == "voc_mAP"
    assert proof["metric"] == pytest.approx(proof["metric_of_network"], abs=1e-3)
    size = (folder / "model.tflite").stat().st_size
    assert proof["megabytes"] == pytest.approx(size / 1e6)
    assert proof["median_ms"] > 0
    assert "| litert |" in (run / "runtimes/README.md").read_text()
    picture = tiny.jpeg(60, 80)
    model = exported.of_run(run, tell=print)
    for named in (folder, folder / "model.tflite"):
        (answer,), (expected,) = (convoy.predict(each, [picture]) for each in (named, model))
        assert set(answer) == set(expected)
        np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1e-4)


def test_what_differs_too_much_is_refused_and_not_left_under_its_name(run, capsys, monkeypatch):
    (run / "runtimes/litert").mkdir(parents=True, exist_ok=True)  # of an older training
    words = ("export", run, "--to", "litert", "--pictures", 2)
    real = other_runtimes.files.opened

    def wrong(folder):
        ask = real(folder)
        return lambda images: {
            key: value + np.float32(0.05) if key == "scores" else value
            for key, value in ask(images).items()
        }

    monkeypatch.setattr(other_runtimes.files, "opened", wrong)
    code, _, err = _run(capsys, *words)
    assert code == errors.REFUSED
    assert "convoy: refused: litert: an answer differs by 0.05" in err
    assert "export.tolerance=0.02" in err
    assert not (run / "runtimes/litert").exists()
    assert not list((run / "runtimes").glob(".*"))
    proof = json.loads((run / "runtimes/litert.json").read_text())
    assert proof["verdict"].startswith("an answer differs by 0.05")


def test_a_model_of_texts_is_refused_before_anything_is_written(tmp_path):
    content = {"name": "t", "task": "text", "model": {"name": "text_cnn_rand"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match="text: the network reads words by tables"):
        other_runtimes.run(tmp_path, ["litert"], [], pictures=2, max_loss=0.02, tell=print)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_int8_is_refused_by_its_loss_alone():
    row = other_runtimes.Row("litert_int8", 1.0, difference=0.9, metric=0.70)
    kind = kinds.KINDS["litert_int8"]
    assert other_runtimes._refusal(row, kind, 0.71, 0.02, 0.02) == ""
    told = other_runtimes._refusal(row, kind, 0.75, 0.02, 0.02)
    assert told == "its metric falls from 0.7500 by 0.0500, expected at most --max_loss=0.02"
    exact = kinds.KINDS["litert"]
    assert "differs by 0.9" in other_runtimes._refusal(row, exact, 0.7, 0.02, 0.02)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--to", "tflite"), "--to: expected some of onnx, openvino, litert"),
        (("--pictures", 3), "--pictures is not used: it is of --to"),
        (("--to", "litert", "--weights", "imagenet"), "--weights is not used"),
    ],
)
def test_words_that_cannot_be_followed(run, capsys, words, told):
    code, _, err = _run(capsys, "export", run, *words)
    assert code == errors.USAGE
    assert told in err


def test_a_recipe_has_no_files(run, capsys):
    code, _, err = _run(capsys, "export", run / "config.yaml", "--to", "litert")
    assert code == errors.USAGE
    assert "--to: expected one run's folder" in err


def test_a_missing_extra_is_one_message(run, capsys, monkeypatch):
    monkeypatch.setattr(kinds, "missing", lambda kind: list(kind.needs))
    code, _, err = _run(capsys, "export", run, "--to", "onnx,openvino")
    assert code == errors.FAILURE
    assert "pip install 'convoy-vision[onnx,openvino]'" in err
