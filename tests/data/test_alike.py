"""Pictures that look alike, against other ways to find them."""

import io

import imagehash
import numpy as np
import PIL.Image
import PIL.ImageEnhance
import pytest
import scipy.fft

from convoy.data.statistics import alike
from tests.data import build


def opened(seed, height=120, width=160):
    return PIL.Image.open(io.BytesIO(build.picture(height, width, seed=seed, quality=95)))


def changed(image):
    width, height = image.size
    return {
        "compressed": build.encoded(image, "JPEG", quality=30),
        "half": build.encoded(image.resize((width // 2, height // 2)), "JPEG"),
        "png": build.encoded(image, "PNG"),
        "gray": build.encoded(image.convert("L"), "JPEG"),
        "darker": build.encoded(PIL.ImageEnhance.Brightness(image).enhance(0.8), "JPEG"),
    }


def prints(*encoded):
    return np.array([alike.fingerprint(data) for data in encoded], alike.PRINT)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_photograph_is_alike_and_others_are_not(seed):
    image = opened(seed)
    versions = changed(image)
    others = [build.picture(120, 160, seed=100 + i) for i in range(20)]
    mirrored = build.encoded(image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT), "JPEG")
    found = alike.groups(prints(*versions.values(), mirrored, *others), 8)
    assert found == [list(range(len(versions)))]


def test_the_hash_is_that_of_its_definition():
    """Gray, 32 x 32, cosine transform, the lowest 8 x 8 against their median."""
    data = build.picture(48, 64, seed=3, kind="PNG")
    gray = PIL.Image.open(io.BytesIO(data)).convert("L")
    small = np.asarray(gray.resize((32, 32), PIL.Image.Resampling.LANCZOS), float)
    low = scipy.fft.dct(scipy.fft.dct(small, axis=0), axis=1)[:8, :8]
    bits = (low > np.median(low)).ravel()
    expected = sum(1 << (63 - place) for place in np.flatnonzero(bits).tolist())
    assert int(alike.fingerprint(data)["hash"]) == expected
    assert imagehash.phash(gray) == imagehash.ImageHash(bits.reshape(8, 8))


def test_what_has_no_hash():
    flat = PIL.Image.new("RGB", (50, 40), (90, 120, 30))
    assert alike.fingerprint(build.encoded(flat, "PNG")) is None
    assert alike.fingerprint(b"no picture") is None
    assert alike.fingerprint(build.picture(31, 60)) is None
    assert alike.fingerprint(build.picture(32, 60)) is not None
    assert alike.groups(np.zeros(0, alike.PRINT), 8) == []
    with pytest.raises(ValueError, match="0 to 63 bits, got 64"):
        alike.groups(np.zeros(0, alike.PRINT), 64)


def by_comparing_all(rows, most_bits):
    """Every pair, then a walk along the pairs."""
    near = {i: set() for i in range(len(rows))}
    vectors = [row["thumbnail"].astype(float) for row in rows]
    for i, first in enumerate(rows):
        for j in range(i):
            bits = bin(int(first["hash"]) ^ int(rows[j]["hash"])).count("1")
            if bits <= most_bits and np.corrcoef(vectors[i], vectors[j])[0, 1] >= 0.95:
                near[i].add(j)
                near[j].add(i)
    groups, seen = [], set()
    for start in near:
        group, todo = set(), [start]
        while todo:
            one = todo.pop()
            if one not in group:
                group.add(one)
                todo += near[one]
        if len(group) > 1 and start not in seen:
            groups.append(sorted(group))
        seen |= group
    return sorted(groups)


@pytest.mark.parametrize("most_bits", [0, 3, 8, 20])
def test_groups_are_those_of_comparing_all(most_bits, monkeypatch):
    """Hashes some bits from each other, thumbnails that correlate or not; blocks are small."""
    monkeypatch.setattr(alike, "_BLOCK", 7)
    draw = np.random.default_rng(most_bits)
    rows = np.zeros(90, alike.PRINT)
    for index in range(90):
        parent = index % 12
        value = int(draw.integers(0, 2**63)) if index < 12 else int(rows[parent]["hash"])
        for bit in draw.choice(64, draw.integers(0, 12), replace=False) if index >= 12 else ():
            value ^= 1 << int(bit)
        noise = draw.integers(0, 256, 256) if index < 12 or index % 5 == 0 else None
        rows[index]["hash"] = value
        rows[index]["thumbnail"] = rows[parent]["thumbnail"] if noise is None else noise
    found = alike.groups(rows, most_bits)
    assert found == by_comparing_all(rows, most_bits)
    assert found


def test_many_equal_pictures_are_one_group(monkeypatch):
    monkeypatch.setattr(alike, "_BLOCK", 16)
    rows = np.repeat(prints(build.picture(seed=1)), 300)
    assert alike.groups(rows, 8) == [list(range(300))]
