"""A person at work in Dagster's pages, from the first visit to a server that was killed.

Every step is clicked in a real browser, against the real web server and daemon. The only table is dclm.pool, which
needs no Spark. WATERSHED_SCREENSHOTS names a folder for the pictures of docs/dagster_project.md.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster_api import ask, launch, messages, status, terminate, wait_until
from demo_project import Project, serving, watershed
from playwright.sync_api import Page, expect
from slow_crawl import SlowCrawl, in_the_middle, slow_crawl
from small_crawl import add, new_crawl

from catalog.lake import Lake, Written
from dagster_project.engine.markdown import plain

ARCHIVES = tuple(f"{number:03d}.warc" for number in range(20))
SLOW = "00-slow.warc"
SLOW_SHARD = "0-0"
"""The shard of the archive that a web server hands out when the test says so: the first of the list in a dialog."""
CHECKS = """
query ($key: AssetKeyInput!, $name: String!) {
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: 1) { evaluation { success description } }
}"""
RUNS = """
query { runsOrError { ... on Runs { results { runId jobName status
  tags { key value }
  assetMaterializations { assetKey { path } partition metadataEntries {
    label ... on IntMetadataEntry { intValue } } } } } } }"""
JOB = "/locations/dagster_project.definitions/jobs/make_what_is_due/playground"
PARENT = "dagster/parent_run_id"
ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass
class Desk:
    """What the person has before them: a project, its server, the web server of the slow archive, and a browser."""

    project: Project
    address: str
    crawl: SlowCrawl
    page: Page

    def open(self, path: str) -> None:
        """Open a page of Dagster."""
        self.page.goto(f"{self.address}{path}")

    def sees(self, text: str) -> None:
        """Wait until the page shows a text."""
        expect(self.page.get_by_text(text).first).to_be_visible()

    def shot(self, name: str) -> None:
        """Save a picture of the page, if a folder for pictures is named."""
        if folder := os.environ.get("WATERSHED_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"ui-{name}.png")

    def runs(self, job: str) -> list[dict[str, Any]]:
        """The runs of a job, the latest first."""
        return [run for run in self.all_runs() if run["jobName"] == job]

    def all_runs(self) -> list[dict[str, Any]]:
        """All runs, the latest first."""
        return ask(self.address, RUNS)["runsOrError"]["results"]

    def written(self) -> dict[str, Written]:
        """The partitions of dclm.pool, with their fingerprints."""
        return Lake.of(self.project.settings).written("dclm.pool")

    def archives(self) -> list[str]:
        """The names of the archives that dclm.pool holds."""
        return sorted(Lake.of(self.project.settings).read("dclm.pool")["warc"].to_pylist())

    def wait_for_check(self, name: str, *, passed: bool, text: str) -> None:
        """Wait until the last evaluation of a check of dclm.pool shows `text`."""
        shown = ""

        def says() -> bool:
            nonlocal shown
            found = ask(self.address, CHECKS, key={"path": ["dclm", "pool"]}, name=name)["assetCheckExecutions"]
            evaluation = found[0]["evaluation"] if found else None
            shown = plain(evaluation["description"] or "") if evaluation else ""
            return bool(evaluation) and evaluation["success"] == passed and text in shown

        wait_until(says, f"{name} does not say {text!r}", lambda: shown)

    def made_by(self, run: str) -> dict[tuple[str, str | None], int]:
        """The rows that the runs of a run of make_what_is_due wrote, by table and partition."""
        made: dict[tuple[str, str | None], int] = {}
        for child in self.all_runs():
            if {"key": PARENT, "value": run} not in child["tags"]:
                continue
            assert child["status"] == "SUCCESS"
            assert {"key": "user", "value": "make_what_is_due"} in child["tags"], "Dagster shows who launched it"
            for event in child["assetMaterializations"]:
                rows = next(e["intValue"] for e in event["metadataEntries"] if e["label"] == "dagster/row_count")
                made[".".join(event["assetKey"]["path"]), event["partition"]] = rows
        return made

    def make_what_is_due(self) -> dict[tuple[str, str | None], int]:
        """Click once on the page of the job, and return what was made."""
        before = len(self.runs("make_what_is_due"))
        self.open(JOB)
        self.page.get_by_role("button", name="Launch Run").click()

        def ended() -> bool:
            runs = self.runs("make_what_is_due")
            return len(runs) > before and runs[0]["status"] in ENDED

        wait_until(ended, "make_what_is_due does not end")
        run = self.runs("make_what_is_due")[0]
        assert run["status"] == "SUCCESS", messages(self.address, run["runId"])
        return self.made_by(run["runId"])


@pytest.fixture(scope="module")
def crawl() -> Generator[SlowCrawl]:
    with slow_crawl() as server:
        server.open.set()
        yield server


@pytest.fixture
def project(tmp_path: Path, crawl: SlowCrawl) -> Project:
    """A crawl of 21 archives, each with a shard of its own, one of them behind a web server, and its pool."""
    settings = new_crawl(tmp_path / "project")
    inputs = f'inputs = ["crawl", "http://127.0.0.1:{crawl.server_address[1]}/{SLOW}"]'
    (settings.project / "watershed.toml").write_text(f"[crawl]\nfiles_per_shard = 1\n{inputs}\n")
    add(settings, *ARCHIVES)
    return Project(settings.project, watershed(settings.project, "make", "dclm.pool"))


@contextmanager
def at_the_desk(project: Project, crawl: SlowCrawl, page: Page) -> Generator[Desk]:
    """A server of the project, with its definitions loaded: pages that are opened before show no asset."""
    with serving(project.folder) as address:
        wait_until(lambda: bool(ask(address, "{ assetNodes { id } }")["assetNodes"]), "the definitions are not loaded")
        yield Desk(project, address, crawl, page)


@pytest.mark.slow
def test_a_person_at_work(project: Project, crawl: SlowCrawl, page: Page) -> None:
    with at_the_desk(project, crawl, page) as desk:
        the_first_visit(desk)
        an_added_archive_is_due_and_made_by_one_click(desk)
        planted_duplicates_are_found_and_repaired(desk)
        a_new_archive_is_picked_up_by_the_sensor(desk)
        a_run_is_cancelled_and_executed_again(desk)
        killed = a_run_in_the_middle(desk)
    # The server and its daemon were killed. Others take their place.
    with serving(project.folder) as address:
        the_killed_run_says_so(Desk(project, address, crawl, page), killed)


def the_first_visit(desk: Desk) -> None:
    desk.open("/assets/dclm/pool")
    desk.sees("The archives of the crawl")
    desk.sees("watershed sql")
    desk.shot("first-visit")


def an_added_archive_is_due_and_made_by_one_click(desk: Desk) -> None:
    before = desk.written()
    desk.open("/assets/dclm/pool?view=partitions")
    desk.sees("21 Partitions Selected")
    assert "5-5" not in desk.page.inner_text("body"), "only shards that hold archives are offered"
    # Its name sorts before all others, and it is placed behind them.
    add(desk.project.settings, "!.warc")
    cause = "1 of 22 partitions due: dclm.pool 2-1: !.warc was added."
    desk.wait_for_check("up_to_date", passed=False, text=cause)
    desk.open("/assets/dclm/pool?view=checks&checkDetail=up_to_date")
    desk.sees(cause)
    desk.shot("due")
    desk.open("/assets/dclm/pool?view=partitions")
    desk.sees("Missing (1)")

    assert desk.make_what_is_due() == {("dclm.pool", "2-1"): 1}
    after = desk.written()
    assert {key for key in after if after[key] != before.get(key)} == {"global_shard=2/local_shard=1"}
    desk.wait_for_check("up_to_date", passed=True, text="All 22 partitions are up to date.")


def planted_duplicates_are_found_and_repaired(desk: Desk) -> None:
    from deltalake import write_deltalake

    lake, before = Lake.of(desk.project.settings), desk.written()
    rows = lake.read("dclm.pool")
    copied = rows["warc"].to_pylist().index("003.warc")
    write_deltalake(lake.table("dclm.pool"), rows.slice(copied, 1), mode="append")
    desk.open("/assets/dclm/pool?view=checks&checkDetail=contract")
    # "Execute all" is the first of them: icons have names too, so that no name is exact.
    desk.page.get_by_role("button", name="Execute").first.click()
    found = "partition 0-4: expected warc is unique; observed 2 rows that share theirs."
    desk.wait_for_check("contract", passed=False, text=found)
    desk.page.reload()
    desk.sees(found)
    assert "expectations hold" not in desk.page.inner_text("body")
    desk.shot("broken")
    cause = "1 of 22 partitions due: dclm.pool 0-4: its rows break the contract: warc__be_unique."
    desk.wait_for_check("up_to_date", passed=False, text=cause)

    assert desk.make_what_is_due() == {("dclm.pool", "0-4"): 1}
    after = desk.written()
    assert {key for key in after if after[key] != before[key]} == {"global_shard=0/local_shard=4"}
    assert desk.archives() == sorted((*ARCHIVES, SLOW, "!.warc"))
    desk.wait_for_check("contract", passed=True, text="")
    desk.wait_for_check("up_to_date", passed=True, text="")


def a_new_archive_is_picked_up_by_the_sensor(desk: Desk) -> None:
    before = len(desk.runs("make_what_is_due"))
    desk.open("/locations/dagster_project.definitions/sensors/new_archives")
    add(desk.project.settings, "zzz.warc")
    # The switch that is drawn lies over its checkbox.
    desk.page.get_by_role("checkbox").first.dispatch_event("click")
    wait_until(lambda: len(desk.runs("make_what_is_due")) > before, "the sensor starts no run")
    run = desk.runs("make_what_is_due")[0]
    wait_until(lambda: "zzz.warc" in desk.archives(), "the new archive is not registered")
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["dagster/sensor_name"] == "new_archives"
    desk.open("/runs")
    desk.sees("new_archives")
    desk.shot("new-archive")
    # It would go on with the tables that read dclm.pool.
    assert terminate(desk.address, run["runId"]) == "TerminateRunSuccess"
    wait_until(lambda: all(each["status"] in ENDED for each in desk.all_runs()), "not all runs are cancelled")
    tree = [each for each in desk.all_runs() if {"key": PARENT, "value": run["runId"]} in each["tags"]]
    assert {each["status"] for each in tree} <= {"CANCELED", "SUCCESS"}
    assert status(desk.address, run["runId"]) == "CANCELED"


def a_run_is_cancelled_and_executed_again(desk: Desk) -> None:
    page, address = desk.page, desk.address
    launched = desk_runs(desk)
    desk.crawl.open.clear()
    desk.crawl.asked.clear()
    desk.open("/assets/dclm/pool")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text(SLOW_SHARD, exact=True).locator("visible=true").last.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch").last.click()
    wait_until(lambda: len(desk_runs(desk)) > len(launched), "the run is not launched")
    (run,) = desk_runs(desk) - launched
    wait_until(lambda: in_the_middle(address, run, desk.crawl), "the run does not start")
    desk.open(f"/runs/{run}")
    desk.sees("checking the tables that it reads")
    page.get_by_role("button", name="Terminate").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    wait_until(lambda: status(address, run) == "CANCELED", "the run is not cancelled")
    page.keyboard.press("Escape")
    desk.open(f"/runs/{run}")
    desk.sees("The run was cancelled. dclm.pool is as it was before.")
    assert "KeyboardInterrupt" not in page.inner_text("body")
    desk.shot("cancelled")

    desk.crawl.open.set()
    launched = desk_runs(desk)
    page.get_by_role("button", name="Re-execute").first.click()
    wait_until(lambda: len(desk_runs(desk)) > len(launched), "the run is not executed again")
    (again,) = desk_runs(desk) - launched
    wait_until(lambda: status(address, again) in ENDED, "the second run does not end")
    assert status(address, again) == "SUCCESS", messages(address, again)
    desk.open("/assets/dclm/pool")
    desk.sees("sample rows")
    expect(page.get_by_role("cell", name=SLOW, exact=True).first).to_be_visible()
    desk.shot("table")


def desk_runs(desk: Desk) -> set[str]:
    """The ids of the runs that a person launched from the page of a table."""
    return {run["runId"] for job in ("curation", "__ASSET_JOB") for run in desk.runs(job)}


def a_run_in_the_middle(desk: Desk) -> str:
    desk.crawl.open.clear()
    desk.crawl.asked.clear()
    run = launch(desk.address, "curation", "dclm.pool", SLOW_SHARD)
    wait_until(lambda: in_the_middle(desk.address, run, desk.crawl), "the run does not start")
    return run


def the_killed_run_says_so(desk: Desk, run: str) -> None:
    wait_until(lambda: status(desk.address, run) == "FAILURE", "the run is still said to be running")
    desk.crawl.open.set()
    desk.open(f"/runs/{run}")
    # The server notices that `watershed ui` is gone, and interrupts its runs before it ends.
    desk.sees("dclm.pool is as it was before")
    assert desk.archives() == sorted((*ARCHIVES, SLOW, "!.warc", "zzz.warc"))
