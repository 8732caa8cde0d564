"""docs/python.md runs as it stands, and says the values that come."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import convoy
from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sources import digits
from convoy.pipeline import steps
from convoy.pipeline.config import parse

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "python.md"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> pathlib.Path:
    """A folder with what the page names: records, a run that pushed a detector, a picture."""
    top = tmp_path_factory.mktemp("home")
    digits.build(top / "devkit", images=(16, 6))
    recipe = {
        "name": "digits",
        "task": "detection",
        "run_dir": str(top / "runs" / "digits"),
        "data": {"format": "voc", "path": str(top / "devkit"), "train": "train", "test": "val"},
        "model": {"name": "ssd_mobilenet_v1", "input_size": [64, 64], "width": 0.25},
        "train": {"batch_size": 16, "epochs": 1, "learning_rate": 0.001},
        "export": {"precision": "float32"},
    }
    job = steps.Job(parse(recipe))
    result = steps.run(job, "pusher")
    records = pathlib.Path(result["artifacts"]["example_gen"])
    (top / "records").symlink_to(records, target_is_directory=True)
    sample = decode(next(tfrecord.read(shards(records, "val")[0])))
    (top / "street.png").write_bytes(sample.image)
    return top


def test_slips_are_named(home):
    for one in ("street.png", home / "street.png", b"..."):
        with pytest.raises(ValueError, match="inputs: expected a list of them"):
            convoy.predict(home / "runs" / "digits", one)
    with pytest.raises(FileNotFoundError, match="expected a folder of records"):
        convoy.records(home / "runs" / "digits", "val")


def test_the_page_runs_and_tells_the_truth(home, monkeypatch):
    """Each line that ends in `# VALUE` gives that value, as far as it is one."""
    monkeypatch.chdir(home)
    names: dict = {}
    compared = 0
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        lines = block.splitlines()
        for node in ast.parse(block).body:
            code = ast.unparse(node)
            if not isinstance(node, ast.Expr):
                exec(code, names)
                continue
            value = eval(code, names)
            remark = lines[node.end_lineno - 1].partition("  # ")[2]
            shown = re.match(r"(\(.*?\)|\[.*?\]|\S+?)(?=$|[:;,] )", remark)
            if shown and remark[0] in "([":
                found = (
                    tuple(value) if isinstance(value, tuple) or hasattr(value, "rank") else value
                )
                expected = eval(shown[1], names | {"tf": __import__("tensorflow")})
                assert found == expected or str(found) == str(expected), code
                compared += 1
    assert compared >= 5


def test_importing_it_imports_no_tensorflow():
    program = "import sys, convoy; sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_folder_called_models_of_ones_own_does_not_matter(tmp_path):
    """Its modules are its own, ours stay ours."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("MINE = True\n")
    (tmp_path / "data.py").write_text("MINE = True\n")
    program = (
        "import models, data, convoy;"
        "assert models.MINE and data.MINE;"
        "assert convoy.build('lenet5', num_classes=3).output.shape == (None, 3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_records_are_tensors_of_what_was_ingested(digits_records):
    import convoy

    expected = [
        decode(record) for shard in shards(digits_records, "val") for record in tfrecord.read(shard)
    ]
    rows = list(convoy.records(digits_records, "val").as_numpy_iterator())
    assert len(rows) == len(expected) == 6
    for row, sample in zip(rows, expected, strict=True):
        assert row["source_id"].decode() == sample.source_id
        assert row["image"].shape == (sample.height, sample.width, 3)
        assert row["boxes"] == pytest.approx(sample.boxes, abs=1e-3)
        assert row["classes"].tolist() == sample.classes.tolist()
        assert row["difficult"].tolist() == sample.difficult.tolist()
    with pytest.raises(ValueError, match="split 'tets' is not in"):
        convoy.records(digits_records, "tets")
