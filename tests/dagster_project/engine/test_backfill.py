"""A backfill of many (global, local) shards of the pool. Two shards fail, and only these are made again."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from demo_project import Project, serving, watershed

from catalog.inventory import table_state
from catalog.lake import Lake, Written, partition_key
from catalog.tables import contract
from dagster_project.families.dclm.partitions import POOL_SHARDS
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo

SHARDS = [f"{number // 10}-{number % 10}" for number in range(20)]
BROKEN = ("0-7", "0-8")
PATIENCE = 1800
LAUNCH = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}"""
STATUS = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) { __typename ... on PartitionBackfill { status } }
}"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A crawl of twenty archives with one page each, a shard for every archive, and its pool."""
    folder = tmp_path_factory.mktemp("backfill")
    (folder / "crawl").mkdir()
    (folder / "watershed.toml").write_text('[crawl]\ninputs = ["crawl"]\nfiles_per_shard = 1\n')
    for number in range(len(SHARDS)):
        write_archive(folder / "crawl" / f"{number:03d}.warc.gz", number)
    return Project(folder, watershed(folder, "make", "dclm.pool"))


def write_archive(path: Path, number: int) -> None:
    page = f"<html><body><p>Page {number} of the miniature pool, which has twenty of them.</p></body></html>"
    payload = page.encode()
    message = http_message("200 OK", (("Content-Type", "text/html"),), payload)
    url = f"https://backfill.example/{number}"
    records = [
        warcinfo(path.name, "a miniature pool"),
        response(url, message, payload, file_name=path.name, index=1),
    ]
    path.write_bytes(b"".join(gzip_member(record) for record in records))


def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]


def backfill(address: str, table: str, partitions: Sequence[str]) -> str:
    """Launch a backfill as the UI does, wait for its end, and return its last status."""
    parameters = {"assetSelection": [{"path": table.split(".")}], "partitionNames": list(partitions)}
    launched = ask(address, LAUNCH, parameters=parameters)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status = ask(address, STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        if status.startswith("COMPLETED") or status in ("FAILED", "CANCELED"):
            return status
        time.sleep(1)
    raise AssertionError(f"the backfill of {table} did not end")


def written(project: Project) -> dict[str, Written]:
    """Return the last commit of each shard of dclm.documents."""
    return Lake.of(project.settings).written("dclm.documents")


def shard(key: str) -> str:
    """A Dagster partition key as commits name the partition."""
    return partition_key(POOL_SHARDS.columns(key))


@pytest.mark.campaign
def test_two_shards_of_twenty_fail_and_are_made_again_alone(project: Project) -> None:
    archives = sorted((project.folder / "crawl").iterdir())
    whole = {key: archives[SHARDS.index(key)].read_bytes() for key in BROKEN}
    with serving(project.folder) as address:
        for key, held in whole.items():
            archives[SHARDS.index(key)].write_bytes(held + b"more")
        assert backfill(address, "dclm.documents", SHARDS) == "COMPLETED_FAILED"
        lake = Lake.of(project.settings)
        first, version = written(project), lake.version("dclm.documents")
        assert version is not None
        assert first.keys() == {shard(key) for key in SHARDS} - {shard(key) for key in BROKEN}
        state = table_state(Lake.of(project.settings), contract("dclm.documents"))
        assert state.summary == "18 of 20 partitions"
        commits = {commit.version for commit in first.values()}
        assert len(commits) < len(first) / 2, "many partitions share a commit, those beside a broken one too"
        for key, held in whole.items():
            archives[SHARDS.index(key)].write_bytes(held)
        assert backfill(address, "dclm.documents", BROKEN) == "COMPLETED_SUCCESS"
    both = written(project)
    assert len(both) == len(SHARDS)
    assert first.items() <= both.items()
    assert {key for key, commit in both.items() if commit.version > version} == {shard(key) for key in BROKEN}
    pages = project.rows("SELECT global_shard * 10 + local_shard, url FROM dclm.documents ORDER BY ALL")
    assert [place for place, _ in pages] == list(range(len(SHARDS)))
