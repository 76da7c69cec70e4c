"""The (global, local) shards of a pool in the UI: a backfill in which two fail, what is due, and broken rows repaired.

A crawl of twenty archives with one page each has a shard for every archive. What is due is made by one click, and
nothing else.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from demo_project import Project, serving, watershed
from playwright.sync_api import Page, expect

from catalog.inventory import table_state
from catalog.lake import Lake, Written, partition_key
from catalog.tables import contract
from dagster_project.families.dclm.partitions import POOL_SHARDS
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo

SHARDS = [f"{number // 10}-{number % 10}" for number in range(20)]
BROKEN = ("0-7", "0-8")
ADDED = "2-0"
PLANTED = "0-3"
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
CHECKS = """
query ($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1) {
    status evaluation { success description } }
}"""
RUNS = "query { runsOrError(limit: 1) { ... on Runs { results { runId status jobName } } } }"
MATERIALISED = """
query ($id: ID!) {
  runsOrError(filter: { tags: [{ key: "dagster/parent_run_id", value: "%s" }] }) {
    ... on Runs { results { status assetMaterializations { assetKey { path } partition metadataEntries {
      label ... on IntMetadataEntry { intValue } } } } } }
}"""
JOB = "/locations/dagster_project.definitions/jobs/make_what_is_due/playground"
T = TypeVar("T")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A crawl of twenty archives with one page each, a shard for every archive, and its pool."""
    folder = tmp_path_factory.mktemp("backfill")
    (folder / "crawl").mkdir()
    (folder / "watershed.toml").write_text('[crawl]\ninputs = ["crawl"]\nfiles_per_shard = 1\n')
    for number in range(len(SHARDS)):
        write_archive(folder / "crawl" / f"{number:03d}.warc.gz", number)
    return Project(folder, watershed(folder, "make", "dclm.pool"))


@pytest.fixture(scope="module")
def address(project: Project) -> Generator[str]:
    with serving(project.folder) as address:
        yield address


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


def wait_for(found: Callable[[], T | None], what: str) -> T:
    """Return what `found` returns, as soon as it is not None."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (answer := found()) is not None:
            return answer
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen")


def backfill(address: str, table: str, partitions: Sequence[str]) -> str:
    """Launch a backfill as the UI does, wait for its end, and return its last status."""
    parameters = {"assetSelection": [{"path": table.split(".")}], "partitionNames": list(partitions)}
    launched = ask(address, LAUNCH, parameters=parameters)["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def ended() -> str | None:
        status = ask(address, STATUS, id=launched["backfillId"])["partitionBackfillOrError"]["status"]
        return status if status.startswith("COMPLETED") or status in ("FAILED", "CANCELED") else None

    return wait_for(ended, f"the end of the backfill of {table}")


def check_of(address: str, table: str, name: str) -> dict[str, Any] | None:
    """Return the last evaluation of a check."""
    found = ask(address, CHECKS, key={"path": table.split(".")}, name=name)["assetCheckExecutions"]
    return found[0]["evaluation"] if found else None


def due(address: str, table: str, text: str) -> str:
    """Wait until the check `up_to_date` of a table says `text`, and return all that it says."""

    def said() -> str | None:
        evaluation = check_of(address, table, "up_to_date")
        return evaluation["description"] if evaluation and text in evaluation["description"] else None

    return wait_for(said, f"{text!r} at {table}")


def make_what_is_due(page: Page, address: str) -> dict[tuple[str, str], int]:
    """Click once on the job's page, wait for its end, and return the rows of what it made, by table and partition."""
    page.goto(f"{address}{JOB}")
    page.get_by_role("button", name="Launch Run").click()

    def ended() -> str | None:
        run = ask(address, RUNS)["runsOrError"]["results"][0]
        found = ask(
            address,
            'query { runsOrError(filter: { pipelineName: "make_what_is_due" }, limit: 1) { ... on Runs { results '
            "{ runId status } } } }",
        )["runsOrError"]["results"]
        if not found or found[0]["runId"] in seen or found[0]["status"] not in ("SUCCESS", "FAILURE", "CANCELED"):
            return None
        assert found[0]["status"] == "SUCCESS", run
        return found[0]["runId"]

    seen = _SEEN.setdefault(address, set())
    run = wait_for(ended, "the end of make_what_is_due")
    seen.add(run)
    made: dict[tuple[str, str], int] = {}
    query = MATERIALISED.replace("query ($id: ID!)", "query") % run
    for child in ask(address, query)["runsOrError"]["results"]:
        assert child["status"] == "SUCCESS"
        for event in child["assetMaterializations"]:
            rows = next(e["intValue"] for e in event["metadataEntries"] if e["label"] == "dagster/row_count")
            made[".".join(event["assetKey"]["path"]), event["partition"] or ""] = rows
    return made


_SEEN: dict[str, set[str]] = {}


def written(project: Project) -> dict[str, Written]:
    """Return the last commit of each shard of dclm.documents."""
    return Lake.of(project.settings).written("dclm.documents")


def shard(key: str) -> str:
    """A Dagster partition key as commits name the partition."""
    return partition_key(POOL_SHARDS.columns(key))


def pages(project: Project) -> list[int]:
    """Return the shard, 0 to 99, of every document."""
    found = project.rows("SELECT global_shard * 10 + local_shard FROM dclm.documents ORDER BY ALL")
    return [place for (place,) in found]


def test_two_shards_of_twenty_fail_and_are_made_again_alone_with_one_that_was_added(
    project: Project, page: Page, address: str
) -> None:
    archives = sorted((project.folder / "crawl").iterdir())
    whole = {key: archives[SHARDS.index(key)].read_bytes() for key in BROKEN}
    for key, held in whole.items():
        archives[SHARDS.index(key)].write_bytes(held + b"more")
    assert backfill(address, "dclm.documents", SHARDS) == "COMPLETED_FAILED"
    lake = Lake.of(project.settings)
    first, version = written(project), lake.version("dclm.documents")
    assert version is not None
    assert first.keys() == {shard(key) for key in SHARDS} - {shard(key) for key in BROKEN}
    state = table_state(lake, contract("dclm.documents"))
    assert state.summary == "18 of 20 partitions"
    commits = {commit.version for commit in first.values()}
    assert len(commits) < len(first) / 2, "many partitions share a commit, those beside a broken one too"

    for key, held in whole.items():
        archives[SHARDS.index(key)].write_bytes(held)
    # Its name sorts before all others, and it is placed behind them.
    write_archive(project.folder / "crawl" / "!.warc.gz", 20)
    said = due(address, "dclm.documents", "3 of 21 partitions due")
    assert "dclm.pool 2-0: !.warc.gz was added" in said
    page.goto(f"{address}/assets/dclm/documents?view=checks&checkDetail=up_to_date")
    expect(page.get_by_text("3 of 21 partitions due").first).to_be_visible()
    page.goto(f"{address}/assets/dclm/documents?view=partitions")
    expect(page.get_by_text("Missing (3)").or_(page.get_by_text("Missing (1)")).first).to_be_visible()
    assert ADDED in page.inner_text("body") and "2-1" not in page.inner_text("body")

    made = make_what_is_due(page, address)
    assert made == {("dclm.pool", ADDED): 1, **{("dclm.documents", key): 1 for key in (*BROKEN, ADDED)}}
    both = written(project)
    assert first.items() <= both.items()
    assert {key for key, commit in both.items() if commit.version > version} == {shard(key) for key in (*BROKEN, ADDED)}
    assert pages(project) == list(range(len(SHARDS) + 1))
    assert due(address, "dclm.documents", "All 21 partitions are up to date.")


def test_planted_duplicates_are_found_at_the_culprit_and_repaired_by_clicks_alone(
    project: Project, page: Page, address: str
) -> None:
    from deltalake import write_deltalake

    lake = Lake.of(project.settings)
    before = written(project)
    rows = lake.read("dclm.documents")
    place = (rows["global_shard"].to_pylist().index(0), rows["local_shard"].to_pylist())
    copied = next(i for i, local in enumerate(place[1]) if local == 3 and rows["global_shard"][i].as_py() == 0)
    write_deltalake(lake.table("dclm.documents"), rows.slice(copied, 1), mode="append")

    page.goto(f"{address}/assets/dclm/documents?view=checks&checkDetail=contract")
    page.get_by_role("button", name="Execute", exact=True).first.click()

    def failed() -> str | None:
        evaluation = check_of(address, "dclm.documents", "contract")
        return evaluation["description"] if evaluation and not evaluation["success"] else None

    assert wait_for(failed, "a failed check").startswith(f"partition {PLANTED}: expected ")
    page.reload()
    expect(page.get_by_text(f"partition {PLANTED}: expected").first).to_be_visible()
    assert "expectations hold" not in page.inner_text("body")
    said = due(address, "dclm.documents", "1 of 21 partitions due")
    assert "its rows break the contract" in said

    assert make_what_is_due(page, address) == {("dclm.documents", PLANTED): 1}
    after = written(project)
    assert {key for key in after if after[key] != before[key]} == {shard(PLANTED)}
    assert pages(project) == list(range(len(SHARDS) + 1))
    evaluation = check_of(address, "dclm.documents", "contract")
    assert evaluation and evaluation["success"]
