"""What tests of several files share: one demo of size smoke, which no test may change, and a browser."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from demo_project import Project, new_project, watershed
from playwright.sync_api import Page, expect, sync_playwright

MADE = "WATERSHED_MADE_DEMO"
"""Variable with a folder in which `watershed demo --size smoke` has run, and written its output to `demo.log`."""


@pytest.fixture(scope="module")
def page() -> Generator[Page]:
    """A page of a headless browser."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1700, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        yield page
        browser.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `watershed demo --size smoke`: the one that MADE names, or a new one without Java on the PATH."""
    if MADE in os.environ:
        folder = Path(os.environ[MADE])
        return Project(folder, (folder / "demo.log").read_text(encoding="utf-8"))
    folder = new_project(tmp_path_factory.mktemp("demo"))
    return Project(folder, watershed(folder, "demo", "--size", "smoke"))
