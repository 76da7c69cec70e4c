"""The cheatsheet in the lake: imported by the command, queried by SQL, and checked for contributors."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from catalog.settings import load_settings
from catalog.sql.query import connect
from dagster_project.cli import main

pytestmark = pytest.mark.slow

SHARED = os.environ.get("WATERSHED_SHARED")


def watershed(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project, which the command line finds."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "watershed.toml").touch()
    monkeypatch.setenv("WATERSHED_PROJECT", str(folder))
    return folder


def rows(project: Path, sql: str) -> list[tuple]:
    return connect(load_settings(project)).execute(sql).fetchall()


def resource(name: str, category: str, modalities: tuple[str, ...] = ("Text",), **changes: Any) -> dict[str, Any]:
    """A row of a resource file."""
    return {
        "name": name,
        "description": f"The resource {name}.",
        "modalities": list(modalities),
        "categories": [category],
        "date": "5-2024",
        "primary_link": "Webpage",
        "paper_link": "",
        "website_link": f"https://{name.lower()}.example/",
        "github_link": "",
        "huggingface_link": "",
        "added_by": "Original Authors",
    } | changes


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A resource file with six rows, one of them twice and one with an alias of its category."""
    path = tmp_path / "resources.json"
    path.write_text(
        json.dumps(
            [
                resource("C4", "Pretraining Data Sources"),
                resource("mC4", "Pretraining Data Sources"),
                resource("ImageNet", "Finetuning Data Catalogs", ("Vision",)),
                resource("HarmBench", "Model Evaluation: Risks & Harms", github_link="https://github.com/harm/bench"),
                resource("HarmBench", "Risks & Harms Evaluation"),
                resource("Detector", "Usage Monitoring", ("Text", "Speech", "Vision")),
            ]
        )
    )
    return path


def test_the_file_is_imported_once_and_its_findings_are_numbers(project: Path, published: Path) -> None:
    first = watershed("cheatsheet", "import", str(published))
    assert first.exit_code == 0, first.output
    assert "6 rows: 4 kept, 1 merged, 1 repaired" in first.output
    again = watershed("cheatsheet", "import", str(published))
    assert "nothing to do" in again.output
    assert rows(project, "SELECT resources, text, speech, vision FROM cheatsheet.by_category WHERE number = '7.4'") == [
        (1, 1, 1, 1)
    ]
    by_year = rows(project, "SELECT resources FROM cheatsheet.by_year WHERE year = 2024")
    assert by_year == rows(project, "SELECT count(*) FROM cheatsheet.resources WHERE year = 2024")
    assert len(rows(project, "SELECT * FROM cheatsheet.coverage")) == 21
    findings = {
        (finding, measure): (resources, total)
        for finding, measure, resources, total in rows(
            project, "SELECT finding, measure, resources, total FROM cheatsheet.findings"
        )
    }
    assert findings[3, "Pretraining Data Sources: English only"] == (1, 2)
    assert findings[3, "Pretraining Data Sources: multilingual, or one language other than English"] == (1, 2)
    assert findings[3, "all stages: for text only"] == (3, 5)
    assert findings[
        2, "Risks & Harms Evaluation and Risks & Harms Taxonomies: code or data to run it again is linked"
    ] == (
        1,
        1,
    )
    assert {finding for finding, _ in findings} == {1, 2, 3, 4}
    assert watershed("check", *(f"cheatsheet.{name}" for name in ("raw", "resources", "codings"))).exit_code == 0
    # Another file replaces the rows of the first.
    published.write_text(json.dumps([resource("C4", "Pretraining Data Sources")]))
    assert watershed("cheatsheet", "import", str(published)).exit_code == 0
    assert rows(project, "SELECT count(*) FROM cheatsheet.raw WHERE source = 'published'") == [(1,)]


def test_what_cannot_be_read_is_refused_and_the_lake_keeps_its_rows(project: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("<html>not here</html>")
    for place in (str(bad), str(tmp_path / "missing.json"), "http://127.0.0.1:9/resources.json"):
        result = watershed("cheatsheet", "import", place)
        assert result.exit_code == 2, result.output
        assert len(result.output.splitlines()) == 2
    assert not (project / "lake").exists()


def test_a_contributor_learns_what_to_change(published: Path, tmp_path: Path) -> None:
    good = watershed("cheatsheet", "check", str(published), "--against", str(published))
    assert (good.exit_code, good.output) == (0, "0 rows checked: no faults\n")
    new = tmp_path / "new.json"
    added = [resource("Stream", "Data Cleaning"), resource("River", "Rivers\x1b[2J", date="spring 2024")]
    new.write_text(json.dumps([*json.loads(published.read_text()), *added]))
    bad = watershed("cheatsheet", "check", str(new), "--against", str(published))
    assert bad.exit_code == 1
    assert "\x1b" not in bad.output
    lines = bad.output.splitlines()
    assert lines[-1] == "2 rows checked: 1 with faults"
    assert any("no category has this name" in line for line in lines)
    assert any("write the month and the year, such as 7-2023" in line for line in lines)
    found = watershed("cheatsheet", "check", str(new), "--against", str(published), "--json")
    assert {json.loads(line)["field"] for line in found.output.splitlines()} == {"name", "categories", "date"} - {
        "name"
    }


@pytest.mark.skipif(not SHARED, reason="the published file is not here")
def test_the_numbers_of_the_page_are_those_of_the_published_file(project: Path) -> None:
    result = watershed("cheatsheet", "import", f"{SHARED}/data/cheatsheet/cheatsheet_resources.json")
    assert result.exit_code == 0, result.output
    page = (Path(__file__).parents[4] / "docs" / "cheatsheet.md").read_text()
    for finding, measure, resources, total, share in rows(
        project, "SELECT finding, measure, resources, total, share FROM cheatsheet.findings"
    ):
        assert f"| {finding} | {measure} | {resources} | {total} | {share:.0%} |" in page
