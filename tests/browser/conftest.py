"""One Chromium for all pages, and a small exported model."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "expected Chromium, as Debian's package chromium installs it"
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=quiet)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory):
    """The tiny classifier of the serving tests."""
    from convoy.serving import export
    from tests.serving import tiny

    path = tmp_path_factory.mktemp("shared") / "saved_model"
    export.export(tiny.classifier(), path, **tiny.export_arguments(precision="float32"))
    return path
