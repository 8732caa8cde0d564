"""Where the finished training of a folder lies."""

from __future__ import annotations

import os

import pytest

from convoy.pipeline.networks.trained import META, find


def test_a_run_without_a_result_is_its_newest_training(tmp_path):
    """As the gate leaves it when it refuses; what was not finished does not count."""
    store = tmp_path / "artifacts" / "trainer"
    for age, name in enumerate(("half.partial", "new", "old")):
        (store / name).mkdir(parents=True)
        (store / name / META).write_text("{}")
        os.utime(store / name / META, (1000 - age, 1000 - age))
    assert find(tmp_path) == store / "new"
    compared = tmp_path / "compare" / "extract"
    compared.mkdir(parents=True)
    (compared / "result.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"convoy compare. left .*extract"):
        find(tmp_path)
