"""`watershed make --plan` and `watershed tables`: what is due and why, before anything is made."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from small_crawl import add, make, new_crawl

from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.assets import steps
from dagster_project.cli import main
from dagster_project.engine.checks import checked
from dagster_project.engine.due import UP_TO_DATE, report
from dagster_project.engine.markdown import plain
from dagster_project.engine.steps import State
from spark_jobs.recipes.recipe import RECIPES

TABLES = ("dclm.pool", "dclm.documents", "dclm.measurements", "dclm.verdicts", "dclm.duplicates")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project of three archives, with tables that are up to date."""
    settings = new_crawl(tmp_path / "project")
    add(settings, "a.warc", "b.warc", "c.warc")
    make(settings, TABLES)
    monkeypatch.setenv("WATERSHED_PROJECT", str(settings.project))
    monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
    return settings


def watershed(*words: str) -> str:
    result = CliRunner().invoke(main, words, env={"COLUMNS": "220"})
    assert result.exit_code == 0, result.output
    return result.output


def versions(settings: Settings) -> dict[str, int | None]:
    lake = Lake.of(settings)
    return {name: lake.version(name) for name in TABLES}


def planned(output: str) -> dict[str, str]:
    """Return the lines of a plan by step."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in output.splitlines() if line.startswith("dclm.")}


def test_nothing_is_planned_of_a_lake_that_is_up_to_date(project: Settings) -> None:
    assert watershed("make", "--plan").strip() == "Everything is up to date: nothing would be made."


def test_a_new_archive_is_the_cause_of_all_that_is_planned(project: Settings) -> None:
    add(project, "!.warc")
    before = versions(project)
    output = watershed("make", "--plan")
    lines = planned(output)
    assert list(lines) == list(TABLES)
    assert lines["dclm.pool"].startswith("1 of 4: 0-3 0 ")
    assert lines["dclm.pool"].endswith("!.warc was added")
    assert lines["dclm.documents"].endswith("(dclm.pool 0-3: !.warc was added)")
    assert "5 steps" in output and "Nothing was made." in output
    assert versions(project) == before
    shown = planned(watershed("tables"))
    assert shown["dclm.verdicts"].endswith("1 of 4 partitions due: dclm.pool 0-3: !.warc was added")
    assert shown["dclm.duplicates"].endswith("fits its contract; due: dclm.pool 0-3: !.warc was added")


def test_an_edited_recipe_of_the_project_is_seen_in_the_plan_before_anything_is_made(project: Settings) -> None:
    own = project.recipes_folder / "gopher.yaml"
    own.parent.mkdir()
    text = (RECIPES / "gopher.yaml").read_text()
    own.write_text(text)
    assert "Everything is up to date" in watershed("make", "--plan"), "a copy of the recipe changes nothing"
    threshold = next(line for line in text.splitlines() if line.strip().startswith("threshold:"))
    own.write_text(
        text.replace(threshold, threshold.partition(":")[0] + ": [7, 9]", 1)
        if "[" in threshold
        else text.replace(threshold, threshold.partition(":")[0] + ": 7", 1)
    )
    lines = planned(watershed("make", "--plan"))
    # A threshold is applied to stored statistics, so that no text is measured again.
    assert list(lines) == ["dclm.verdicts", "dclm.duplicates"]
    assert lines["dclm.verdicts"].startswith("3 of 3: 0-0, 0-1, 0-2 ")
    assert "its recipe or code version changed" in lines["dclm.verdicts"]
    own.write_text(text.replace("name: gopher", "name: other", 1))
    result = CliRunner().invoke(main, ["make", "--plan"])
    assert result.exit_code == 2
    assert "is called 'other'" in result.output


def test_past_runs_give_the_time_of_a_plan(project: Settings) -> None:
    from dagster_project.instance import open_instance

    instance = open_instance(project)
    for key, seconds in (("0-0", 3.0), ("0-1", 5.0)):
        instance.report_runless_asset_event(
            dg.AssetMaterialization(["dclm", "documents"], partition=key, metadata={"seconds": seconds})
        )
    instance.dispose()
    add(project, "d.warc", "e.warc")
    assert " 8.0 " in planned(watershed("make", "--plan", "dclm.documents"))["dclm.documents"]


def test_tables_that_were_made_before_are_the_default_and_an_empty_lake_has_none(tmp_path: Path) -> None:
    settings = new_crawl(tmp_path / "empty")
    result = CliRunner().invoke(main, ["make", "--plan"], env={"WATERSHED_PROJECT": str(settings.project)})
    assert result.exit_code == 2
    assert "no table has been made here" in result.output and "mend:" in result.output


def test_dagster_is_told_what_is_due_once_and_partitions_follow_the_crawl(project: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:

        def said(table: str) -> tuple[bool, str | None, int]:
            key = dg.AssetCheckKey(dg.AssetKey(table.split(".")), UP_TO_DATE)
            found = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
            event = found[0].event.dagster_event if found and found[0].event else None
            assert event
            evaluation = event.asset_check_evaluation_data
            return evaluation.passed, evaluation.description, len(found)

        assert report(instance, project) == []
        assert said("dclm.documents") == (True, "All 3 partitions are up to date.", 1)
        assert list(instance.get_dynamic_partitions("pool_shards")) == ["0-0", "0-1", "0-2"]
        add(project, "!.warc")
        assert report(instance, project) == list(TABLES)
        assert report(instance, project) == list(TABLES)
        assert said("dclm.documents") == (False, "1 of 4 partitions due: dclm.pool 0-3: !.warc was added.", 2)
        assert list(instance.get_dynamic_partitions("pool_shards")) == ["0-0", "0-1", "0-2", "0-3"]
        (project.project / "crawl" / "!.warc").unlink()
        assert report(instance, project) == []
        assert list(instance.get_dynamic_partitions("pool_shards")) == ["0-0", "0-1", "0-2"]


def test_a_table_that_was_changed_outside_is_checked_before_a_plan_and_its_broken_partition_is_due(
    project: Settings,
) -> None:
    from deltalake import write_deltalake

    lake = Lake.of(project)
    rows = lake.read("dclm.pool")
    copied = rows["local_shard"].to_pylist().index(1)
    write_deltalake(lake.table("dclm.pool"), rows.slice(copied, 1), mode="append")
    with dg.DagsterInstance.ephemeral() as instance:
        evaluation = checked(instance, project, "dclm.pool")
        assert evaluation and not evaluation.passed
        assert plain(evaluation.description or "").startswith("partition 0-1: expected ")
        assert checked(instance, project, "dclm.pool") == evaluation, "the recorded check of this version is used"
    state = State(steps(), project)
    assert [
        state.place("dclm.pool", key)
        for key in state.keys(state.steps.by_table["dclm.pool"])
        if state.is_due(state.steps.by_table["dclm.pool"], key)
    ] == ["dclm.pool 0-1"]
    lines = planned(watershed("make", "--plan", "dclm.pool"))
    assert "its rows break the contract" in lines["dclm.pool"]
