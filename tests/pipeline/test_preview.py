"""`convoy preview`: what is drawn is what the trainer's input holds."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data import example, tfrecord
from convoy.data.sample import Sample
from convoy.pipeline import cli, config
from convoy.pipeline.tools import preview

DETECT = {
    "name": "seen",
    "task": "detection",
    "data": {"format": "voc", "path": "unused", "train": "train", "val": None, "test": "val"},
    "model": {"name": "ssd_mobilenet_v1", "input_size": [96, 128], "width": 0.25},
    "train": {"batch_size": 8},
}


def labels_of(records):
    return (records / "labels.txt").read_text().split()


def test_objects_masks_and_priors_of_a_detector(digits_records, tmp_path):
    recipe = config.parse({**DETECT, "augment": {"rotate_deg": 20}}, "test")
    told = preview.run(recipe, digits_records, tmp_path, batches=2)
    assert [path.rpartition("/")[2] for path in told["pictures"]] == ["batch1.png", "batch2.png"]
    assert len(told["samples"]) == 16
    assert json.loads((tmp_path / "preview.json").read_text()) == told["samples"]
    for sample in told["samples"]:
        assert set(sample["objects"]) <= set(labels_of(digits_records))
        assert sample["priors"] >= len(sample["objects"]) > 0
    page = PIL.Image.open(told["pictures"][0])
    assert page.width > 4 * 320
    assert len(page.getcolors(1 << 24)) > 1000


def test_the_masks_follow_their_boxes(digits_records):
    """A mask's pixels fill its box to within a pixel, whatever was drawn."""
    recipe = config.parse({**DETECT, "augment": {"flip_horizontal": 0.5, "zoom": [0.7, 1.3]}}, "t")
    from convoy.pipeline.networks import network

    task = network.build(recipe.model, labels_of(digits_records), recipe.train)
    stream = preview.stream_of(recipe, digits_records, task, labels_of(digits_records))
    assert stream.fields == ("boxes", "masks", "segmentation")
    compared = 0
    for batch in preview.training_batches(stream).take(1):
        targets = {
            name: value.numpy() for name, value in batch["targets"].items() if name != "encoded"
        }
        for box, mask, valid in zip(
            *(
                targets[name].reshape(-1, *targets[name].shape[2:])
                for name in ("boxes", "masks", "valid")
            ),
            strict=True,
        ):
            if not valid:
                continue
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            hull = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            np.testing.assert_allclose(hull, box, atol=1.5)
            compared += 1
    assert compared > 8


def test_mixed_pictures_tell_their_shares(class_records, tmp_path):
    recipe = config.parse(
        {
            **DETECT,
            "task": "classification",
            "model": {"name": "resnet18", "input_size": [32, 32]},
            "augment": {"mixup": 0.4},
        },
        "test",
    )
    told = preview.run(recipe, class_records, tmp_path, batches=1)
    shares = [[float(label.split()[-1]) for label in s["labels"]] for s in told["samples"]]
    assert all(sum(row) == pytest.approx(1, abs=0.02) for row in shares)
    assert any(len(row) == 2 for row in shares)


@pytest.mark.slow
def test_label_maps_lie_on_what_is_inside_the_margin(digits_records, tmp_path):
    """U-Net's own augmentation and weights: bent, turned, the border mirrored around it."""
    recipe = config.parse(
        {
            **DETECT,
            "task": "segmentation",
            "model": {"name": "unet", "input_size": [252, 268], "width": 0.1},
            "augment": "unet",
            "train": {"batch_size": 4, "border_weight": 10},
        },
        "test",
    )
    told = preview.run(recipe, digits_records, tmp_path, batches=1)
    assert len(told["samples"]) == 4
    from convoy.pipeline.networks import network

    labels = (digits_records / "segmentation_labels.txt").read_text().split()
    task = network.build(recipe.model, labels, recipe.train, task="segmentation")
    stream = preview.stream_of(recipe, digits_records, task, labels_of(digits_records))
    (batch,) = preview.training_batches(stream).take(1)
    targets = batch["targets"]["encoded"]
    assert batch["image"].shape == (4, 252, 268, 1)
    assert targets["labels"].shape == targets["weights"].shape == (4, 68, 84)
    image = batch["image"].numpy()[..., 0]
    np.testing.assert_array_equal(image[:, 91], image[:, 93])  # as in a mirror
    np.testing.assert_array_equal(image[:, :, 176], image[:, :, 174])
    assert targets["weights"].numpy().max() > 2


def test_captions_are_shown_as_they_are_learnt(tmp_path):
    """Of two captions one per picture is drawn; words are those of the records."""
    records = tmp_path / "records"
    records.mkdir()
    picture = io.BytesIO()
    PIL.Image.new("RGB", (40, 40)).save(picture, "PNG")
    said = ("a red bird", "the bird sits")
    with open(records / "train-00000-of-00001.tfrecord", "wb") as file:
        for n in range(8):
            sample = Sample(f"p{n}", "train", picture.getvalue(), 40, 40, captions=said)
            tfrecord.write(file, example.encode(sample, ()))
    manifest = {"labels": [], "splits": {"train": {"records": 8}}, "params": {}}
    (records / "manifest.json").write_text(json.dumps(manifest))
    recipe = {
        "name": "said",
        "task": "captioning",
        "data": {"format": "coco", "path": "unused", "train": "train", "test": "train"},
        "model": {"name": "show_and_tell", "backbone": "mobilenet_v1", "least_count": 1},
        "train": {"batch_size": 4},
    }
    recipe["model"]["input_size"] = [64, 64]
    told = preview.run(config.parse(recipe, "test"), records, tmp_path, batches=2)
    assert {row["caption"] for row in told["samples"]} == {*said}


@pytest.mark.parametrize("name", ["signals", "text_classification"])
def test_what_is_no_picture_is_refused(name, tmp_path, capsys):
    words = ["convoy", "preview", f"configs/{name}.yaml", "-o", str(tmp_path)]
    assert cli.main(words) == 2
    assert "preview: draws batches of pictures, the recipe's task is" in capsys.readouterr().err
