"""Named policies, and how a recipe names and changes them."""

from __future__ import annotations

import pydantic
import pytest
import yaml

from convoy.data.augment.policy import POLICIES, Augment
from convoy.pipeline.config import dump, parse
from convoy.pipeline.errors import ConfigError

RECIPE = {"name": "a", "task": "detection"}


def test_the_names():
    assert set(POLICIES) == {"none", "slides", "alexnet", "inception", "ssd", "yolo", "unet"}
    assert POLICIES["none"] == Augment()
    for name, policy in POLICIES.items():
        assert name == "none" or policy != Augment()


def test_numbers_of_the_papers():
    assert POLICIES["inception"].crop_area == (0.08, 1.0)
    assert POLICIES["inception"].crop_aspect == (3 / 4, 4 / 3)
    assert POLICIES["alexnet"].crop == (0.875, 0.875)
    assert POLICIES["alexnet"].pca_color == 0.1
    ssd = POLICIES["ssd"]
    assert (ssd.expand, ssd.expand_factor, ssd.iou_crop) == (0.5, 4.0, 1.0)
    assert ssd.brightness * 255 == pytest.approx(32)
    assert ssd.hue * 360 == pytest.approx(18)
    assert (POLICIES["yolo"].jitter, POLICIES["yolo"].exposure) == (0.3, 1.5)
    assert POLICIES["unet"].elastic * 512 == pytest.approx(10)


def test_a_name_is_its_fields():
    for name, policy in POLICIES.items():
        assert Augment.model_validate(name) == policy
        assert Augment.model_validate({"policy": name}) == policy


def test_fields_change_a_named_policy():
    changed = Augment.model_validate({"policy": "ssd", "hue": 0.02, "flip_horizontal": 0.0})
    assert changed == POLICIES["ssd"].model_copy(update={"hue": 0.02, "flip_horizontal": 0.0})


@pytest.mark.parametrize("section", ["augment", "ingest"])
def test_in_a_recipe_and_back(section):
    given = {"policy": "yolo", "shift": 0.1}
    raw = {"augment": given} if section == "augment" else {"ingest": {"augment": given}}
    recipe = parse({**RECIPE, **raw})
    found = recipe.augment if section == "augment" else recipe.ingest.augment
    assert (found.jitter, found.shift) == (0.3, 0.1)
    printed = dump(recipe)
    assert "jitter: 0.3" in printed
    assert "policy" not in printed
    assert parse(yaml.safe_load(printed)) == recipe


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("slidez", "no augmentation policy is called 'slidez'; did you mean 'slides'?"),
        ({"policy": "resnet"}, "called 'resnet'"),
        ({"policy": 3}, "called 3; known: none, slides"),
        ({"policy": "ssd", "hew": 1}, "augment.hew: unknown key; did you mean 'hue'?"),
        ({"policy": "ssd", "crop": [0.5, 1]}, "at most one kind of crop can be drawn"),
        ({"zoom": [2.0, 1.0]}, "zoom: expected the lower end first"),
        ({"jpeg_quality": [90, 20]}, "jpeg_quality: expected the lower end first"),
        ({"crop_area": [0.5, 2.0]}, "augment.crop_area.1"),
    ],
)
def test_mistakes_are_explained(given, said):
    with pytest.raises(ConfigError) as error:
        parse({**RECIPE, "augment": given})
    assert said in str(error.value)


def test_a_list_of_names_is_unknown_not_a_crash():
    with pytest.raises(pydantic.ValidationError):
        Augment.model_validate({"policy": ["ssd"]})
    with pytest.raises(pydantic.ValidationError):
        Augment.model_validate(["ssd"])
