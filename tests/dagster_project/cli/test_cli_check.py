"""`watershed check`: its exit code, and the report of each failure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from catalog.settings import Settings
from dagster_project.cli.check import check_command
from tests.small_lake import CURATED, doc_id, plant, settings_in, write_lake


def check(*arguments: str) -> Result:
    """Run `watershed check`."""
    return CliRunner().invoke(check_command, arguments)


def test_a_good_lake_passes(lake: Settings) -> None:
    result = check()
    assert result.exit_code == 0, result.output
    assert f"{len(CURATED)} tables" in result.stdout
    assert "FAILED" not in result.stdout


@pytest.mark.parametrize(
    ("table", "row", "change", "text"),
    [
        (
            "dclm.documents",
            4,
            {"doc_id": None},
            "observed 1 null in 6 rows; in global_shard=0/local_shard=0; e.g. doc_id=NULL, ",
        ),
        ("dclm.scores", 1, {"score": 2.0}, f"observed 0.0 to 2.0, 1 of 3 values outside; e.g. doc_id='{doc_id(2)}', "),
        ("dclm.documents", 2, {"language": "xx"}, f"e.g. doc_id='{doc_id(2)}', language='xx'"),
    ],
)
def test_a_planted_fault_fails_and_is_named(
    lake: Settings, table: str, row: int, change: dict[str, Any], text: str
) -> None:
    plant(lake, table, {row: change})
    result = check(table)
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith(f"FAILED {table}:")]
    assert text in line


def test_the_process_of_a_failed_check_exits_with_1(lake: Settings) -> None:
    plant(lake, "dclm.scores", {0: {"score": 2.0}})
    program = "from dagster_project.cli import main; main()"
    command = [sys.executable, "-c", program, "check", "dclm.scores"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [(["dclm.nope"], "no table is called 'dclm.nope'"), (["dclm.shards"], "dclm.shards is not made yet")],
)
def test_a_check_that_cannot_run_exits_with_2(lake_of_pool: Settings, arguments: list[str], cause: str) -> None:
    result = check(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {cause}")
    assert "\nmend:  " in result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def lake_of_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project whose lake has the pool alone."""
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    return write_lake(tmp_path, ("dclm.pool",))


def test_tables_that_are_not_made_are_listed_and_do_not_fail(lake_of_pool: Settings) -> None:
    result = check()
    assert result.exit_code == 0
    assert "not made yet: dclm.documents, dclm.measurements" in result.stdout


def test_a_project_without_a_lake_exits_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(settings_in(tmp_path).project))
    result = check()
    assert result.exit_code == 2
    assert "no table of the catalog is made here" in result.stderr


def test_an_unreadable_table_fails(lake: Settings) -> None:
    for commit in (Path(lake.lake_root) / "dclm" / "scores" / "_delta_log").glob("*.json"):
        commit.write_text("{nonsense")
    result = check("dclm.scores")
    assert result.exit_code == 1
    assert "dclm/scores/_delta_log/00000000000000000000.json has 9 bytes" in result.stdout


def test_reports_for_programs_go_to_stdout_or_a_file(lake: Settings, tmp_path: Path) -> None:
    plant(lake, "dclm.scores", {0: {"score": 2.0}})
    assert json.loads(check("dclm.scores", "--format", "json").stdout)["passed"] is False
    assert check("dclm.scores", "--format", "github").stdout.startswith("::error title=dclm.scores")
    path = tmp_path / "reports" / "check.xml"
    result = check("dclm", "--format", "junit", "-o", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert ElementTree.parse(path).getroot().get("failures") == "1"
    assert [each.name for each in path.parent.iterdir()] == ["check.xml"]


def test_great_expectations_gives_the_same_verdict(lake: Settings) -> None:
    plant(lake, "dclm.scores", {1: {"score": 2.0}})
    by_gx, by_duckdb = check("dclm.scores", "--engine", "gx"), check("dclm.scores")
    assert by_gx.exit_code == by_duckdb.exit_code == 1
    failed = [line for line in by_duckdb.stdout.splitlines() if line.startswith("FAILED")]
    assert failed
    assert failed == [line for line in by_gx.stdout.splitlines() if line.startswith("FAILED")]
