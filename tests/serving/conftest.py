"""One small exported model that the serving tests share."""

from __future__ import annotations

import shutil

import pytest

from convoy.serving import export
from tests.serving import tiny
from tests.serving.running import serving


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The tiny classifier, exported once."""
    path = tmp_path_factory.mktemp("shared") / "saved_model"
    export.export(tiny.classifier(), path, **tiny.export_arguments(precision="float32"))
    return path


@pytest.fixture
def base(tmp_path, saved_model):
    """A model base path with version 1."""
    shutil.copytree(saved_model, tmp_path / "served" / "1")
    return tmp_path / "served"


@pytest.fixture(scope="module")
def running(tmp_path_factory, saved_model):
    """A server of one model "m" with one version; nothing changes on disk."""
    base = tmp_path_factory.mktemp("running") / "m"
    shutil.copytree(saved_model, base / "1")
    with serving(base) as ports:
        yield ports
