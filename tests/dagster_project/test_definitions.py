"""The definitions: what Dagster shows of a table equals its contract, and every table has one job."""

from __future__ import annotations

import subprocess
import sys

import dagster as dg
import pytest
import yaml
from demo_project import ROOT

from catalog.contract import Contract
from catalog.tables import CONTRACTS
from dagster_project.assets import steps
from dagster_project.definitions import defs
from dagster_project.engine.checks import CHECK
from dagster_project.engine.due import UP_TO_DATE
from dagster_project.engine.page import column_description
from dagster_project.jobs import COMMANDS, TABLES


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    return defs.resolve_asset_graph()


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda contract: contract.name)
def test_every_contract_is_an_asset_with_its_columns_upstreams_and_a_blocking_check(
    graph: dg.AssetGraph, contract: Contract
) -> None:
    node = graph.get(dg.AssetKey(contract.name.split(".")))
    assert node.description and node.description.startswith(contract.description)
    assert node.group_name == contract.family
    shown = {column.name: column.description for column in node.metadata["dagster/column_schema"].columns}
    assert shown == {column.name: column_description(column) for column in contract.columns}
    assert {".".join(key.path) for key in node.parent_keys} == set(contract.upstream)
    check = graph.get(dg.AssetCheckKey(node.key, CHECK))
    assert check.blocking
    due = dg.AssetCheckKey(node.key, UP_TO_DATE)
    assert graph.has(due) == (contract.name in steps().by_table)
    assert not graph.has(due) or not graph.get(due).blocking


def test_the_jobs_make_every_table_once(graph: dg.AssetGraph) -> None:
    made = [table for tables in TABLES.values() for table in tables]
    assert sorted((*made, *COMMANDS)) == sorted(CONTRACTS)
    for job, tables in TABLES.items():
        selected = defs.resolve_job_def(job).asset_layer.selected_asset_keys
        assert {".".join(key.path) for key in selected} == set(tables)


def test_no_asset_has_more_than_a_few_thousand_partitions_and_the_graph_draws_at_once(graph: dg.AssetGraph) -> None:
    keys = graph.get_all_asset_keys()
    assert len(keys) <= 150
    with dg.DagsterInstance.ephemeral() as instance:
        for cut in {step.cut for step in steps().ordered if step.cut}:
            everything = [f"{g}-{local}" for g in range(10) for local in range(10)]
            cut.follow(instance, everything)
            assert 0 < len(cut.known(instance)) <= 5000


def test_plain_dagster_loads_the_workspace_file() -> None:
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    assert workspace["load_from"][0]["python_module"]["module_name"] == "dagster_project.definitions"
    subprocess.run(
        [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
