"""What is due in the UI: shown with its cause, made by one click and nothing else, and broken rows repaired by clicks.

The real web server and daemon, and a real browser. The only table is dclm.pool, which needs no Spark.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import pytest
from demo_project import Project, serving, watershed
from playwright.sync_api import Page, expect
from small_crawl import add, new_crawl

from catalog.lake import Lake, Written
from dagster_project.engine.page import plain

ARCHIVES = tuple(f"{number:03d}.warc" for number in range(20))
PATIENCE = 600
CHECKS = """
query ($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1) { evaluation { success description } }
}"""
LAST_RUN = """
query { runsOrError(filter: { pipelineName: "make_what_is_due" }, limit: 1) {
  ... on Runs { results { runId status } } } }"""
MADE = """
query { runsOrError(filter: { tags: [{ key: "dagster/parent_run_id", value: "%s" }] }) {
  ... on Runs { results { status assetMaterializations { assetKey { path } partition metadataEntries {
    label ... on IntMetadataEntry { intValue } } } } } } }"""
JOB = "/locations/dagster_project.definitions/jobs/make_what_is_due/playground"
T = TypeVar("T")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A crawl of twenty archives, each with a shard of its own, and its pool."""
    settings = new_crawl(tmp_path_factory.mktemp("due") / "project")
    add(settings, *ARCHIVES)
    return Project(settings.project, watershed(settings.project, "make", "dclm.pool"))


@pytest.fixture(scope="module")
def address(project: Project) -> Generator[str]:
    expect.set_options(timeout=PATIENCE * 1000)
    with serving(project.folder) as address:
        # Pages that are opened before the definitions are loaded show no asset.
        wait_for(lambda: ask(address, "query { assetNodes { id } }")["assetNodes"] or None, "loading the definitions")
        yield address


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


def check_of_the_pool(address: str, name: str, *, passed: bool, text: str = "") -> str:
    """Wait for an evaluation of a check of dclm.pool, and return what it says."""

    def said() -> str | None:
        found = ask(address, CHECKS, key={"path": ["dclm", "pool"]}, name=name)["assetCheckExecutions"]
        evaluation = found[0]["evaluation"] if found else None
        shown = plain(evaluation["description"] or "") if evaluation and evaluation["success"] == passed else None
        return shown if shown is not None and text in shown else None

    return wait_for(said, f"{name} says {text!r}")


def last_run(address: str) -> tuple[str, str] | None:
    """Return identifier and status of the last run of the job."""
    found = ask(address, LAST_RUN)["runsOrError"]["results"]
    return (found[0]["runId"], found[0]["status"]) if found else None


def make_what_is_due(page: Page, address: str) -> dict[tuple[str, str | None], int]:
    """Click once on the job's page, and return the rows of what was made, by table and partition."""
    before = last_run(address)
    page.goto(f"{address}{JOB}")
    page.get_by_role("button", name="Launch Run").click()

    def ended() -> str | None:
        run = last_run(address)
        return None if run is None or run == before or run[1] not in ("SUCCESS", "FAILURE", "CANCELED") else run[0]

    run = wait_for(ended, "the end of make_what_is_due")
    assert last_run(address) == (run, "SUCCESS")
    made: dict[tuple[str, str | None], int] = {}
    for child in ask(address, MADE % run)["runsOrError"]["results"]:
        assert child["status"] == "SUCCESS"
        for event in child["assetMaterializations"]:
            rows = next(e["intValue"] for e in event["metadataEntries"] if e["label"] == "dagster/row_count")
            made[".".join(event["assetKey"]["path"]), event["partition"]] = rows
    return made


def written(project: Project) -> dict[str, Written]:
    return Lake.of(project.settings).written("dclm.pool")


def test_an_added_archive_is_seen_with_its_cause_and_made_by_one_click_alone(
    project: Project, page: Page, address: str
) -> None:
    before = written(project)
    page.goto(f"{address}/assets/dclm/pool?view=partitions")
    expect(page.get_by_text("20 Partitions Selected").first).to_be_visible()
    assert "5-5" not in page.inner_text("body"), "only shards that hold archives are offered"
    # Its name sorts before all others, and it is placed behind them.
    add(project.settings, "!.warc")
    said = check_of_the_pool(address, "up_to_date", passed=False)
    assert said == "1 of 21 partitions due: dclm.pool 2-0: !.warc was added."
    page.goto(f"{address}/assets/dclm/pool?view=checks&checkDetail=up_to_date")
    expect(page.get_by_text(said).first).to_be_visible()
    page.goto(f"{address}/assets/dclm/pool?view=partitions")
    expect(page.get_by_text("Missing (1)").first).to_be_visible()

    assert make_what_is_due(page, address) == {("dclm.pool", "2-0"): 1}
    after = written(project)
    assert {key for key in after if after[key] != before.get(key)} == {"global_shard=2/local_shard=0"}
    check_of_the_pool(address, "up_to_date", passed=True, text="All 21 partitions are up to date.")
    assert make_what_is_due(page, address) == {}


def test_planted_duplicates_are_found_at_the_culprit_and_repaired_by_clicks_alone(
    project: Project, page: Page, address: str
) -> None:
    from deltalake import write_deltalake

    lake, before = Lake.of(project.settings), written(project)
    rows = lake.read("dclm.pool")
    copied = rows["warc"].to_pylist().index("003.warc")
    write_deltalake(lake.table("dclm.pool"), rows.slice(copied, 1), mode="append")
    page.goto(f"{address}/assets/dclm/pool?view=checks&checkDetail=contract")
    # "Execute all" is the first of them: icons have names too, so that no name is exact.
    page.get_by_role("button", name="Execute").first.click()
    said = check_of_the_pool(address, "contract", passed=False)
    assert said == "partition 0-3: expected warc is unique; observed 2 rows that share theirs."
    page.reload()
    expect(page.get_by_text(said).first).to_be_visible()
    assert "expectations hold" not in page.inner_text("body")
    due = check_of_the_pool(address, "up_to_date", passed=False)
    assert due == "1 of 21 partitions due: dclm.pool 0-3: its rows break the contract: warc__be_unique."

    assert make_what_is_due(page, address) == {("dclm.pool", "0-3"): 1}
    after = written(project)
    assert {key for key in after if after[key] != before[key]} == {"global_shard=0/local_shard=3"}
    assert sorted(lake.read("dclm.pool")["warc"].to_pylist()) == sorted((*ARCHIVES, "!.warc"))
    check_of_the_pool(address, "contract", passed=True)
    check_of_the_pool(address, "up_to_date", passed=True)
