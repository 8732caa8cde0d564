"""Records that lack what a task learns are refused by name, exit code 3, before any training."""

import json

import pytest

from convoy.pipeline import cli, config
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params
from convoy.pipeline.errors import Refused
from convoy.pipeline.manifest import manifest_of
from convoy.pipeline.validation.data_checks import check_annotation
from tests.data import build

ONE = ("--direct_num_workers=1",)


def recipe(task, **changed):
    raw = {"name": "a", "task": task, "data": {"path": "p", "val": None, "test": "val"}}
    return config.parse({**raw, **changed})


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """24 pictures of a table, one in train without a class and without objects."""
    root = tmp_path_factory.mktemp("set")
    rows = ["filename,class,xmin,ymin,xmax,ymax"]
    for number in range(24):
        split = "train" if number < 20 else "val"
        name = f"{split}/{number:02d}.jpg"
        build.saved(root / name, build.picture(seed=number))
        rows.append(f"{name},,,,," if number == 3 else f"{name},cat,1,2,9,9")
    (root / "boxes.csv").write_text("\n".join(rows))
    out = tmp_path_factory.mktemp("out")
    example_gen.run({"source": root}, Params(beam=ONE), out)
    return manifest_of(out)


def test_one_picture_without_a_class(manifest):
    assert manifest["splits"]["train"]["without_class"] == 1
    with pytest.raises(Refused, match=r"1 of 20 records of split 'train' .* train/03.jpg") as told:
        check_annotation(manifest, recipe("classification"))
    assert told.value.exit_code == 3


@pytest.mark.parametrize("task", ["detection", "multilabel", "localization"])
def test_tasks_that_learn_of_empty_pictures_too(manifest, task):
    check_annotation(manifest, recipe(task))


def test_no_object_at_all(manifest):
    bare = json.loads(json.dumps(manifest))
    bare["splits"]["train"] |= {"without_object": 20, "lacking": {"object": ["a.jpg"]}}
    with pytest.raises(Refused, match="20 of 20 records of split 'train' have no object"):
        check_annotation(bare, recipe("detection"))
    check_annotation(bare, recipe("multilabel"))


def test_no_caption_at_all_and_some(manifest):
    """The pictures of the table have none; where some have, the others do not matter."""
    with pytest.raises(Refused, match=r"20 of 20 records of split 'train' have no caption") as told:
        check_annotation(manifest, recipe("captioning"))
    assert "captioning learns of pictures with captions" in str(told.value)
    some = json.loads(json.dumps(manifest))
    some["splits"]["train"] |= {"without_caption": 19}
    check_annotation(some, recipe("captioning"))


@pytest.mark.parametrize("verb", ["train", "run"])
def test_a_classifier_of_pictures_without_classes(tmp_path, capfd, verb):
    for number in range(24):
        build.saved(tmp_path / "set" / f"{number}.jpg", build.picture(seed=number))
    raw = f"""
name: a
task: classification
run_dir: {tmp_path}/run
data: {{path: {tmp_path}/set, train: train, val: null, test: val}}
model: {{name: lenet5}}
train: {{epochs: 1, batch_size: 4}}
ingest: {{beam: ["--direct_num_workers=1"]}}
"""
    (tmp_path / "a.yaml").write_text(raw)
    code = cli.main(["convoy", verb, str(tmp_path / "a.yaml"), "--json"])
    out = capfd.readouterr().out.splitlines()[-1]
    assert code == 3
    assert "have no class, such as" in json.loads(out)["error"]
