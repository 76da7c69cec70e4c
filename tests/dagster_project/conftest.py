"""One demo of size smoke for all tests that read its lake. No test may change it."""

from __future__ import annotations

import pytest
from demo_project import Project, new_project, watershed


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `watershed demo --size smoke`, made without Java on the PATH."""
    folder = new_project(tmp_path_factory.mktemp("demo"))
    return Project(folder, watershed(folder, "demo", "--size", "smoke"))
