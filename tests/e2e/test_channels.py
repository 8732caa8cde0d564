"""Pictures of five channels and 16 bits: from .npy and TIFF to a served answer."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import yaml

from convoy.data import example, tfrecord
from convoy.data.images import bands
from convoy.pipeline import cli, config, steps
from convoy.serving import client
from tests.data.channel_files import contiguous, npy, png, values
from tests.serving.running import serving

SIZE = (24, 24)
WRITERS = {"npy": npy, "tif": contiguous}


def picture(water: bool, seed: int) -> np.ndarray:
    """[24, 24, 5] uint16; only channel 4 tells, in bits that 8 would lose: 60 or 180 of 65535."""
    rng = np.random.default_rng([seed, water])
    array = rng.integers(1000, 3000, (*SIZE, 5), np.uint16)
    array[..., 4] = rng.integers(0, 60, SIZE) + (120 if water else 0)
    return array


def folder(root: pathlib.Path, ending: str, count: int = 24) -> pathlib.Path:
    for water, name in enumerate(("field", "water")):
        (root / name).mkdir(parents=True)
        for index in range(count):
            data = WRITERS[ending](picture(bool(water), index))
            (root / name / f"{index:02d}.{ending}").write_bytes(data)
    return root


def recipe(root: pathlib.Path, data: pathlib.Path, **keys) -> pathlib.Path:
    content = {
        "name": "five",
        "task": "classification",
        "run_dir": str(root / "run"),
        "data": {"path": str(data), "channels": 5, "bits": 16, "val": "val"},
        "model": {"name": "lenet5"},
        "augment": {"flip_horizontal": 0.5, "mixup": 0.2},
        "train": {"epochs": 30, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.001},
        "evaluate": {"gallery": 2, "threshold": 0.9},
        "export": {"precision": "float32"},
        **keys,
    }
    path = root / "five.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("ending", WRITERS)
def test_records_hold_what_the_files_hold(ending, tmp_path):
    path = recipe(tmp_path, folder(tmp_path / "data", ending, 8))
    job = steps.Job(config.load(path))
    steps.run(job, "example_gen")
    made = job.done["example_gen"].path
    found = {}
    for shard in made.glob("*.tfrecord"):
        found |= {s.source_id: s for s in map(example.decode, tfrecord.read(shard))}
    assert len(found) == 16
    for water, name in enumerate(("field", "water")):
        sample = found[f"{name}/03.{ending}"]
        assert (sample.height, sample.width) == SIZE
        np.testing.assert_array_equal(bands.decode(sample.image), picture(bool(water), 3))
    manifest = json.loads((made / "manifest.json").read_text())
    trained = [s for s in found.values() if s.split == "train"]
    stack = np.stack([bands.decode(s.image) for s in trained]).reshape(-1, 5) / 257
    np.testing.assert_allclose(manifest["channels"]["mean"], stack.mean(0))
    np.testing.assert_allclose(manifest["channels"]["std"], stack.std(0))


def test_bad_files_among_them_are_counted_and_told_once_each(tmp_path, capsys):
    root = folder(tmp_path / "data", "npy", 20)
    bad = {
        "a": npy(values(4)),
        "b": npy(np.zeros((9, 9, 5))),
        "c": npy(np.full((9, 9, 5), np.nan)),
        "d": npy(np.zeros(9, np.uint8)),
        "e": npy(np.array([{}], object)),
        "f": npy(values(5, np.uint8)),  # of 8 bits: widened
    }
    for name, data in bad.items():
        (root / "field" / f"{name}.npy").write_bytes(data)
    sets = ("data.channels=5", "data.bits=16", "ingest.max_rejected=0.5")
    words = ["convoy", "ingest", "--input", str(root), "--output", str(tmp_path / "out"), "--json"]
    assert cli.main([*words, *(word for key in sets for word in ("--set", key))]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["rejected_by_reason"] == {"other_channels": 1, "unsupported_image": 4}
    assert told["warnings"] == {"eight_bits": 1}
    assert told["pictures"] == {"found": 46, "in_records": 41, "rejected": 5, "unused": 0}


def test_arrays_beside_pictures_are_not_pictures(tmp_path, capsys):
    for name in ("field", "water"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(6):
            place = tmp_path / "data" / name / f"{index}.png"
            place.write_bytes(png(values(3, np.uint8, seed=index + 10 * len(name))))
    (tmp_path / "data" / "field" / "0.npy").write_bytes(npy(values(5)))
    words = [
        "convoy",
        "ingest",
        "--input",
        str(tmp_path / "data"),
        "--output",
        str(tmp_path / "out"),
    ]
    assert cli.main([*words, "--format", "folder", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["pictures"]["found"] == 12
    assert [row["what"] for row in told["unused"]] == [".npy files in folders called field"]


@pytest.mark.slow
@pytest.mark.parametrize("ending", WRITERS)
def test_from_files_to_a_served_answer(ending, tmp_path, capsys):
    path = recipe(tmp_path, folder(tmp_path / "data", ending))
    assert cli.main(["convoy", "run", str(path)]) == 0
    capsys.readouterr()
    model = tmp_path / "run" / "served" / "five"
    new = [picture(bool(water), 100 + index) for index in range(4) for water in (0, 1)]
    truth = [b"field", b"water"] * 4
    encoded = client.load_local(model)([bands.encode(array) for array in new])
    assert encoded["class_name"].tolist() == truth
    stacked = client.load_local_pixels(model)(np.stack(new))
    np.testing.assert_allclose(stacked["scores"], encoded["scores"], atol=1e-5)
    with serving(model.parent) as (_, _, connection):
        body = {
            "signature_name": "serving_tensor",
            "instances": [{"image": array.tolist()} for array in new[:2]],
        }
        connection.request("POST", "/v1/models/five:predict", json.dumps(body))
        rows = json.loads(connection.getresponse().read())["predictions"]
    assert [row["class_name"] for row in rows] == ["field", "water"]
    files = []
    for index, array in enumerate(new[:2]):
        files.append(tmp_path / f"new{index}.{ending}")
        files[-1].write_bytes(WRITERS[ending](array))
    words = [
        "convoy",
        "predict",
        str(model),
        *map(str, files),
        "-o",
        str(tmp_path / "out"),
        "--json",
    ]
    assert cli.main(words) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [row["class"] for row in answer["predictions"]] == ["field", "water"]
    assert all(pathlib.Path(row["picture"]).is_file() for row in answer["predictions"])
    bad = tmp_path / f"bad.{ending}"
    bad.write_bytes(WRITERS[ending](values(4)))
    assert cli.main([*words[:3], str(bad), "-o", str(tmp_path / "out"), "--json"]) != 0
    assert "data.channels is 5" in capsys.readouterr().out
