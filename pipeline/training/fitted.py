"""What is solved for after a network on given regions has learnt: linear SVMs, and box regression.

Paper: Girshick 2013 https://arxiv.org/abs/1311.2524, sections 2.3, B and C; constants are those of
the authors' code. Pictures are seen twice, without random changes. First: positives of a class are
its objects' own boxes, examples of the box regression all regions with IoU > 0.6. Then: negatives
of a class are regions with IoU < 0.3 with its objects; all of the first picture, of the others
those that the SVM of the moment does not keep away from its margin.

Features are multiplied by one number that makes their mean L2 norm 20, which is folded into the
weights.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from convoy.models import coding
from convoy.models.boxes import pairwise_iou
from convoy.models.spec import Task, seen
from convoy.pipeline.training.head import BIAS, MEAN_NORM, NEVER

POSITIVE_WEIGHT = 2.0  # of a positive's error
NEGATIVE = 0.3  # overlap below which a region is none of the class
HARD = -1.0001  # margin from which on a negative is hard
EASY = -1.2  # ... below which one is forgotten
PASSES = 20_000  # of an SVM's solver over its examples, at most
AT_ONCE = 2000  # new negatives after which an SVM is fitted again
CLOSE = 0.6  # overlap above which a region is an example of the box regression
RIDGE = 1000.0  # weight of the squared weights beside the squared errors
FLOOR = 1e-3  # added to the variances of codes


@dataclasses.dataclass(frozen=True, eq=False)
class Regions:
    """One picture's regions; the last ones are its objects' own boxes."""

    features: np.ndarray  # [R, D]
    maps: np.ndarray  # [R, E]
    boxes: np.ndarray  # [R, 4]
    overlap: np.ndarray  # [R, M] with the objects
    objects: np.ndarray  # [M, 4]
    classes: np.ndarray  # [M]

    def best_of(self, k: int) -> np.ndarray:
        """[R] largest overlap with an object of class k."""
        own = self.overlap[:, self.classes == k]
        return own.max(axis=1, initial=0.0)


def fit(task: Task, batches: Callable[[], Iterable], c: float, say: Callable[[str], None]) -> None:
    """Fits the layers of `task.fitted`. batches(): all pictures of the training, once each."""
    classes, layers = task.info.num_classes, task.fitted
    examples = Examples(classes)
    for picture in regions_of(task, batches()):
        examples.add(picture)
    if not any(examples.positives):
        raise ValueError("train.head svm: expected pictures with objects, found none")
    scale, scale_maps = examples.scales()
    say(f"{examples.count()} objects; SVMs on {layers.features}, boxes from {layers.maps}")
    miner = Miner([np.array(rows) * scale for rows in examples.positives], c)
    for picture in regions_of(task, batches()):
        miner.add(picture, scale)
    weights, biases = miner.finish()
    say(f"{miner.seen} negatives looked at, {miner.kept()} of them kept")
    if miner.unfinished:
        say(
            f"the SVMs of {len(miner.unfinished)} of {classes} classes are not at their optimum "
            f"after {PASSES} passes: lower train.head_c, here {c:g} (R-CNN's is 0.001)"
        )
    task.model.get_layer(layers.svm).set_weights([weights * scale, biases])
    kernel, bias = examples.boxes(scale_maps)
    task.model.get_layer(layers.box).set_weights([kernel * scale_maps, bias])


def regions_of(task: Task, batches: Iterable) -> Iterator[Regions]:
    """Features of the proposals and of the objects of each picture."""
    model, names = task.model, task.fitted
    outputs = {name: model.get_layer(name).output for name in (names.features, names.maps)}
    probe = keras.Model(model.inputs, outputs)

    @tf.function(autograph=False, reduce_retracing=True)
    def ask(image, rois):
        return probe(seen(image, {task.takes[0]: rois}, task.takes), training=False)

    for batch in batches:
        for index in range(len(batch["image"])):
            kept = np.array(batch["targets"]["truth_cls"][index]) > 0
            objects = np.array(batch["targets"]["truth"][index])[kept]
            classes = np.array(batch["targets"]["truth_cls"][index])[kept] - 1
            given = np.array(batch[task.takes[0]][index])
            given = given[(given[:, 2:] > given[:, :2]).all(axis=1)]
            boxes = np.concatenate([given, objects])
            if not len(boxes):
                continue
            picture = tf.convert_to_tensor(batch["image"][index : index + 1])
            found = _joined(ask, picture, boxes, task.at_once or len(boxes))
            overlap = pairwise_iou(tf.constant(boxes), tf.constant(objects)).numpy()
            yield Regions(
                found[names.features], found[names.maps], boxes, overlap, objects, classes
            )


def _joined(ask, picture, boxes: np.ndarray, rows: int) -> dict[str, np.ndarray]:
    """What `ask` finds of boxes [R, 4] of a picture [1, H, W, C], some rows at a time."""
    pieces = [
        ask(picture, tf.constant(boxes[None, start : start + rows]))
        for start in range(0, len(boxes), rows)
    ]
    return {
        name: np.concatenate([tf.cast(piece[name][0], tf.float32) for piece in pieces])
        for name in pieces[0]
    }


class Examples:
    """What the first look gathers: positives, examples of boxes, and how long features are."""

    def __init__(self, classes: int):
        self.positives: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.maps: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self.codes: list[list[np.ndarray]] = [[] for _ in range(classes)]
        self._norms = np.zeros(2)
        self._rows = 0

    def add(self, picture: Regions) -> None:
        lengths = [np.linalg.norm(x, axis=1).sum() for x in (picture.features, picture.maps)]
        self._norms += lengths
        self._rows += len(picture.boxes)
        if not len(picture.objects):
            return
        own = picture.features[len(picture.boxes) - len(picture.objects) :]
        for row, k in zip(own, picture.classes, strict=True):
            self.positives[k].append(row)
        best = picture.overlap.argmax(axis=1)
        for row in np.flatnonzero(picture.overlap.max(axis=1) > CLOSE):
            k = picture.classes[best[row]]
            box, target = picture.boxes[row], picture.objects[best[row]]
            self.maps[k].append(picture.maps[row])
            self.codes[k].append(np.array(coding.encode(target, box, coding.UNIT)))

    def count(self) -> int:
        return sum(map(len, self.positives))

    def scales(self) -> tuple[float, float]:
        """Factors that make the mean length of features, and of maps, MEAN_NORM."""
        return tuple(float(MEAN_NORM * self._rows / max(norm, 1e-12)) for norm in self._norms)

    def boxes(self, scale: float) -> tuple[np.ndarray, np.ndarray]:
        """(kernel [E, 4 K], bias [4 K]) of the box regression on maps times `scale`."""
        length = max(len(rows[0]) for rows in self.maps if rows)
        kernels, biases = [], []
        for maps, codes in zip(self.maps, self.codes, strict=True):
            if maps:
                kernel, bias = whitened_ridge(np.array(maps) * scale, np.array(codes))
            else:
                kernel, bias = np.zeros((length, 4)), np.zeros(4)
            kernels.append(kernel)
            biases.append(bias)
        return np.concatenate(kernels, 1).astype(np.float32), np.concatenate(biases).astype("f4")


class Miner:
    """One SVM per class, and the negatives that it has not yet learnt to keep away."""

    def __init__(self, positives: list[np.ndarray], c: float):
        self.positives, self.c, self.seen = positives, c, 0
        self._cache: list[list[np.ndarray]] = [[] for _ in positives]
        self._new = [0] * len(positives)
        self.unfinished: set[int] = set()  # classes whose SVM was stopped before its optimum
        self.weights: list[tuple[np.ndarray, float] | None] = [None] * len(positives)

    def add(self, picture: Regions, scale: float = 1.0) -> None:
        """Takes the hard negatives of a picture, and fits what has got many."""
        features = picture.features * np.float32(scale)
        for k, positives in enumerate(self.positives):
            if not len(positives):
                continue
            rows = features[picture.best_of(k) < NEGATIVE]
            self.seen += len(rows)
            first = self.weights[k] is None
            if not first:
                kernel, bias = self.weights[k]
                rows = rows[rows @ kernel + bias > HARD]
            if len(rows):
                self._cache[k].append(rows)
                self._new[k] += len(rows)
            if self._cache[k] and (first or self._new[k] > AT_ONCE):
                self._fit(k)

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """(weights [D, K], biases [K]); of a class without positives NEVER."""
        length = next(rows.shape[1] for rows in self.positives if len(rows))
        weights = np.zeros((length, len(self.positives)), np.float32)
        biases = np.full(len(self.positives), NEVER, np.float32)
        for k, positives in enumerate(self.positives):
            if len(positives) and self._cache[k]:
                self._fit(k)
            if self.weights[k] is not None:
                weights[:, k], biases[k] = self.weights[k]
        return weights, biases

    def kept(self) -> int:
        return sum(len(rows) for cache in self._cache for rows in cache)

    def _fit(self, k: int) -> None:
        negatives = np.concatenate(self._cache[k])
        kernel, bias, done = svm(self.positives[k], negatives, self.c)
        (self.unfinished.discard if done else self.unfinished.add)(k)
        self.weights[k], self._new[k] = (kernel, bias), 0
        self._cache[k] = [negatives[negatives @ kernel + bias >= EASY]]


def svm(positives: np.ndarray, negatives: np.ndarray, c: float) -> tuple[np.ndarray, float, bool]:
    """(weights [D], bias, whether at the optimum) by hinge loss, positives POSITIVE_WEIGHT-fold."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    model = LinearSVC(
        C=c,
        loss="hinge",
        intercept_scaling=BIAS,
        class_weight={1: POSITIVE_WEIGHT},
        max_iter=PASSES,
        random_state=0,
    )
    labels = np.repeat([1, 0], [len(positives), len(negatives)])
    with warnings.catch_warnings():  # said once for all classes
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.concatenate([positives, negatives]), labels)
    done = int(np.max(model.n_iter_)) < PASSES
    return model.coef_[0].astype(np.float32), float(model.intercept_[0]), done


def whitened_ridge(x: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(kernel [E, 4], bias [4]): codes [N, 4] of x [N, E], centred and decorrelated for the fit."""
    mean = codes.mean(axis=0)
    values, vectors = np.linalg.eigh((codes - mean).T @ (codes - mean) / len(codes))
    values = np.maximum(values, 0.0) + FLOOR
    white = vectors @ np.diag(values**-0.5) @ vectors.T
    back = vectors @ np.diag(values**0.5) @ vectors.T
    solved = ridge(np.pad(x, [(0, 0), (0, 1)], constant_values=1.0), (codes - mean) @ white)
    solved = solved @ back
    return solved[:-1], solved[-1] + mean


def ridge(x: np.ndarray, y: np.ndarray, weight: float = RIDGE) -> np.ndarray:
    """argmin |x b - y|^2 + weight |b|^2: [N, E], [N, T] -> [E, T], by whichever side is shorter."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < x.shape[1]:
        return x.T @ np.linalg.solve(x @ x.T + weight * np.eye(len(x)), y)
    return np.linalg.solve(x.T @ x + weight * np.eye(x.shape[1]), x.T @ y)
