"""Rows that break a contract stop all downstream assets, even if the rows were changed outside Dagster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from dagster_project.definitions import defs, steps
from dagster_project.run import failure
from tests.small_lake import plant, write_lake

PLANTED = {
    "a null key": ("dclm.scores", {0: {"doc_id": None}}),
    "a score of two": ("dclm.scores", {0: {"score": 2.0}}),
    "an unknown language": ("dclm.documents", {0: {"language": "xx"}}),
}


def attempt(table: str) -> str:
    """Materialise the step of `table`, which must fail, and return the cause of the failure."""
    made = steps().by_table[table].contracts
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def("curation" if table.startswith("dclm") else "scaling").execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(contract.name.split(".")) for contract in made],
            partition_key="70k-0.2xC" if table == "models.checkpoints" else None,
            raise_on_error=False,
        )
        assert not result.success
        return failure(result).cause


@pytest.mark.parametrize(("table", "changes"), PLANTED.values(), ids=PLANTED)
def test_shards_are_not_made_from_broken_rows_however_far_up(
    table: str, changes: dict[int, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_lake(tmp_path)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    assert "fails its contract" not in attempt("dclm.shards")
    plant(settings, table, changes)
    assert attempt("dclm.shards").startswith(f"{table} fails its contract")


def test_a_trainer_does_not_start_on_shards_whose_upstream_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_lake(tmp_path)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    plant(settings, "dclm.scores", {0: {"score": 2.0}})
    assert attempt("models.checkpoints").startswith("dclm.scores fails its contract")
    assert not (settings.files_root / "models").exists()
