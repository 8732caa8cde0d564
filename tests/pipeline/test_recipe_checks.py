"""What is wrong with a recipe is said before any work is done for it."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.models.tasks import TASKS
from convoy.pipeline import cli, config, steps
from convoy.pipeline.evaluation import (
    classification,
    coco,
    localization,
    multilabel,
    segmentation,
    voc,
)
from convoy.pipeline.tasks import attributes, captioning, instance, pose, restoration
from convoy.pipeline.validation import recipe_checks

STAGE = {"epochs": 1, "learning_rate": 0.1}
TUNED = {"name": "mobilenet_v1", "width": 0.25, "input_size": [32, 32], "weights": "a.pth"}


def recipe(tmp_path, **content):
    raw = {"name": "tiny", "task": "classification", "run_dir": str(tmp_path / "run"), **content}
    return config.parse(raw)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"name": "resnet5O"}}, "closest names are resnet50, resnet152, resnet34"),
        (
            {"model": {"name": "ssd_mobilenet_v1"}},
            "ssd_mobilenet_v1 is for detection, not for classification",
        ),
        ({"task": "text", "model": {"name": "lenet5"}}, "lenet5 is for classification and"),
        (
            {"model": {"name": "lenet5"}, "train": {"class_weights": "median"}},
            "train.class_weights: median is of the pixels of label maps; expected auto",
        ),
        (
            {"task": "multilabel", "model": {"name": "lenet5"}, "train": {"balance": 0.5}},
            "train.balance is for classification and text and signals, not for multilabel",
        ),
        (
            {
                "model": {"name": "lenet5", "init_from": "run"},
                "train": {"balance": 1, "mode": "extract"},
            },
            "train.balance is not used where train.mode is extract",
        ),
        (
            {"model": {"name": "lenet5"}, "train": {"head": "svm"}},
            "train.head: expected linear where train.mode is scratch, got svm",
        ),
        ({"model": {"name": "lenet5", "width": 0.5}}, "lenet5 has no width: leave it at 1.0"),
        ({"model": {"name": "lenet5", "input_size": [64, 64]}}, "expected an input of 28x28 px"),
        (
            {"model": {"name": "lenet5"}, "evaluate": {"metric": "top-1"}},
            "evaluate.metric 'top-1': did you mean 'top1'? of classification there are top1, top5",
        ),
        (
            {"model": {"name": "lenet5"}, "evaluate": {"metric": "AP50"}},
            "of classification there are top1, top5",
        ),
        (
            {"task": "multilabel", "model": {"name": "lenet5"}, "evaluate": {"tta": ["flip"]}},
            "evaluate.tta: is for classification and detection, the task is multilabel",
        ),
        (
            {"task": "captioning", "model": {"name": "lenet5"}},
            "lenet5 is for classification and",
        ),
        (
            {
                "model": TUNED,
                "train": {"mode": "fine_tune", "stages": [{"unfreeze": "s7"} | STAGE]},
            },
            "unfreeze 's7': mobilenet_v1 has head, all, s",
        ),
        (
            {"model": TUNED | {"feature_layer": "block99"}, "train": {"mode": "extract"}},
            "model.feature_layer: mobilenet_v1 has no layer 'block99'; the closest are block",
        ),
    ],
)
def test_mistakes_are_found_before_the_data_is_read(tmp_path, content, message):
    """data.path names nothing: had the run begun, that would be the error."""
    wrong = recipe(tmp_path, data={"path": str(tmp_path / "nothing")}, **content)
    for plan in (False, True):
        with pytest.raises(config.ConfigError) as caught:
            steps.run(steps.Job(wrong, plan=plan), "pusher")
        assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_source_of_weights_that_is_not_there(tmp_path):
    model = {"name": "lenet5", "init_from": str(tmp_path / "nothing")}
    with pytest.raises(FileNotFoundError, match="holds no trained network"):
        recipe_checks.run(recipe(tmp_path, model=model))


def test_the_ingest_asks_nothing_of_the_network(tmp_path):
    wrong = recipe(tmp_path, model={"name": "resnet5O"}, data={"path": str(tmp_path / "nothing")})
    with pytest.raises(FileNotFoundError, match="no such folder"):
        steps.run(steps.Job(wrong), "example_gen")


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"name": "lenet5"}, "evaluate": {"metric": "top5"}},
        {"task": "text", "model": {"name": "text_cnn_multichannel", "dropout": 0.5}},
        {"task": "detection", "model": {"name": "ssd_mobilenet_v1", "width": 0.5}},
        {"task": "signals", "model": {"name": "wave_m5", "samples": 4000, "dropout": 0.5}},
        {"task": "pose", "model": {"name": "openpose_mobilenet", "width": 0.5}},
        {"task": "pose", "model": {"name": "keypoint_regression", "backbone": "resnet18"}},
        {"task": "multilabel", "model": {"name": "mobilenet_v1", "head": "weldon"}},
        {
            "task": "captioning",
            "model": {"name": "show_and_tell", "backbone": "resnet18", "max_words": 16},
            "train": {"scheduled_sampling": 0.25},
            "evaluate": {"metric": "CIDEr_D"},
        },
        {
            "model": TUNED,
            "train": {
                "mode": "fine_tune",
                "stages": [{"unfreeze": "s16"} | STAGE],
                "backbone_rate": 0.5,
            },
        },
    ],
)
def test_what_is_right_passes(tmp_path, content):
    recipe_checks.run(recipe(tmp_path, **content))


def test_a_wrong_network_is_a_wrong_recipe_to_the_command_line(tmp_path, capsys):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: tiny\ntask: classification\nmodel: {name: resnet5O}\n")
    assert cli.main(["convoy", "train", str(path), "--set", f"run_dir={tmp_path}/run"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_gates_metrics_are_what_the_evaluation_gives():
    """Without samples; lower is better for box_error, and chance_mAP and counts are no aims."""
    none = multilabel.multilabel_metrics(
        *[np.zeros((1, 1), int)] * 2, np.zeros((1, 1), bool), ["a"]
    )
    found = {
        "classification": classification.classification_metrics([], np.zeros((0, 1)), ["a"]),
        "multilabel": none,
        "localization": localization.localization_metrics([], [], ["a"]),
        "detection": {**coco.coco_metrics([], [], ["a"]), **voc.voc_metrics([], [], ["a"])},
    }
    found["text"] = found["signals"] = found["classification"]
    found["segmentation"] = segmentation.Pixels(1).result(["a"])
    found["instance"] = instance.Metrics(["a"]).result()
    found["attributes"] = attributes.Metrics(["a=1"]).result()
    found["pose"] = pose.Metrics(["a"]).result()
    found["captioning"] = captioning.Metrics(["a"]).result()
    found["restoration"] = restoration.Metrics(["a"]).result()
    other = {"errors_by_kind", "pictures_without_masks", "objects_without_pixels"}
    other |= {"per_class", "confusion", "pictures", "without_object", "chance_mAP", "box_error"}
    other |= {"ignored_pixels", "better", "too_small", "too_small_for_SSIM"}
    other |= {"NME", "nme_by", "people", "not_found", "without_keypoints"}
    other |= {"without_caption", "mean_words"}
    other |= {"PSNR_before", "SSIM_before", "most_frequent", "per_property"}
    assert {task: {*got} - other for task, got in found.items()} == {
        task: {*row.metrics} for task, row in TASKS.items()
    }
    assert all(row.gate in row.metrics for row in TASKS.values())
