"""From heat maps and part affinity fields to people: Cao 2017, sections 2.4 and 2.5, in TensorFlow.

Sizes are bounded whatever the picture: CANDIDATES peaks of each part, so that a limb has at most
CANDIDATES x CANDIDATES pairs, and as many people as are asked for. B pictures, P parts, L limbs,
C = CANDIDATES.

1. Peaks. Heat maps are enlarged ENLARGED times by bicubic interpolation and smoothed by a Gaussian
   of SMOOTHED input pixels. A peak is larger than its neighbours (of equal ones the first in the
   order of rows) and than PEAK; its place is refined by a parabola through three pixels on each
   axis. Its score is the smoothed map there.
2. Limbs. Along the line between two peaks the field is read bilinearly at POINTS points; the pair's
   score is the mean of the field's component along the line, less where the line is longer than
   half of the input's height: min(height / 2 / length - 1, 0). A pair counts where its score is
   positive and more than FITTING of its points have a component above ALONG.
3. Matching. Limb by limb, the best pair first, each peak in one pair.
4. People. Limbs of the skeleton's tree join peaks: as each limb's pairs are one to one, a person
   has at most one peak of each part. Then its redundant limbs join two people that share no part.
   A person has at least FEWEST parts (all of a smaller skeleton). Its score is the sum of its
   peaks' and pairs' scores over twice the number of its parts, 0 to about 1.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from convoy.models.pose.skeleton import Skeleton

ENLARGED = 4
SMOOTHED = 3.0
PEAK = 0.1
ALONG = 0.05
FITTING = 0.8
POINTS = 10
CANDIDATES = 32
FEWEST = 4


def people(heat, paf, bones: Skeleton, stride: int, most: int) -> dict:
    """heat [B, h, w, P or more], paf [B, h, w, 2 L] -> `most` people, the best first.

    {"places" [B, most, P, 3] (y, x, score) pixels of the input, rows of 0 for what is not found;
    "scores" [B, most], "valid" [B, most] bool}.
    """
    parts = len(bones.parts)
    places, scores = peaks(tf.cast(heat[..., :parts], tf.float32), stride)
    # As many as the part with the most peaks has, the best of which come first: of 32 it is slow.
    found = tf.reduce_max(tf.reduce_sum(tf.cast(scores > 0, tf.int32), -1))
    found = tf.clip_by_value(found, 1, CANDIDATES)
    valid = scores[:, :, :found] > 0
    pairs = limb_scores(tf.cast(paf, tf.float32), places[:, :, :found], valid, bones, stride)
    matches, worth = matched(pairs)
    labels = joined(scores > 0, matches, bones)
    return assembled(places, scores, labels, matches, worth, bones, most)


def peaks(heat, stride: int) -> tuple[tf.Tensor, tf.Tensor]:
    """[B, h, w, P] -> (places [B, P, C, (y, x)] pixels of the input, scores [B, P, C]; 0: none)."""
    height, width, parts = heat.shape[1:]
    size = (height * ENLARGED, width * ENLARGED)
    smooth = blurred(tf.image.resize(heat, size, "bicubic"), SMOOTHED * ENLARGED / stride)
    found = is_peak(smooth) & (smooth > PEAK)
    values = tf.transpose(tf.where(found, smooth, 0.0), [0, 3, 1, 2])
    flat = tf.reshape(values, [-1, parts, size[0] * size[1]])
    count = min(CANDIDATES, size[0] * size[1])
    scores, index = tf.math.top_k(flat, count)
    rows, columns = index // size[1], index % size[1]
    maps = tf.transpose(smooth, [0, 3, 1, 2])
    offsets = [_refined(maps, rows, columns, axis) for axis in (0, 1)]
    cells = tf.stack([tf.cast(rows, tf.float32), tf.cast(columns, tf.float32)], -1)
    places = (cells + tf.stack(offsets, -1) + 0.5) * (stride / ENLARGED)
    missing = [[0, 0], [0, 0], [0, CANDIDATES - count]]
    return tf.pad(places, [*missing, [0, 0]]), tf.pad(scores, missing)


def kernel(sigma: float) -> np.ndarray:
    """[2 r + 1] float32, sums to 1; r is three deviations, rounded up."""
    reach = int(np.ceil(3 * sigma))
    line = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    return (line / line.sum()).astype(np.float32)


def blurred(maps, sigma: float):
    """[B, H, W, C] smoothed by a Gaussian; the border's pixels go on beyond it."""
    line = kernel(sigma)
    reach, channels = len(line) // 2, maps.shape[-1]
    for axis in (1, 2):
        ends = [maps[:, :1], maps[:, -1:]] if axis == 1 else [maps[:, :, :1], maps[:, :, -1:]]
        low, high = (tf.repeat(end, reach, axis) for end in ends)
        shape = [len(line), 1] if axis == 1 else [1, len(line)]
        weights = tf.tile(tf.reshape(line, [*shape, 1, 1]), [1, 1, channels, 1])
        maps = tf.nn.depthwise_conv2d(
            tf.concat([low, maps, high], axis), weights, [1, 1, 1, 1], "VALID"
        )
    return maps


def is_peak(maps):
    """[B, H, W, C] bool: larger than the neighbours before it, not smaller than those after it."""
    height, width = maps.shape[1:3]
    padded = tf.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    peak = tf.ones_like(maps, tf.bool)
    for y in range(3):
        for x in range(3):
            near = padded[:, y : y + height, x : x + width]
            if (y, x) < (1, 1):
                peak &= maps > near
            elif (y, x) > (1, 1):
                peak &= maps >= near
    return peak


def _refined(maps, rows, columns, axis: int):
    """[B, P, C]: by how much of a pixel a parabola's top is from the peak, -0.5 to 0.5."""
    limit = maps.shape[2 + axis] - 1

    def value(step: int):
        place = [rows, columns]
        place[axis] = tf.clip_by_value(place[axis] + step, 0, limit)
        return tf.gather_nd(maps, tf.stack(place, -1), batch_dims=2)

    before, here, after = value(-1), value(0), value(1)
    bend = before - 2 * here + after
    return tf.clip_by_value(tf.math.divide_no_nan(0.5 * (before - after), bend), -0.5, 0.5)


def limb_scores(paf, places, valid, bones: Skeleton, stride: int):
    """[B, L, C, C]: the score of each pair of peaks, 0 of those that do not count.

    paf [B, h, w, 2 L], places [B, P, C, 2], valid [B, P, C].
    """
    height, width = paf.shape[1:3]
    firsts, seconds = (list(ends) for ends in zip(*bones.limbs, strict=True))
    start = tf.gather(places, firsts, axis=1)[:, :, :, None]  # [B, L, C, 1, 2]
    end = tf.gather(places, seconds, axis=1)[:, :, None]  # [B, L, 1, C, 2]
    line = end - start
    length = tf.norm(line, axis=-1)
    unit = tf.math.divide_no_nan(line, length[..., None])
    share = tf.reshape(tf.linspace(0.0, 1.0, POINTS), [POINTS, 1])
    along = start[..., None, :] + share * line[..., None, :]  # [B, L, C, C, POINTS, 2]
    fields = tf.transpose(
        tf.reshape(paf, [-1, height, width, len(bones.limbs), 2]), [0, 3, 1, 2, 4]
    )
    seen = _bilinear(fields, along / stride - 0.5)  # (x, y) of the field
    part = seen[..., 0] * unit[..., None, 1] + seen[..., 1] * unit[..., None, 0]
    far = tf.minimum(tf.math.divide_no_nan(0.5 * height * stride, length) - 1.0, 0.0)
    score = tf.reduce_mean(part, -1) + far
    fits = tf.reduce_mean(tf.cast(part > ALONG, tf.float32), -1) > FITTING - 1e-6
    both = tf.gather(valid, firsts, axis=1)[:, :, :, None]
    both &= tf.gather(valid, seconds, axis=1)[:, :, None]
    return tf.where(both & fits & (score > 0) & (length > 0), score, 0.0)


def _bilinear(fields, at):
    """fields [B, L, h, w, 2] at (y, x) [B, L, C, C, N, 2] in cells; the border goes on."""
    limit = tf.constant([fields.shape[2] - 1, fields.shape[3] - 1], tf.float32)
    at = tf.clip_by_value(at, 0.0, limit)
    low = tf.floor(at)
    part = at - low
    low, total = tf.cast(low, tf.int32), 0.0
    most = tf.cast(limit, tf.int32)
    for y in (0, 1):
        for x in (0, 1):
            corner = tf.minimum(low + tf.constant([y, x]), most)
            weight = (part[..., 0] if y else 1 - part[..., 0]) * (
                part[..., 1] if x else 1 - part[..., 1]
            )
            total += tf.gather_nd(fields, corner, batch_dims=2) * weight[..., None]
    return total


def matched(pairs) -> tuple[tf.Tensor, tf.Tensor]:
    """Greedy: [B, L, c, c] -> (of each first peak the second [B, L, C] or -1, the pair's score).

    c, which may not be known, is C at most.
    """
    limbs, batch, count = pairs.shape[1], tf.shape(pairs)[0], tf.shape(pairs)[2]

    def best(step, left, matches, worth):
        flat = tf.reshape(left, [batch, limbs, count * count])
        index = tf.argmax(flat, -1, tf.int32)
        value = tf.reduce_max(flat, -1)
        row = tf.one_hot(index // count, count, on_value=True, off_value=False, dtype=tf.bool)
        column = tf.one_hot(index % count, count, on_value=True, off_value=False, dtype=tf.bool)
        taken = row & (value > 0)[..., None]
        matches = tf.where(taken, (index % count)[..., None], matches)
        worth = tf.where(taken, value[..., None], worth)
        left = tf.where(row[..., None] | column[..., None, :], 0.0, left)
        return step + 1, left, matches, worth

    none, rows = tf.fill([batch, limbs, count], -1), tf.TensorShape([None, limbs, None])
    _, _, matches, worth = tf.while_loop(
        lambda step, left, *_: (step < count) & tf.reduce_any(left > 0),
        best,
        (tf.constant(0), pairs, none, tf.zeros_like(none, tf.float32)),
        (tf.TensorShape([]), tf.TensorShape([None, limbs, None, None]), rows, rows),
    )
    missing = [[0, 0], [0, 0], [0, CANDIDATES - count]]
    matches = tf.pad(matches, missing, constant_values=-1)
    whole = [None, limbs, CANDIDATES]
    return tf.ensure_shape(matches, whole), tf.ensure_shape(tf.pad(worth, missing), whole)


def joined(valid, matches, bones: Skeleton):
    """[B, P, C] int32: peaks of one person have one number, below P * C; valid [B, P, C]."""
    parts, count = valid.shape[1:]
    own = tf.reshape(tf.range(parts * count), [1, parts, count])
    labels = tf.unstack(tf.where(valid, own, -1), axis=1)
    for limb in bones.tree:
        one, other = bones.limbs[limb]
        labels[other] = _passed_on(labels[one], labels[other], matches[:, limb])
    labels = tf.stack(labels, 1)
    for limb in bones.redundant:
        labels = _together(labels, matches[:, limb], bones.limbs[limb])
    return labels


def _passed_on(first, second, match):
    """[B, C]: the second peaks' numbers, those of their first peaks where they have one."""
    hit = tf.one_hot(match, second.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    given = tf.reduce_max(tf.where(hit, first[..., None], -1), 1)
    return tf.where(given >= 0, given, second)


def _together(labels, match, limb: tuple[int, int]):
    """Two people whom a redundant limb's pair joins become one where they share no part.

    At once for all pairs: no person can be the first of one such pair and the second of another,
    for it would have both parts, and the other people one of them.
    """
    first = labels[:, limb[0]]  # [B, C]
    second = tf.gather(labels[:, limb[1]], tf.maximum(match, 0), batch_dims=1)
    has_first = tf.reduce_any(labels[:, :, :, None] == first[:, None, None], 2)  # [B, P, C]
    has_second = tf.reduce_any(labels[:, :, :, None] == second[:, None, None], 2)
    apart = ~tf.reduce_any(has_first & has_second, 1)
    joins = (match >= 0) & apart
    renamed = joins[:, None, None] & (labels[..., None] == second[:, None, None])
    given = tf.reduce_max(tf.where(renamed, first[:, None, None], -1), -1)  # [B, P, C]
    return tf.where(given >= 0, given, labels)


def assembled(places, scores, labels, matches, worth, bones: Skeleton, most: int) -> dict:
    """People out of numbered peaks; see `people`."""
    parts, count = labels.shape[1:]
    total = parts * count
    batch = tf.shape(labels)[0]
    shift = tf.range(batch)[:, None] * total

    def summed(values, numbers):
        values = tf.reshape(values, [batch, -1])
        numbers = tf.reshape(numbers, [batch, -1])
        where = tf.where(numbers >= 0, numbers + shift, -1)
        flat = tf.math.unsorted_segment_sum(
            tf.reshape(values, [-1]), tf.reshape(where, [-1]), batch * total
        )
        return tf.reshape(flat, [batch, total])

    number = summed(tf.ones_like(scores), labels)
    limbs = tf.gather(labels, [one for one, _ in bones.limbs], axis=1)
    ends = [
        tf.gather(labels[:, other], tf.maximum(matches[:, limb], 0), batch_dims=1)
        for limb, (_, other) in enumerate(bones.limbs)
    ]
    inside = (matches >= 0) & (tf.stack(ends, 1) == limbs)
    sums = summed(scores, labels) + summed(tf.where(inside, worth, 0.0), limbs)
    enough = number >= min(FEWEST, parts)
    rank = tf.where(enough, tf.math.divide_no_nan(sums, 2 * number), 0.0)
    kept = min(most, total)
    best, who = tf.math.top_k(rank, kept)
    own = labels[:, None] == who[:, :, None, None]  # [B, most, P, C]
    own &= (best > 0)[:, :, None, None]
    rows = tf.concat([places, scores[..., None]], -1)
    found = tf.reduce_sum(tf.where(own[..., None], rows[:, None], 0.0), 3)
    missing = [[0, 0], [0, most - kept]]
    return {
        "places": tf.pad(found, [*missing, [0, 0], [0, 0]]),
        "scores": tf.pad(best, missing),
        "valid": tf.pad(best > 0, missing),
    }
