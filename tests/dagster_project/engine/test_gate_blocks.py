"""Rows that break a contract stop all downstream assets, even if the rows were changed outside Dagster."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from catalog.lake import Lake, partition_key
from catalog.tables import CONTRACTS
from dagster_project.assets import steps
from dagster_project.definitions import defs
from dagster_project.engine.broken_rows import broken_rows
from dagster_project.engine.checks import _last
from dagster_project.engine.markdown import markdown
from dagster_project.run import failure
from quality.gate import check
from quality.outcome import Outcome
from tests.small_lake import CURATED, good_rows, plant, write_lake

PLANTED = {
    "a null key": ("dclm.scores", {0: {"doc_id": None}}),
    "a score of two": ("dclm.scores", {0: {"score": 2.0}}),
    "an unknown language": ("dclm.documents", {0: {"language": "xx"}}),
}


def attempt(table: str, culprit: str = "") -> tuple[str, dg.AssetCheckEvaluation | None]:
    """Materialise the step of `table`, which must fail.

    Returns the cause of the failure, and the last check that was recorded at the table `culprit`.
    """
    made = steps().by_table[table].contracts
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("curation" if table.startswith("dclm") else "scaling").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(contract.name.split(".")) for contract in made],
            partition_key="70k-0.2xC" if table == "models.checkpoints" else None,
            raise_on_error=False,
        )
        assert not result.success
        return failure(result).cause, _last(instance, culprit) if culprit else None


@pytest.mark.parametrize(("table", "changes"), PLANTED.values(), ids=PLANTED)
def test_shards_are_not_made_from_broken_rows_however_far_up(
    table: str, changes: dict[int, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_lake(tmp_path, CURATED)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    assert "fails its contract" not in attempt("dclm.shards")[0]
    plant(settings, table, changes)
    cause, check = attempt("dclm.shards", table)
    assert cause.startswith(f"{table} fails its contract")
    assert check and not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    assert "expectations hold" not in (check.description or "")
    (column,) = changes[0]
    rows = str(check.metadata["example rows"].value)
    assert f"| {markdown(column)} |" in rows
    assert table in str(check.metadata["what to do"].value)
    key = partition_key({"global_shard": 0, "local_shard": 0}) if table == "dclm.documents" else ""
    assert list(Lake.of(settings).broken(table)) == [key], "its partition is due"
    if key:
        assert check.metadata["where"].value == "partition 0-0"
        assert cause.startswith(f"{table} fails its contract: partition 0-0: expected ")


def test_a_trainer_does_not_start_on_shards_whose_upstream_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_lake(tmp_path, CURATED)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    plant(settings, "dclm.scores", {0: {"score": 2.0}})
    assert attempt("models.checkpoints")[0].startswith("dclm.scores fails its contract")
    assert not (settings.files_root / "models").exists()


def test_strangers_text_is_shown_as_text_shortened_and_personal_data_not_at_all() -> None:
    evil = "<script>alert(1)</script>|`[x](javascript:1)\n\x1b[31m\u202e" + "long " * 100
    outcome = Outcome(
        table="dclm.documents",
        label="language__be_in_set",
        column="language",
        statement="language one of <b>",
        passed=False,
        observed="1 of 6 values not among them",
        violations=1,
        examples=tuple({"doc_id": evil, "url": "https://person.example/"} for _ in range(50)),
        partitions=(("global_shard=0/local_shard=3", 1),),
    )
    shown = broken_rows(CONTRACTS["dclm.documents"], [outcome] * 30)
    assert [part for part in ("<script", "\x1b", "\u202e", "<b>") if part in shown] == []
    assert re.search(r"(?<!\\)[`\[]", shown) is None
    assert "person.example" not in shown
    assert "| 0-3 |" in shown
    assert len(shown) < 60_000
    assert "20 more expectations" in shown


def test_rows_of_a_partition_that_is_to_be_made_again_are_not_compared_with_others(tmp_path: Path) -> None:
    """While a backfill is under way, an archive that has moved is in its old shard and in its new one."""
    settings = write_lake(tmp_path, CURATED)
    plant(settings, "dclm.documents", {1: {"doc_id": good_rows()["dclm.documents"][0]["doc_id"]}})
    (failed,) = (o for o in check(settings, ["dclm.documents"], partial=True) if o.failed and o.column == "doc_id")
    places = [key for key, _ in failed.partitions]
    assert places == ["global_shard=0/local_shard=0", "global_shard=1/local_shard=0"]
    assert "global_shard=1/local_shard=0" in failed.line()
    outdated = {"dclm.documents": [{"global_shard": 1, "local_shard": 0}]}
    assert not [o.line() for o in check(settings, ["dclm.documents"], partial=True, outdated=outdated) if o.failed]


def test_duplicates_within_the_outdated_partitions_complement_still_fail(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, CURATED)
    plant(settings, "dclm.documents", {2: {"doc_id": good_rows()["dclm.documents"][0]["doc_id"]}})
    outdated = {"dclm.documents": [{"global_shard": 1, "local_shard": 0}]}
    found = check(settings, ["dclm.documents"], partial=True, outdated=outdated)
    assert [o.column for o in found if o.failed and o.label.endswith("unique")] == ["doc_id"]
