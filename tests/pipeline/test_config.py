"""Recipes: strict keys, checked types, overrides, and a dump that loads again."""

from __future__ import annotations

import pathlib

import pydantic
import pytest

from convoy.pipeline import config, hints, recipe_yaml
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import ConfigError

ROOT = pathlib.Path(__file__).resolve().parents[2]
MINIMAL = "name: cells\ntask: detection\n"


def load(tmp_path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return config.load(path, overrides)


def test_defaults(tmp_path):
    recipe = load(tmp_path, MINIMAL)
    assert (recipe.name, recipe.task, recipe.data.test) == ("cells", "detection", "val")
    assert (recipe.train.batch_size, recipe.export.iou_threshold) == (32, 0.45)


def test_values_are_read_and_converted(tmp_path):
    text = MINIMAL + "model: {input_size: [240, 320]}\ntrain: {epochs: 3, step_epochs: [1, 2.5]}\n"
    recipe = load(tmp_path, text + "augment: {zoom: [0.5, 2]}\n")
    assert recipe.model.input_size == (240, 320)
    assert recipe.train.step_epochs == (1.0, 2.5)
    assert recipe.augment.zoom == (0.5, 2.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("trian: {epochs: 3}", "trian: unknown key; did you mean 'train'?"),
        ("train: {epoch: 3}", "train.epoch: unknown key; did you mean 'epochs'?"),
        ("train: {lr: 3}", "train.lr: unknown key; did you mean 'learning_rate'?"),
        (
            "train: {mode: fine_tune, stages: [{epochs: 1, lr: 3}]}",
            "train.stages.0.lr: unknown key; did you mean 'learning_rate'?",
        ),
        ("lr: 3", "lr: unknown key; did you mean 'train.learning_rate'?"),
        ("epochs: 3", "epochs: unknown key; did you mean 'train.epochs'?"),
        ("train: {input_size: [9, 9]}", "train.input_size: unknown key; did you mean 'model.inp"),
        ("train: {batch: 8}", "train.batch: unknown key; did you mean 'batch_size'?"),
        ("model: {pretrained: true}", "model.pretrained: unknown key; did you mean 'weights'?"),
        ("data: {classes: [a]}", "data.classes: unknown key; did you mean 'labels'?"),
        ("augment: {flip: 1}", "flip: unknown key; did you mean 'flip_horizontal' or 'flip_ver"),
        ("ingest: {augment: {flip: 1}}", "ingest.augment.flip: unknown key; did you mean 'flip_h"),
        ("augment: {rotate: 3}", "augment.rotate: unknown key; did you mean 'rotate_deg'?"),
        (
            "ingest: {augment: {flip_horizonal: 1}}",
            "ingest.augment.flip_horizonal: unknown key; did you mean 'flip_horizontal'?",
        ),
        ("push: {qqqq: 1}", "push.qqqq: unknown key; known keys: model_dir, keep"),
    ],
)
def test_an_unknown_key_names_the_closest(tmp_path, line, message):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, MINIMAL + line)
    assert message in str(caught.value)
    assert "recipe.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "where", "received"),
    [
        ("train: {epochs: many}", "train.epochs", "'many'"),
        ("train: {batch_size: 1.5}", "train.batch_size", "1.5"),
        ("train: {batch_size: 0}", "train.batch_size", "0"),
        ("train: {optimizer: adm}", "train.optimizer", "'adm'"),
        ("data: {holdout: 1}", "data.holdout", "1"),
        ("augment: {zoom: [1]}", "augment.zoom.1", "[1]"),
        ("evaluate: {tta: [flop]}", "evaluate.tta", "['flop']"),
        ("evaluate: {tta: flip}", "evaluate.tta", "'flip'"),
        ("augment: {zoom: [0, 1]}", "augment.zoom.0", "0"),
        ("model: {input_size: [240, wide]}", "model.input_size.1", "'wide'"),
        ("name: a/b", "name", "'a/b'"),
        ("task: segments", "task", "'segments'"),
        ("train: 5", "train", "5"),
        ("train:", "train", "None"),
    ],
)
def test_wrong_values_name_the_key_and_what_came(tmp_path, line, where, received):
    kept = [row for row in MINIMAL.splitlines() if row.split(":")[0] != line.split(":")[0]]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "\n".join([*kept, line]))
    assert f": {where}: " in str(caught.value)
    assert received in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: {input_size: 96}", "expected [height, width], e.g. [96, 96], got 96"),
        ("model: {input_size: 96x128}", "[height, width], e.g. [96, 128], got '96x128'"),
        ("model: {input_size: [9, 9, 3]}", "two numbers [height, width], got [9, 9, 3]"),
        ("model: resnet50", "model: expected keys, e.g. {name: resnet50}, got 'resnet50'"),
        ("data: pictures", "data: expected keys, e.g. {path: pictures}, got 'pictures'"),
        ("data: {labels: cat}", "data.labels: expected a list, e.g. [cat], got 'cat'"),
        ("data: {labels: [1]}", "data.labels.0: expected text, got 1; it needs quotes"),
        ("data: {labels: [no]}", "expected text, got False; yes, no, on, off, true, false as text"),
        ("train: {step_epochs: 30}", "train.step_epochs: expected a list, e.g. [30], got 30"),
        ("train: {precision: bfloat16}", "precision: did you mean 'mixed_bfloat16'? expected 'flo"),
        ("train: {optimizer: Adam}", "train.optimizer: did you mean 'adam'? expected 'sgd'"),
        ("augment: {zoom: 2}", "augment.zoom: expected two numbers [low, high], got 2"),
        ("augment: true", "augment: expected a policy or fields, e.g. slides, or {flip_horizontal"),
        ("schedule: daily", "cron line of five fields such as \"0 3 * * *\", got 'daily'"),
        ("schedule: 3", 'expected a cron line of five fields such as "0 3 * * *", got 3'),
        ("schedule: * 3 * * *", "a value that begins with * needs quotes"),
        ("task: detect", "task: no task is called 'detect'; did you mean 'detection'?"),
        ("base: /x", "base: unknown key; known keys: name, task"),
        ("train: {stages: null}", "train.stages: expected a list, got None"),
        ("data: {format: vok}", "data.format: did you mean 'voc'?"),
    ],
)
def test_what_a_newcomer_writes_is_answered_with_what_is_meant(tmp_path, line, message):
    kept = [row for row in MINIMAL.splitlines() if row.split(":")[0] != line.split(":")[0]]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "\n".join([*kept, line]))
    assert message in str(caught.value)


def test_common_names_mean_keys_that_exist():
    known = {
        f"{s}.{k}"
        for s in Recipe.model_fields
        if (c := hints.section_of(Recipe, s))
        for k in c.model_fields
    } | set(Recipe.model_fields)
    for name, keys in hints.COMMON.items():
        assert set(keys) <= known, name
        section, _, _ = keys[0].rpartition(".")
        assert name not in (hints.section_of(Recipe, section) if section else Recipe).model_fields
    assert hints.key_named(Recipe, "epochs") == "train.epochs"
    assert hints.key_named(Recipe, "lr") == "train.learning_rate"
    assert hints.key_named(Recipe, "ingest.augment.hue") == "ingest.augment.hue"
    assert hints.key_named(Recipe, "train.hue") is hints.key_named(Recipe, "tarin") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "train: {keep: 3}\nseed: 1\ntrain: {epochs: 3}\n",
            "'train' stands on line 3 and again on line 5",
        ),
        (
            "train:\n  epochs: 3\n  keep: 2\n  epochs: 4\n",
            "'epochs' stands on line 4 and again on line 6",
        ),
    ],
)
def test_a_key_twice_is_an_error_that_names_both_lines(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, MINIMAL + text)


def test_a_key_twice_in_an_override(tmp_path):
    with pytest.raises(
        ConfigError, match=r"--set train.*'epochs' stands on line 1 and again on line 1"
    ):
        load(tmp_path, MINIMAL, "train={epochs: 1, epochs: 2}")


def test_a_merged_mapping_may_be_overridden():
    """YAML's own `<<` is no repetition."""
    raw = recipe_yaml.read("a: &base {x: 1, y: 2}\nb: {<<: *base, y: 3}\n")
    assert raw["b"] == {"x": 1, "y": 3}


def test_what_a_task_allows_is_in_its_row(tmp_path):
    weights = "model: {weights: imagenet, name: vgg16}\ntrain: {mode: extract}\n"
    with pytest.raises(ConfigError, match="extract is for classification, the task is detection"):
        load(tmp_path, MINIMAL + weights)
    with pytest.raises(ConfigError, match="weldon is for classification and multilabel, not detec"):
        load(tmp_path, MINIMAL + "model: {head: weldon}\n")


def test_all_mistakes_are_told_at_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "name: x\ntrain: {epoch: 3, keep: 0}\n")
    for part in ("task: Field required", "train.epoch: unknown key", "train.keep: "):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "expected `key: value` lines, got list"),
        ("", "expected `key: value` lines, got NoneType"),
        ("a: !!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_bad_yaml(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text)


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing.yaml: cannot be read: No such file"):
        config.load(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        config.load(tmp_path)


def test_overrides_are_yaml_values(tmp_path):
    recipe = load(
        tmp_path,
        MINIMAL + "train: {epochs: 3, keep: 4}\n",
        "train.epochs=5",
        "data.path=a=b",
        "model.input_size=[64, 96]",
        "ingest.augment.hue=0.2",
        "data.val=null",
        "seed=9",
        "train={epochs: 7}",
    )
    assert (recipe.train.epochs, recipe.train.keep) == (7, 2)  # the last one took the section
    assert (recipe.data.path, recipe.data.val, recipe.seed) == ("a=b", None, 9)
    assert recipe.model.input_size == (64, 96)
    assert recipe.ingest.augment.hue == 0.2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "--set train.epochs: expected section.key=value"),
        ("train.epochs=[", "the value is not valid YAML"),
        ("name.x=1", "name is a value, not a section"),
        ("train.epoch=1", "did you mean 'epochs'"),
        ("train.epochs=-1", "train.epochs: "),
    ],
)
def test_wrong_overrides(tmp_path, override, message):
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        load(tmp_path, MINIMAL, override)


def test_dump_is_a_recipe_again(tmp_path):
    given = "train: {max_hours: 0.5, step_epochs: [1, 2]}\naugment: {zoom: [0.5, 2]}\n"
    recipe = load(tmp_path, MINIMAL + given + "data: {labels: ['1', 'no', ünï]}\n")
    text = config.dump(recipe)
    assert load(tmp_path, text) == recipe
    assert config.dump(load(tmp_path, text)) == text
    assert "shuffle_buffer: 2048" in text  # defaults are written out


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_the_recipes_that_come_along_load(tmp_path, path):
    recipe = config.load(path)
    assert load(tmp_path, config.dump(recipe)) == recipe


def test_recipes_are_frozen(tmp_path):
    recipe = load(tmp_path, MINIMAL)
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        recipe.seed = 1
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        recipe.train.epochs = 1
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        recipe.augment.hue = 0.1


def test_a_field_of_a_named_policy_is_overridden(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: a\ntask: detection\naugment: ssd\n")
    plain, changed = config.load(path), config.load(path, ("augment.hue=0.25",))
    assert changed.augment.hue == 0.25
    assert changed.augment == plain.augment.model_copy(update={"hue": 0.25})
    assert changed.augment.iou_crop


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "{cat: -1}",
            "train.class_weights.cat: Input should be greater than or equal to 0, got -1",
        ),
        ("[1, -2]", "train.class_weights.1: Input should be greater than or equal to 0, got -2"),
        (
            "atuo",
            "train.class_weights: did you mean 'auto'? expected 'none', 'auto' or 'median', or "
            "weights by name, e.g. {cat: 2, dog: 0.5}, got 'atuo'",
        ),
    ],
)
def test_a_value_of_several_forms_has_one_message(tmp_path, written, said):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, f"{MINIMAL}train: {{class_weights: {written}}}\n")
    assert str(error.value) == f"{tmp_path / 'recipe.yaml'}: {said}"
