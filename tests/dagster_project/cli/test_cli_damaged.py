"""What the command line says about a damaged lake: the table is named, all others work, and the advice helps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.progress import listening, track
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.storage.records import LOG, entry_path, measured_files
from catalog.tables import contract
from dagster_project.assets import steps
from dagster_project.cli import main
from dagster_project.cli.screen.bars import Bars
from dagster_project.cli.screen.prompt import run_prompt
from dagster_project.jobs import COMMANDS
from dagster_project.run import wanted
from tests.small_lake import CURATED, doc_id


def watershed(*arguments: str) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, arguments)


def table(lake: Settings, name: str) -> Path:
    """The folder of a table."""
    return Path(Lake.of(lake).path(name))


def tear(lake: Settings, name: str) -> None:
    """Empty the last log entry of a table, as a machine that loses power may."""
    sorted((table(lake, name) / LOG).glob("*.json"))[-1].write_text("")


def refused(result: Result, name: str) -> None:
    """The result must be two lines about the table, and exit code 2."""
    assert result.exit_code == 2, result.output
    error, mend = result.stderr.splitlines()
    assert error.startswith(f"error: {name} is damaged: ")
    assert mend == f"mend:  see what can be done with `watershed repair {name}`"


@pytest.mark.slow
def test_every_command_names_a_torn_table_and_answers_for_the_others(lake: Settings) -> None:
    tear(lake, "dclm.scores")
    tables = watershed("tables")
    assert tables.exit_code == 0
    assert [line.split()[0] for line in tables.stdout.splitlines() if "is damaged" in line] == ["dclm.scores"]
    assert tables.stdout.count("fits its contract") == len(CURATED) - 1
    refused(watershed("describe", "dclm.scores"), "dclm.scores")
    refused(watershed("sql", "SELECT count(*) FROM dclm.scores"), "dclm.scores")
    assert watershed("sql", "SELECT 1 AS one").stdout.split() == ["one", "1"]
    assert watershed("sql", "SELECT count(*) AS n FROM dclm.pool").stdout.split() == ["n", "1"]
    refused(watershed("make", "dclm.mixture"), "dclm.scores")
    traced = watershed("trace", doc_id(2))
    assert traced.exit_code == 0, traced.output
    tear(lake, "dclm.verdicts")
    assert "dclm.funnel: needs dclm.verdicts, damaged" in watershed("sql", "FROM dclm.funnel").stderr


def test_the_prompt_begins_with_the_damaged_tables(lake: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    tear(lake, "dclm.scores")
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()), connect(lake) as connection:
        keys.send_text(".quit\r")
        run_prompt(connection)
    error, mend, *_ = capsys.readouterr().err.splitlines()
    assert error.startswith("error: dclm.scores is damaged: ")
    assert mend == "mend:  see what can be done with `watershed repair dclm.scores`"


@pytest.mark.parametrize("table", ["dclm.documents", "dclm.spans", "models.batches"])
def test_trace_names_the_damaged_table_that_it_needs(lake: Settings, table: str) -> None:
    # Without its spans and batches, it is not known which models have read a document.
    tear(lake, table)
    refused(watershed("trace", doc_id(2)), table)


def test_check_reports_the_damaged_table_and_checks_all_others(lake: Settings) -> None:
    tear(lake, "dclm.scores")
    result = watershed("check", "--format", "json")
    assert result.exit_code == 1
    outcomes = json.loads(result.stdout)["outcomes"]
    assert {outcome["table"] for outcome in outcomes} == set(CURATED)
    (damaged,) = [outcome for outcome in outcomes if outcome["table"] == "dclm.scores"]
    assert damaged["label"] == "storage"
    assert "is empty" in damaged["observed"]
    others = [outcome for outcome in outcomes if not outcome["passed"] and outcome is not damaged]
    assert {outcome["observed"] for outcome in others} == {"that dclm.scores is damaged"}


def test_repair_shows_and_then_does_what_check_asked_for(lake: Settings) -> None:
    tear(lake, "dclm.scores")
    shown = watershed("repair", "dclm.scores")
    assert shown.exit_code == 1
    assert "would restore _delta_log/" in shown.stdout
    assert "run `watershed repair dclm.scores --yes`" in shown.stdout
    refused(watershed("sql", "FROM dclm.scores"), "dclm.scores")
    done = watershed("repair", "dclm.scores", "--yes")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "dclm.scores is whole"
    assert watershed("check").exit_code == 0
    assert watershed("repair", "dclm.scores").stdout == "dclm.scores is whole: there is nothing to repair\n"


def test_check_storage_reads_every_file_and_names_the_damaged_one(lake: Settings) -> None:
    sound = watershed("check", "--storage")
    assert sound.exit_code == 0, sound.output
    assert "s a gigabyte" in sound.stderr
    path = next(table(lake, "dclm.documents").rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    result = watershed("check", "--storage", "dclm")
    assert result.exit_code == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("FAILED dclm.documents: ")]
    assert f"{path} differs from what was written" in line
    assert "with doc_id from 000" in line


def test_a_missing_data_file_fails_its_table_and_no_other(lake: Settings) -> None:
    next(table(lake, "dclm.scores").glob("*.parquet")).unlink()
    result = watershed("check")
    assert result.exit_code == 1, result.output
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert [line for line in failed if line.startswith("FAILED dclm.scores: ") and "is missing" in line]
    # What refers to its rows cannot be decided.
    others = [line for line in failed if not line.startswith("FAILED dclm.scores: ")]
    assert others
    assert all("observed that files of dclm.scores are missing or damaged" in line for line in others)


def test_a_table_that_lacks_partitions_is_partial_in_every_command(lake: Settings) -> None:
    held = Lake.of(lake)
    keys = [f"run={run}" for run in ("10k-1xC", "20k-1xC", "10k-2xC", "20k-2xC")]
    rows = held.read("models.checkpoints")
    held.plan_partitions("models.checkpoints", keys)
    first = rows.slice(0, 1)
    held.replace(contract("models.checkpoints"), first, "a" * 16, {"run": first["run"][0].as_py()})
    (line,) = [line for line in watershed("tables").stdout.splitlines() if line.startswith("models.checkpoints")]
    assert line.rstrip().endswith("1 of 4 partitions")
    assert "1 of 4 partitions" in watershed("describe", "models.checkpoints").stdout
    failed = watershed("check", "models.checkpoints")
    assert failed.exit_code == 1
    assert "FAILED models.checkpoints: expected all partitions; observed 1 of 4 partitions, without " in failed.stdout
    assert watershed("check", "models.checkpoints", "--partial").exit_code == 0


def test_made_is_said_of_what_was_made_alone(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars(Console(width=160))
    with listening(bars):
        with track("dclm.pool", 4, "partitions") as task:
            task.advance(4)
        with track("dclm.documents", 4, "partitions") as task:
            task.advance(1)
        with pytest.raises(KeyboardInterrupt), track("dclm.shards", 1):
            raise KeyboardInterrupt
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines] == [["made", "dclm.pool"], ["not", "made"], ["not", "made"]]
    assert " ".join(lines[1][2:]).endswith("1 of 4 partitions")


@pytest.mark.parametrize(("name", "command"), COMMANDS.items())
def test_make_of_a_table_that_a_command_writes_names_the_command(name: str, command: str) -> None:
    with pytest.raises(WatershedError, match="is written by a command") as refused:
        wanted(steps(), [name])
    assert refused.value.mend == f"run `{command}`"


def test_a_fault_in_what_a_step_wrote_beside_its_table_fails_the_check(lake: Settings) -> None:
    held = Lake.of(lake)
    weights = held.folder("models.targets", "model.pt")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"w" * 5000)
    held.record_files("models.targets", "", measured_files(held.files, [weights]))
    assert watershed("check", "models.targets").exit_code == 0
    weights.write_bytes(b"w" * 4000)
    result = watershed("check", "models.targets")
    assert result.exit_code == 1
    assert f"{weights} has 4,000 bytes, not the 5,000 that were written; behind it: models.targets" in result.stdout


def test_check_lists_some_of_many_faults_and_check_storage_all(lake: Settings) -> None:
    held = Lake.of(lake)
    folder = held.folder("models.targets", "run")
    folder.mkdir(parents=True)
    for number in range(30):
        (folder / f"{number:02}.pt").write_bytes(b"w" * 50)
    held.record_files("models.targets", "", measured_files(held.files, [folder]))
    shutil.rmtree(folder)
    some = [line for line in watershed("check", "models.targets").stdout.splitlines() if line.startswith("FAILED")]
    assert len(some) == 21
    assert "observed 10 more faults, which `watershed check --storage` names" in some[-1]
    every = watershed("check", "--storage", "models.targets").stdout
    assert all(f"{folder}/{number:02}.pt is missing" in every for number in range(30))


def test_a_gap_is_named_by_the_entry_that_is_missing(lake: Settings) -> None:
    (table(lake, "dclm.pool") / entry_path(1)).unlink()
    refused(watershed("sql", "FROM dclm.pool"), "dclm.pool")
    assert f"{entry_path(1)} is missing: version 1 was recorded" in watershed("repair", "dclm.pool").stdout
