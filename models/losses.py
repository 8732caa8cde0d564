"""Losses: keras.ops only, float32, one value per element; callers sum and divide.

Every function casts to float32 first, so that half-precision outputs lose nothing here.
"""

from __future__ import annotations

from keras import ops


def total(parts: dict):
    """{name: (sum over the batch, its normalizer)} -> the sum of all sum / max(normalizer, 1)."""
    return sum(value / ops.maximum(count, 1.0) for value, count in parts.values())


def cross_entropy(labels, logits):
    """-log softmax(logits)[label]: labels [...] int, logits [..., K] -> [...] in [0, inf).

    The gradient in the logits is softmax - onehot, bounded by 1 in each.
    """
    log_p = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    index = ops.expand_dims(ops.cast(labels, "int32"), -1)
    return -ops.squeeze(ops.take_along_axis(log_p, index, axis=-1), -1)


def classification(labels, logits, label_smoothing: float = 0.0):
    """Cross entropy against (1 - s) * onehot + s / K: labels [B], logits [B, K] -> [B]."""
    entropy = cross_entropy(labels, logits)
    if label_smoothing == 0.0:
        return entropy
    uniform = -ops.mean(ops.log_softmax(ops.cast(logits, "float32"), axis=-1), axis=-1)
    return (1.0 - label_smoothing) * entropy + label_smoothing * uniform


def smooth_l1(target, prediction, beta: float = 1.0):
    """0.5 d^2 / beta where |d| < beta, else |d| - beta / 2; elementwise, gradient in [-1, 1].

    Girshick 2015 (https://arxiv.org/abs/1504.08083, equation 3) with beta 1; py-faster-rcnn's sigma
    is beta^-0.5.
    """
    d = ops.abs(ops.cast(prediction, "float32") - ops.cast(target, "float32"))
    return ops.where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta)


def binary_cross_entropy(target, logits):
    """-q log p - (1 - q) log(1 - p) of q = target in [0, 1], p = sigmoid(logits); elementwise.

    In [0, inf); the gradient in the logits is p - q, bounded by 1.
    """
    logits, target = ops.cast(logits, "float32"), ops.cast(target, "float32")
    return ops.softplus(logits) - target * logits


def hard_negative_weights(loss, positive, ratio: float = 3.0):
    """1.0 for positives and the `ratio` x (positives of the picture) hardest negatives, else 0.0.

    loss [B, N] is the cross entropy of each prior, positive [B, N] bool. Negatives with the largest
    loss come first, equal ones in prior order. A picture without positives selects nothing. No
    gradient flows through the selection.
    """
    positive = ops.cast(positive, "bool")
    # Cross entropy is never negative, so -1 sorts the positives behind every negative.
    hardness = ops.where(positive, -1.0, ops.stop_gradient(loss))
    rank = ops.argsort(ops.argsort(-hardness, axis=-1), axis=-1)
    positives = ops.sum(ops.cast(positive, "float32"), axis=-1, keepdims=True)
    negatives = ops.sum(ops.cast(~positive, "float32"), axis=-1, keepdims=True)
    count = ops.minimum(ratio * positives, negatives)
    hardest = ops.cast(rank, "float32") < count
    return ops.cast(ops.logical_or(positive, hardest), "float32")


def multibox(targets, outputs, ratio: float = 3.0):
    """The SSD loss: {"cls": (scalar, normalizer), "box": (scalar, normalizer)} over the batch.

    targets: cls [B, N] int (0 = background), box [B, N, 4] codes; outputs: cls [B, N, K + 1]
    logits, box [B, N, 4]. The normalizer of both is the number of positives, 0.0 where there are
    none, and then the losses are 0 as well: the caller divides by max(normalizer, 1).
    """
    labels = targets["cls"]
    positive = labels > 0
    entropy = cross_entropy(labels, outputs["cls"])
    cls = ops.sum(entropy * hard_negative_weights(entropy, positive, ratio))
    codes = ops.sum(smooth_l1(targets["box"], outputs["box"]), axis=-1)
    box = ops.sum(ops.where(positive, codes, 0.0))
    count = ops.sum(ops.cast(positive, "float32"))
    return {"cls": (cls, count), "box": (box, count)}
