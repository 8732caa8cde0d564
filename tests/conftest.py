"""Fixtures that several packages of tests share, and one thread per test process.

Two workers share two cores (`make test`), so TensorFlow and BLAS take one thread each, in child
processes too. This file is loaded before any test imports TensorFlow, which reads them once.
"""

from __future__ import annotations

import os
import pathlib

import pytest

for _threads in (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
):
    os.environ.setdefault(_threads, "1")


@pytest.fixture(scope="session")
def digits_records(tmp_path_factory) -> pathlib.Path:
    """Records of a digits devkit of 24 training and 6 validation pictures, in several shards."""
    from convoy.data.sources import digits
    from convoy.pipeline.components import example_gen

    top = tmp_path_factory.mktemp("digits")
    devkit = digits.build(top / "devkit", seed=3, images=(24, 6))
    params = example_gen.Params(shard_mb=0.1)
    example_gen.run({"source": devkit}, params, top / "records")
    return top / "records"


@pytest.fixture(scope="session")
def class_records(tmp_path_factory) -> pathlib.Path:
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    from convoy.pipeline.components import example_gen

    folder = tmp_path_factory.mktemp("classes")
    scans, labels = load_digits(return_X_y=True)
    for name in range(4):
        found = scans[labels == name][:20].reshape(-1, 8, 8)
        for i, scan in enumerate(found):
            path = folder / ("train" if i < 15 else "val") / str(name) / f"{i:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.uint8(np.kron(scan, np.ones((5, 5))) * 15)
            Image.fromarray(pixels).convert("RGB").save(path)
    records = tmp_path_factory.mktemp("class_records")
    params = example_gen.Params(format="folder", splits=("train", "val"), shard_mb=0.01)
    example_gen.run({"source": folder}, params, records)
    return records
