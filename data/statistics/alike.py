"""Pictures that look alike: the same photograph, scaled, compressed, brightened or cut a little.

Two are alike where their perceptual hashes (64 bits, the lowest frequencies of the cosine
transform, by the library imagehash) differ in few bits, and their gray thumbnails of 16 x 16
pixels correlate. The hash finds candidates fast, the thumbnail throws out those that only have the
same layout of light and dark. A picture without contrast, or below 32 pixels, has no hash worth
the name and is left out. Memory: 264 bytes per picture.

Pairs are found without comparing all with all: where hashes of 64 bits differ in at most d bits,
one of d + 1 bands of bits is equal (the pigeonhole principle).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import imagehash
import numpy as np
import PIL.Image
from scipy import sparse
from scipy.sparse import csgraph

from convoy.data.statistics import looks

BITS = 64  # of a hash
SIDE = 16  # pixels per side of a thumbnail
PRINT = np.dtype([("hash", "u8"), ("thumbnail", "u1", (SIDE * SIDE,))])
LEAST_PX = 32  # of the shorter side: what the hash is made of; strokes on 28 x 28 are all alike
LEAST_CONTRAST = 4.0  # standard deviation of the thumbnail's gray values
LEAST_CORRELATION = 0.95  # of two thumbnails; at 0.9 equal poses of other people pass
_BLOCK = 2048  # pictures that are compared with as many at once


def fingerprint(encoded: bytes) -> np.void | None:
    """A PRINT of an encoded picture; None: it does not decode, is too small, or has no contrast."""
    decoded = looks.gray(encoded)
    if decoded is None or min(decoded[1]) < LEAST_PX:
        return None
    small = decoded[0].resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    pixels = np.asarray(small, np.uint8)
    if pixels.std() < LEAST_CONTRAST:
        return None
    bits = np.packbits(imagehash.phash(decoded[0]).hash)
    row = np.zeros((), PRINT)
    row["hash"], row["thumbnail"] = int.from_bytes(bits.tobytes(), "big"), pixels.ravel()
    return row[()]


def groups(prints: np.ndarray, most_bits: int) -> list[list[int]]:
    """Of [N] PRINT the groups of two and more that are alike, one picture leading to the next.

    most_bits: by which two hashes may differ, 0 to 63. Rows are named by their index.
    """
    if not 0 <= most_bits < BITS:
        raise ValueError(f"expected 0 to {BITS - 1} bits, got {most_bits}")
    edges = [np.zeros((0, 2), np.int64), *_edges(prints, most_bits)]
    first, second = np.concatenate(edges).T
    if not len(first):
        return []
    return _components(first, second, len(prints))


def _components(first: np.ndarray, second: np.ndarray, count: int) -> list[list[int]]:
    graph = sparse.coo_array((np.ones(len(first), bool), (first, second)), (count, count))
    _, component = csgraph.connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return sorted(part.tolist() for part in parts if len(part) > 1)


def _edges(prints: np.ndarray, most_bits: int) -> Iterator[np.ndarray]:
    """[M, 2] indices that connect what is alike: not all pairs, but enough to join each group."""
    hashes, scaled = prints["hash"], _scaled(prints["thumbnail"])
    ends = np.linspace(0, BITS, most_bits + 2).round().astype(int).tolist()
    for low, high in itertools.pairwise(ends):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for start in range(0, len(run) if len(run) > 1 else 0, _BLOCK):
                for other in range(start, len(run), _BLOCK):
                    rows, columns = run[start : start + _BLOCK], run[other : other + _BLOCK]
                    yield _joined(hashes, scaled, rows, columns, most_bits)


def _joined(hashes, scaled, rows: np.ndarray, columns: np.ndarray, most_bits: int) -> np.ndarray:
    near = np.bitwise_count(hashes[rows, None] ^ hashes[None, columns]) <= most_bits
    first, second = (near & (rows[:, None] != columns[None])).nonzero()
    first, second = rows[first], columns[second]
    kept = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(first), _BLOCK * 8):
        a, b = first[start : start + _BLOCK * 8], second[start : start + _BLOCK * 8]
        alike = np.einsum("ij,ij->i", scaled[a], scaled[b]) >= LEAST_CORRELATION
        kept.append(np.stack([a[alike], b[alike]], axis=1))
    found = np.concatenate(kept)
    return _spanning(found) if len(found) > _BLOCK else found


def _spanning(edges: np.ndarray) -> np.ndarray:
    """Each picture with the first of its group alone, so that memory grows with pictures."""
    names, index = np.unique(edges, return_inverse=True)
    first, second = index.reshape(edges.shape).T
    parts = _components(first, second, len(names))
    pairs = [(names[part[0]], names[other]) for part in parts for other in part[1:]]
    return np.array(pairs, np.int64)


def _scaled(thumbnails: np.ndarray) -> np.ndarray:
    """[N, 256] of mean 0 and length 1: their products are correlations."""
    centred = thumbnails.astype(np.float32)
    centred -= centred.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
