"""The table of tasks: what a network can learn and answer. Reading it imports no TensorFlow.

A task is three things: its row here; `models/TASK/`, what is learnt and what is answered (the row's
module); `pipeline/tasks/TASK.py`, how its answers are measured, drawn and written. Nothing else
names a task. Of the tasks of one kind of network its own comes first.
"""

from __future__ import annotations

import difflib
from typing import NamedTuple


class TaskRow(NamedTuple):
    module: str  # dotted path; its build(network, **options) makes a models.spec.Task
    networks: str  # task of the families of networks that it is built from
    fields: tuple[str, ...]  # of data/input/parse.py: what `encode` is given of a record
    request: str  # what a served model is sent, of REQUESTS
    metrics: tuple[str, ...]  # that the gate may look at: more is better
    gate: str  # what it looks at where the recipe names no metric
    options: tuple[str, ...] = ()  # that its build takes beside the network's own
    limits: tuple[str, ...] = ()  # keys of a recipe's `export` that its decoding takes
    modes: tuple[str, ...] = ("scratch", "fine_tune")  # of a recipe's train.mode
    heads: tuple[str, ...] = ("own",)  # of a recipe's model.head
    priors: bool = False  # whether its networks may learn by reference boxes
    picture_scores: bool = True  # whether an answer's `scores` [K] are of the whole picture
    # How answers about several views of a picture become one: "mean" of the scores, "boxes" brought
    # back and suppressed, "" = not at all.
    views: str = ""
    # ... and about its tiles: "boxes", or "maps", of which each gives its middle.
    tiles: str = ""
    # Of the records: the file and the manifest's key of class names; "" = they are made of what is
    # learnt, by `labels_of` of pipeline/tasks/TASK.py, and answers do not depend on their order.
    label_map: str = "labels"
    # What is learnt cannot be without: "class" of every sample, "object" and "caption" of some
    # picture that is trained on, "target", the restored picture, of every sample; "" = all may be
    # without.
    needs: str = ""


# What a served model is sent -> the name of its input.
REQUESTS = {"image": "image_bytes", "text": "text", "signal": "signal_bytes"}
_CLASSES = ("top1", "top5")
_BOXES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
    *("voc07_mAP", "voc_mAP"),
)

TASKS = {
    "classification": TaskRow(
        "convoy.models.classification.task",
        "classification",
        ("labels",),
        "image",
        _CLASSES,
        "top1",
        options=("label_smoothing", "class_weights"),
        modes=("scratch", "fine_tune", "extract"),
        heads=("own", "weldon"),
        views="mean",
        needs="class",
    ),
    "multilabel": TaskRow(
        "convoy.models.classification.multilabel",
        "classification",
        ("labels", "boxes"),  # classes of the picture, or of its objects
        "image",
        ("voc_mAP", "voc07_mAP", "exact_match", "F1", "macro_F1"),
        "voc_mAP",
        options=("label_loss",),
        limits=("label_threshold", "label_count"),
        heads=("own", "weldon"),
    ),
    "attributes": TaskRow(
        "convoy.models.classification.attributes",
        "classification",
        ("labels",),
        "image",
        ("accuracy", "exact_match", "balanced_accuracy"),
        "accuracy",
        options=("groups",),
    ),
    "localization": TaskRow(
        "convoy.models.classification.localization",
        "classification",
        ("boxes",),
        "image",
        ("loc_top1", "loc_top5", "iou50", "mean_iou", *_CLASSES),
        "loc_top1",
        needs="object",
    ),
    "detection": TaskRow(
        "convoy.models.detection.task",
        "detection",
        ("boxes",),
        "image",
        _BOXES,
        "AP50",
        limits=("score_threshold", "iou_threshold", "max_detections", "suppression"),
        priors=True,
        picture_scores=False,
        views="boxes",
        tiles="boxes",
        needs="object",
    ),
    "instance": TaskRow(
        "convoy.models.instance.task",
        "instance",
        ("boxes", "masks"),
        "image",
        (*(f"mask_{name}" for name in _BOXES[:12]), "APr50", "APr70", *_BOXES),
        "mask_AP50",
        limits=("score_threshold", "iou_threshold", "max_detections"),
        priors=True,
        picture_scores=False,
        needs="object",
    ),
    "segmentation": TaskRow(
        "convoy.models.segmentation.task",
        "segmentation",
        ("segmentation",),
        "image",
        ("mIoU", "pixel_accuracy", "mean_accuracy", "fwIoU", "boundary_F1"),
        "mIoU",
        options=("class_weights", "dice", "border_weight"),
        picture_scores=False,
        tiles="maps",
        label_map="segmentation_labels",
    ),
    "restoration": TaskRow(
        "convoy.models.restoration.task",
        "restoration",
        ("target",),
        "image",
        ("PSNR", "SSIM"),
        "PSNR",
        options=("scale",),
        modes=("scratch",),
        picture_scores=False,
        needs="target",
    ),
    "pose": TaskRow(
        "convoy.models.pose.task",
        "pose",
        ("boxes", "keypoints", "unlabelled"),
        "image",
        ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl", "PCK", "PCKh"),
        "AP",
        options=("keypoints",),
        limits=("score_threshold", "max_detections"),
        picture_scores=False,
        label_map="keypoints",
        needs="object",
    ),
    "captioning": TaskRow(
        "convoy.models.captioning.task",
        "captioning",
        ("captions",),
        "image",
        ("BLEU1", "BLEU2", "BLEU3", "BLEU4", "ROUGE_L", "CIDEr_D"),
        "BLEU4",
        options=("words", "max_words", "scheduled_sampling", "sampling_epochs"),
        limits=("beam",),
        picture_scores=False,
        label_map="",
        needs="caption",
    ),
    "text": TaskRow(
        "convoy.models.text.task",
        "text",
        ("sentence", "labels"),  # without a picture
        "text",
        _CLASSES,
        "top1",
        options=("label_smoothing", "class_weights", "vocabulary"),
        needs="class",
    ),
    "signals": TaskRow(
        "convoy.models.signals.task",
        "signals",
        ("signal", "labels"),  # without a picture
        "signal",
        _CLASSES,
        "top1",
        options=("label_smoothing", "class_weights", "series"),
        needs="class",
    ),
}

# Of a recipe that only looks at records: no network is known whose priors could be checked, nor
# whether every picture must have a class.
RECORDS_ALONE = "multilabel"


def row(task: str) -> TaskRow:
    """Raises ValueError that names the closest task for a name that is none."""
    if task not in TASKS:
        close = difflib.get_close_matches(task, TASKS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(TASKS)}"
        raise ValueError(f"no task is called {task!r}; {hint}")
    return TASKS[task]
