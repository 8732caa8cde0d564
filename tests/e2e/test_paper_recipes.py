"""The recipes of papers, each for two steps at a small input, on a set in the layout it names."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from convoy.pipeline import cli

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
# recipe: input that keeps two steps quick; None = the network's own
SIZES = {
    "imagenet_alexnet": 63,
    "imagenet_vgg16": 32,
    "imagenet_inception_v3": 299,
    "imagenet_resnet50": 64,
    "cifar10_lm_resnet": None,
}


def picture(seed: int) -> bytes:
    """Stripes across for even seeds, along for odd ones."""
    waves = np.sin(np.arange(72) * (0.3 + 0.02 * seed))
    gray = np.broadcast_to(waves[:, None] if seed % 2 else waves[None, :], (72, 72))
    pixels = np.stack([gray, gray * 0.5, gray * 0.2], axis=-1) * 100 + 128
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG")
    return file.getvalue()


def imagenet(folder: pathlib.Path) -> None:
    for split, count in (("train", 8), ("val", 4)):
        for number in range(count):
            wnid = ("n01440764", "n01443537")[number % 2]
            path = folder / split / wnid / f"{wnid}_{split}{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(number + (100 if split == "val" else 0)))


def cifar(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        rows = rng.integers(0, 256, (4, 1 + 3072), dtype=np.uint8)
        rows[:, 0] = np.arange(4)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_every_recipe_of_a_paper_is_here():
    found = {path.stem for pattern in ("imagenet_*", "cifar10_*") for path in CONFIGS.glob(pattern)}
    assert found == SIZES.keys()


@pytest.mark.parametrize("name", SIZES)
def test_two_steps(name, tmp_path, capfd):
    (cifar if name.startswith("cifar10") else imagenet)(tmp_path / "data")
    changed = {
        "data.path": tmp_path / "data",
        "run_dir": tmp_path / "run",
        "train.batch_size": 4,
        "train.epochs": 1,
        "train.warmup_epochs": 0,
        "train.step_epochs": "[]",
        "train.schedule": "constant",
        "evaluate.batch_size": 2,
    }
    if SIZES[name]:
        changed["model.input_size"] = f"[{SIZES[name]}, {SIZES[name]}]"
    sets = [f"--set={key}={value}" for key, value in changed.items()]
    code = cli.main(["convoy", "evaluate", str(CONFIGS / f"{name}.yaml"), *sets, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    metrics = json.loads(out.splitlines()[-1])["metrics"]
    assert 0 <= metrics["top1"] <= 1
