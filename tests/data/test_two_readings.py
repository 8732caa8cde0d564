"""Sets that can be read in two ways: headers and annotation files outweigh names of files."""

import io

import numpy as np
import PIL.Image
import pytest

from convoy.data.sources import SourceError, detect, segmentation, source
from tests.data import build
from tests.data.fuzz_sets import SETS

RENAMED = {"1.jpg": "n02085610_1.jpg", "2.jpg": "n02085620_2.jpg"}


@pytest.mark.parametrize("name", ["voc", "coco", "yolo", "labelme", "via", "csv", "keypoints"])
def test_pictures_called_as_imagenet_calls_them(tmp_path, name):
    """The annotations count, not the synsets in the names of files."""
    content = {}
    for path, data in SETS[name]().items():
        folder, _, base = path.rpartition("/")
        stem, _, ending = base.rpartition(".")
        if stem in "12" and f"{stem}.jpg" in RENAMED:
            base = f"{RENAMED[f'{stem}.jpg'][:-4]}.{ending}"
        if ending in ("json", "csv", "txt"):
            for old, new in RENAMED.items():
                data = data.replace(old.encode(), new.encode())
                data = b"\n".join(new[:-4].encode() if line == old[:-4].encode() else line
                                  for line in data.split(b"\n"))  # fmt: skip
        content[f"{folder}/{base}" if folder else base] = data
    build.written(tmp_path, content)
    assert any("n02085610" in path for path in content)
    assert detect(tmp_path) == name


def test_class_folders_outweigh_names_of_files(tmp_path):
    for name in ("cats", "dogs"):
        for number in range(2):
            build.saved(tmp_path / name / f"n0208561{number}_1.jpg", build.picture())
    assert detect(tmp_path) == "folder"


def test_names_of_files_count_where_nothing_else_says(tmp_path):
    for split in ("train", "val"):
        for wnid in ("n01440764", "n02085610"):
            build.saved(tmp_path / split / f"{wnid}_1.JPEG", build.picture())
    assert detect(tmp_path) == "imagenet"


def photo(seed, noise):
    """A scene, with noise of this strength."""
    scene = np.asarray(PIL.Image.open(io.BytesIO(build.picture(40, 60, seed=seed))))
    rng = np.random.default_rng(seed)
    pixels = np.clip(scene + rng.normal(0, noise, scene.shape), 0, 255).astype(np.uint8)
    return build.encoded(PIL.Image.fromarray(pixels), "PNG")


def test_weather_is_a_pair_only_where_the_pictures_are_alike(tmp_path):
    for number in range(4):
        for folder, seed, noise in (("rain", number, 30), ("clear", number, 0)):
            build.saved(tmp_path / "pairs" / folder / f"{number}.png", photo(seed, noise))
            build.saved(tmp_path / "classes" / folder / f"{number}.png",
                        photo(seed + 50 * (folder == "rain"), 0))  # fmt: skip
    assert detect(tmp_path / "pairs") == "pairs"
    with pytest.raises(SourceError, match=r"--format pairs or --format folder"):
        detect(tmp_path / "classes")
    listing = source("folder").scan(tmp_path / "classes")
    assert listing.labels == ("clear", "rain")


def test_a_second_folder_that_may_hold_the_labels(tmp_path):
    """DRIVE: mask is the field of view, 1st_manual the vessels."""
    flat = PIL.Image.fromarray(np.eye(8, dtype=np.uint8))
    content = {}
    for number in range(3):
        content[f"training/images/{number}_training.png"] = build.picture(8, 8, kind="PNG")
        content[f"training/mask/{number}_training_mask.png"] = build.encoded(flat, "PNG")
        content[f"training/1st_manual/{number}_manual1.png"] = build.encoded(flat, "PNG")
    build.written(tmp_path, content)
    with pytest.raises(SourceError, match=r"training/mask or those of training/1st_manual, 3 each"):
        detect(tmp_path)
    assert len(segmentation.scan(tmp_path).references) == 3


@pytest.mark.parametrize(("largest", "names"), [(2, ("0", "1", "2")), (11, None)])
def test_small_values_of_trainannot_are_not_camvids(tmp_path, largest, names):
    values = np.arange(largest + 1, dtype=np.uint8)[None].repeat(4, 0)
    label = build.encoded(PIL.Image.fromarray(values), "PNG")
    picture = build.picture(4, largest + 1, kind="PNG")
    content = {f"{split}{end}/a.png": data for split in ("train", "val")
               for end, data in (("", picture), ("annot", label))}  # fmt: skip
    listing = segmentation.scan(build.written(tmp_path, content))
    if names:
        assert listing.labels == names
    else:
        assert listing.labels[0] == "Sky"
        assert any("CamVid" in note for note in listing.notes)
