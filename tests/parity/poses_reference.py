"""People out of heat maps and fields, once more: loops over lists, NumPy and SciPy alone.

It follows the rules that models/pose/decoding.py states, by other means: peaks are found pixel by
pixel, pairs are sorted, people are sets of peaks that grow limb by limb. And stick people by hand.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

# COCO's 17 of a person who stands, seen from the front; (y, x) in heights, from between the feet.
STANDING = np.array(
    [
        *((-0.92, 0.0), (-0.94, 0.03), (-0.94, -0.03), (-0.93, 0.07), (-0.93, -0.07)),
        *((-0.78, 0.13), (-0.78, -0.13), (-0.62, 0.2), (-0.62, -0.2), (-0.46, 0.22)),
        *((-0.46, -0.22), (-0.48, 0.09), (-0.48, -0.09), (-0.26, 0.1), (-0.26, -0.1)),
        *((-0.02, 0.11), (-0.02, -0.11)),
    ]
)


def person(y: float, x: float, height: float, turn: float = 0.0, rng=None) -> np.ndarray:
    """[17, (y, x, 2)]: feet at (y, x), turned by radians; rng: limbs a little elsewhere."""
    points = STANDING * height
    if rng is not None:
        points = points + rng.normal(0, 0.015 * height, points.shape)
    cos, sin = math.cos(turn), math.sin(turn)
    points = points @ np.array([[cos, sin], [-sin, cos]])
    points = points + np.array([y, x])
    return np.concatenate([points, np.full((17, 1), 2.0)], 1).astype(np.float32)


def people(heat, paf, parts: int, limbs, redundant, stride: int, most: int):
    """heat [h, w, *], paf [h, w, 2 L] -> [(score, {part: (y, x, score)})], the best first."""
    found = [peaks(heat[..., part].astype(np.float64), stride) for part in range(parts)]
    pairs = [
        limb_pairs(paf[..., 2 * n : 2 * n + 2].astype(np.float64), found[a], found[b], stride)
        for n, (a, b) in enumerate(limbs)
    ]
    groups: list[dict] = []  # {"parts": {part: peak's number}, "sum": of pairs}
    tree = [n for n in range(len(limbs)) if n not in redundant]
    for part in range(parts):
        groups += [{"parts": {part: n}, "sum": 0.0} for n in range(len(found[part]))]

    def of(part, number):
        return next(g for g in groups if g["parts"].get(part) == number)

    for n in [*tree, *redundant]:
        a, b = limbs[n]
        for i, j, score in pairs[n]:
            one, other = of(a, i), of(b, j)
            if one is not other:
                if set(one["parts"]) & set(other["parts"]):
                    continue
                one["parts"].update(other["parts"])
                one["sum"] += other["sum"]
                groups.remove(other)
            one["sum"] += score
    answers = []
    for group in groups:
        points = {part: found[part][number] for part, number in group["parts"].items()}
        if len(points) >= min(4, parts):
            total = group["sum"] + sum(point[2] for point in points.values())
            answers.append((total / (2 * len(points)), points))
    return sorted(answers, key=lambda answer: -answer[0])[:most]


def peaks(heat, stride: int, enlarged: int = 4, most: int = 32):
    """[(y, x, score)] of one part, the best first."""
    wide = cubic(cubic(heat, enlarged).T, enlarged).T
    sigma = 3.0 * enlarged / stride
    smooth = ndimage.gaussian_filter(wide, sigma, mode="nearest", radius=math.ceil(3 * sigma))
    height, width = smooth.shape
    found = []
    for y in range(height):
        for x in range(width):
            value = smooth[y, x]
            if value <= 0.1:
                continue
            near = [
                (v, u) for v in (y - 1, y, y + 1) for u in (x - 1, x, x + 1)
                if (v, u) != (y, x) and 0 <= v < height and 0 <= u < width
            ]  # fmt: skip
            before = all(smooth[place] < value for place in near if place < (y, x))
            if before and all(smooth[place] <= value for place in near if place > (y, x)):
                fine = [parabola(smooth, (y, x), axis) for axis in (0, 1)]
                at = [(c + f + 0.5) * stride / enlarged for c, f in zip((y, x), fine, strict=True)]
                found.append((*at, value))
    return sorted(found, key=lambda peak: -peak[2])[:most]


def cubic(rows, times: int):
    """[h, *] -> [times h, *]: Keys' cubic of a = -0.5, what lies outside left out of the sum."""
    height = len(rows)
    out = np.zeros((height * times, *rows.shape[1:]))
    for index in range(len(out)):
        at = (index + 0.5) / times - 0.5
        weights = {}
        for near in range(math.floor(at) - 1, math.floor(at) + 3):
            if 0 <= near < height:
                d = abs(at - near)
                weights[near] = (
                    1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
                )
        total = sum(weights.values())
        out[index] = sum(rows[near] * weight for near, weight in weights.items()) / total
    return out


def parabola(values, place, axis: int) -> float:
    step = np.eye(2, dtype=int)[axis]
    top = np.array(values.shape) - 1
    before, here, after = (
        values[tuple(np.clip(np.array(place) + n * step, 0, top))] for n in (-1, 0, 1)
    )
    bend = before - 2 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend else 0.0


def limb_pairs(field, firsts, seconds, stride: int):
    """[(first, second, score)]: greedy, the best first."""
    half = field.shape[0] * stride / 2
    scored = []
    for i, a in enumerate(firsts):
        for j, b in enumerate(seconds):
            line = np.array([b[0] - a[0], b[1] - a[1]])
            length = np.linalg.norm(line)
            if not length:
                continue
            dots = []
            for t in np.linspace(0, 1, 10):
                at = (np.array(a[:2]) + t * line) / stride - 0.5
                x, y = (
                    ndimage.map_coordinates(field[..., c], at[:, None], order=1, mode="nearest")[0]
                    for c in (0, 1)
                )
                dots.append((x * line[1] + y * line[0]) / length)
            score = np.mean(dots) + min(half / length - 1, 0)
            if score > 0 and np.mean(np.array(dots) > 0.05) > 0.8 - 1e-6:
                scored.append((score, i, j))
    kept, used_a, used_b = [], set(), set()
    for score, i, j in sorted(scored, key=lambda row: -row[0]):
        if i not in used_a and j not in used_b:
            kept.append((i, j, score))
            used_a.add(i)
            used_b.add(j)
    return kept
