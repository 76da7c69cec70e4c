"""One smoke-sized demo for all tests that look at its lake; none of them may change it."""

from __future__ import annotations

import pytest
from demo_project import Project, new_project, watershed


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `watershed demo --size smoke`, made without any Java on the PATH."""
    folder = new_project(tmp_path_factory.mktemp("demo"))
    return Project(folder, watershed(folder, "demo", "--size", "smoke"))
