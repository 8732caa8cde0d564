"""People by their keypoints; "classes" are the keypoints' names."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from convoy.pipeline.evaluation.poses import Poses, distances, truth_of
from convoy.pipeline.report import overlay, plots, skeletons
from convoy.pipeline.report.chosen import WorstFirst
from convoy.pipeline.tasks import RIGHT, VERDICT, Shown

__all__ = [
    "ERRORS",
    "SCORE",
    "Chosen",
    "Metrics",
    "draw",
    "found",
    "judged",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]
SCORE = 0.3  # from which the report draws

ERRORS = ("place", "missed", "background")
NEAR = 0.1  # mean distance of a person's keypoints, in longer sides of its box, that is right
FAR = 0.5  # from which on an answer is of nobody


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        self.poses = Poses(self.labels)

    def update(self, sample, answer) -> None:
        """Raises ValueError for records of another number of keypoints."""
        self.poses.update(sample, answer)

    def result(self) -> dict:
        return self.poses.result()


def fault(sample, answer) -> float | None:
    """The largest mean distance of a true person to the nearest answered one, in longer sides."""
    points = truth_of(sample, answer["keypoints"].shape[1])
    found = answer["keypoints"][: int(answer["num_people"])]
    worst = None
    for person, box in zip(points, sample.boxes, strict=True):
        if not (person[:, 2] > 0).any():
            continue
        side = max(float((box[2:] - box[:2]).max()), 1e-6)
        far = [distances(person, other) for other in found]
        near = [d[np.isfinite(d)].mean() / side for d in far if np.isfinite(d).any()]
        worst = max(worst or 0.0, min([*near, 1.0]))
    return worst or None


# Half of the pictures are those with the person who is farthest from any that was found.
Chosen = functools.partial(WorstFirst, fault)


def row(answer) -> dict:
    """keypoints [y, x, score] of each person, the best first; 0 0 0 of what was not found."""
    count = int(answer["num_people"])
    return {
        "keypoints": np.round(answer["keypoints"][:count], 3).tolist(),
        "scores": np.round(answer["scores"][:count], 4).tolist(),
    }


def named(answer) -> dict:
    """Each person's score and keypoints by name: [y, x, score], those that were found."""
    count, names = int(answer["num_people"]), [name.decode() for name in answer["class_names"]]
    people = zip(answer["keypoints"][:count], answer["scores"][:count], strict=True)
    return {
        "people": [
            {
                "score": float(score),
                "keypoints": {
                    name: point.tolist()
                    for name, point in zip(names, person, strict=True)
                    if point[2] > 0
                },
            }
            for person, score in people
        ]
    }


def summary(answer) -> str:
    return ""


def found(answer, score) -> int:
    return len(_above(answer, score))


def draw(image, answer, score):
    names = [name.decode() for name in answer["class_names"]]
    return skeletons.draw(overlay.open_picture(image), _above(answer, score), names)


def show(metrics, numbers, pairs) -> Shown:
    errors = metrics.poses.errors()
    figures = (
        {"Part of the people by their error": plots.png(_curve(errors))} if len(errors) else {}
    )
    return Shown(
        figures,
        [page(sample, answer, metrics.labels, {}) for sample, answer in pairs],
        f"The truth on the left, hidden keypoints hollow; on the right people from a score of "
        f"{SCORE} on. The worst pictures first.",
    )


def _above(answer, score: float) -> np.ndarray:
    """[N, K, 3]: people from `score` on."""
    count = int(answer["num_people"])
    people = np.array(answer["keypoints"][:count], np.float32)
    people = people[np.asarray(answer["scores"][:count]) >= score]
    people[..., 2] = np.where(people[..., 2] > 0, 2, 0)
    return people


def page(sample, answer, labels, points):
    picture, factors = overlay.fitted(sample.image)
    scale = np.array([*factors[:2], 1.0])
    truth = truth_of(sample, len(labels)) * scale
    left = skeletons.draw(picture.copy(), truth, labels)
    right = skeletons.draw(picture.copy(), _above(answer, SCORE) * scale, labels)
    page = Image.new("RGB", (2 * picture.width + 8, picture.height), overlay.PAPER)
    page.paste(left, (0, 0))
    page.paste(right, (picture.width + 8, 0))
    return overlay.caption(page, sample.source_id)


def _curve(errors: np.ndarray) -> Figure:
    """The part of all people whose error is below x; those not found never are."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    axes = figure.subplots()
    finite = errors[np.isfinite(errors)]
    axes.step([0.0, *finite], np.arange(len(finite) + 1) / len(errors), where="post")
    axes.set_xlabel("normalized mean error below")
    axes.set_ylabel("part of the people")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(0, max(0.2, float(np.quantile(finite, 0.98)) if len(finite) else 0.2))
    axes.grid(alpha=0.3)
    return figure


def judged(sample, line, labels) -> np.ndarray:
    """In falling order of score each answer takes the nearest true person that is free.

    The labels are keypoints, so nobody has a class.
    """
    answers = np.array(line["keypoints"], float).reshape(-1, len(labels), 3)
    points = truth_of(sample, len(labels))
    labelled = (points[..., 2] > 0).any(axis=1)
    sides = np.maximum((sample.boxes[:, 2:] - sample.boxes[:, :2]).max(axis=1, initial=0), 1e-6)
    found_at, rows = np.full(len(points), -1.0), []
    for answer, score in zip(answers, line["scores"], strict=True):
        far = np.array([_far(person, answer) for person in points]) / sides
        far[(found_at >= 0) | ~labelled] = np.inf
        best = int(far.argmin()) if len(far) else 0
        if len(far) and far[best] < FAR:
            found_at[best] = score
            kind = RIGHT if far[best] < NEAR else ERRORS.index("place")
            rows.append((-1, -1, score, kind, far[best], False))
        elif labelled.all():  # an object without keypoints may be anybody's
            rows.append((-1, -1, score, ERRORS.index("background"), score, False))
    rows += [(-1, -1, at, ERRORS.index("missed"), 1, True) for at in found_at[labelled]]
    return np.array(rows, VERDICT)


def shapes(line, labels) -> dict:
    rows = zip(line["keypoints"], line["scores"], strict=True)
    return {"objects": [{"points": points, "score": float(score)} for points, score in rows]}


def _far(person: np.ndarray, answer: np.ndarray) -> float:
    """Mean distance, pixels, of the labelled keypoints that an answer has; infinite without any."""
    far = distances(person, answer)
    far = far[np.isfinite(far)]
    return float(far.mean()) if len(far) else np.inf
