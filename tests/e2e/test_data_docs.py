"""Every command of docs/data.md: on real sets under CONVOY_TEST_DATA, else on built archives."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex

import pytest

from convoy.data import tfrecord
from convoy.data.sources import digits
from convoy.pipeline import cli
from tests.data import build, test_fuzz
from tests.data.test_tfds_source import data_dir  # noqa: F401, a fixture

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("CONVOY_TEST_DATA", "/nonexistent"))
PAGE = (ROOT / "docs" / "data.md").read_text()
COMMANDS = dict(re.findall(r"^\| `([\w:]+)` \|.*\| `(convoy ingest .*)` \|$", PAGE, re.MULTILINE))
# format: (folder, records, objects, rejected, classes)
REAL = {
    "voc": ("bccd", 364, 4886, 0, 3),
    "coco": ("tiny_coco", 100, 852, 0, 80),
    "imagenet": ("imagenette_mini", 850, 0, 0, 10),
    "tiny_imagenet": ("tiny_imagenet_loc_a", 2000, 1970, 0, 10),
    "folder": ("sign_digits", 800, 0, 0, 10),
    "idx": ("mnist_idx", 20000, 0, 0, 10),
    "keypoints": ("facial_keypoints", 140, 140, 0, 1),
    "segmentation": ("camvid_small", 46, 0, 0, 11),
    "pairs": ("deblur_nyu_rot_a", 10, 0, 0, 1),
    "super_resolution": ("sr_t91_set5", 41, 0, 0, 1),
    "pictures": ("style_neural_style", 14, 0, 0, 1),
    "text": ("rt_polarity", 10662, 0, 0, 2),
}


def test_the_page_names_every_reader():
    from convoy.data.sources import SOURCES

    assert {name.partition(":")[0] for name in COMMANDS} == SOURCES.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_command(name, tmp_path, capfd, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    words = shlex.split(COMMANDS[name])
    folder, *numbers = REAL.get(name, (None,))
    real = folder is not None and (DATA / folder).is_dir()
    if name.startswith("tfds"):
        path = request.getfixturevalue("data_dir")
    else:
        path = DATA / folder if real else _built(name, tmp_path)
    words = [word.replace("tfds:mnist", "tfds:tiny_classes") for word in words]
    words[words.index("--input") + 1] = str(path)
    code = cli.main([*words, "--json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    told = json.loads(out.splitlines()[-1])
    found = [told[key] for key in ("records", "objects", "rejected")]
    if real:
        assert [*found, len(told["classes"])] == numbers
    else:
        assert found[0] > 0
        assert found[2] == 0
    records = pathlib.Path(words[words.index("--output") + 1])
    manifest = json.loads((records / "manifest.json").read_text())
    assert manifest["format"] == name.replace("NAME", "tiny_classes")
    shards = sorted(records.glob("*.tfrecord"))
    assert len(shards) == told["shards"]
    assert sum(1 for path in shards for _ in tfrecord.read(path)) == found[0]


def _built(name: str, folder: pathlib.Path) -> pathlib.Path:
    """A small set of the format: an archive, but where the format has its own ways."""
    if name == "digits":
        return digits.build(folder / "digits", images=(6, 2))
    path = folder / "set.tar"
    path.write_bytes(build.tar_bytes(test_fuzz.SETS[name]()))
    return path
