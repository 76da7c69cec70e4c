"""What tests of several commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.settings import Settings
from tests.small_lake import CURATED, write_lake


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project with a lake of the tables from a crawl to a forecast, which the command line finds."""
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    return write_lake(tmp_path, CURATED)
