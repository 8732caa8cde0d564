"""Fixtures that several packages of tests share."""

from __future__ import annotations

import pathlib

import pytest


@pytest.fixture(scope="session")
def digits_records(tmp_path_factory) -> pathlib.Path:
    """Records of a digits devkit of 24 training and 6 validation pictures, in several shards."""
    from data.sources import digits
    from pipeline.components import example_gen

    top = tmp_path_factory.mktemp("digits")
    devkit = digits.build(top / "devkit", seed=3, images=(24, 6))
    params = example_gen.Params(shard_mb=0.1)
    example_gen.run({"source": devkit}, params, top / "records")
    return top / "records"
