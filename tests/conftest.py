"""What tests of several rooms share: the one Spark session, and empty lakes."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog.lake import Lake
from catalog.settings import Settings, load_settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


SHARED = ("demo", "curated")
"""Fixtures that take minutes: all that use one of them run in one process, and everything else file by file."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cut the tests into groups for `pytest -n`; the longest group begins first."""
    for item in items:
        used = next((name for name in SHARED if name in getattr(item, "fixturenames", ())), str(item.path))
        item.add_marker(pytest.mark.xdist_group(used))
    items.sort(key=lambda item: "demo" not in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Generator[SparkSession]:
    """A local session with two workers, as a user's settings without a word in them would start it."""
    from spark_jobs.session import spark_session, stop_session

    yield spark_session(load_settings(tmp_path_factory.mktemp("spark")))
    stop_session()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an empty project."""
    return load_settings(tmp_path)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    """Its empty lake."""
    return Lake.of(settings)
