"""The examples in the docstrings of the public entry points run, and give what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.small_lake import CURATED, write_lake

EXAMPLES = {
    "catalog.sql.query": ["connect", "export_duckdb", "query"],
    "catalog.lake": ["Lake.read"],
    "catalog.contract": ["Contract"],
    "catalog.settings": ["load_settings"],
    "catalog.inventory": ["table_state"],
    "catalog.cards.card": ["card"],
    "catalog.search.index": ["SearchIndex"],
    "catalog.search.entries": ["table_entries"],
    "catalog.agents.reader": ["Reader"],
    "catalog.adding.names": ["column_names"],
    "catalog.adding.sources": ["split_of"],
    "catalog.projects.types": ["arrow_type", "sql_type"],
    "catalog.cards.croissant.export": ["export_croissant"],
    "catalog.cards.croissant.importing": ["read_croissant"],
    "catalog.cards.site.html": ["count", "file_name", "tag"],
    "catalog.energy": ["energy_of"],
    "catalog.licences.inherited": ["licences_of"],
    "catalog.licences.names": ["normalised", "read_licence", "read_licences"],
    "catalog.licences.policy": ["conflicts"],
    "catalog.personal": ["masked", "personal_columns"],
    "quality.gate": ["check", "check_storage"],
    "quality.report": ["report"],
    "quality.suite": ["expectation_suite"],
}
"""The entry points of every module that have an example."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a lake of a few rows in each table."""
    folder = tmp_path_factory.mktemp("project")
    write_lake(folder, CURATED)
    return folder


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_give_what_they_show(module: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATERSHED_PROJECT", raising=False)
    monkeypatch.chdir(project)
    found = [test for test in doctest.DocTestFinder().find(importlib.import_module(module)) if test.examples]
    assert [test.name.removeprefix(f"{module}.") for test in found] == EXAMPLES[module]
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    failed = sum(runner.run(test, out=report.append).failed for test in found)
    assert not failed, "".join(report)
