"""One demo of size smoke for all tests that read its lake. No test may change it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from demo_project import Project, new_project, watershed

MADE = "WATERSHED_MADE_DEMO"
"""Variable with a folder in which `watershed demo --size smoke` has run, and written its output to `demo.log`."""


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `watershed demo --size smoke`: the one that MADE names, or a new one without Java on the PATH."""
    if MADE in os.environ:
        folder = Path(os.environ[MADE])
        return Project(folder, (folder / "demo.log").read_text(encoding="utf-8"))
    folder = new_project(tmp_path_factory.mktemp("demo"))
    return Project(folder, watershed(folder, "demo", "--size", "smoke"))
