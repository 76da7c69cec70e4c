"""A person at work in Dagster's pages: a first visit, cancel and resume, a new archive.

Every step is clicked in a real browser, against the real web server and daemon. WATERSHED_SCREENSHOTS names a folder
for the pictures of docs/dagster_project.md.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS
from dagster_api import ask, status, wait_until
from demo_project import new_project
from playwright.sync_api import Page, expect, sync_playwright
from test_ended_runs import Server, SlowCrawl, gone, in_the_middle

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package chromium"),
]

SWITCHES = """
[crawl]
inputs = ["http://127.0.0.1:{port}/slow.warc"]
[automation]
new_archives = true
jobs = ["registry"]
"""


@pytest.fixture
def crawl() -> Generator[SlowCrawl]:
    server = SlowCrawl()
    yield server
    server.open.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def page() -> Generator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(2 * PATIENCE_MS)
        yield page
        browser.close()


def runs(server: Server, job: str) -> list[str]:
    """The ids of the runs of a job, the latest first."""
    found = ask(server.address, "{ runsOrError { ... on Runs { results { runId jobName } } } }")["runsOrError"]
    return [run["runId"] for run in found["results"] if run["jobName"] == job]


def asset_runs(server: Server) -> list[str]:
    """The ids of the runs that a person launched from the page of a table."""
    return runs(server, "curation") + runs(server, "__ASSET_JOB")


def test_a_person_at_work(tmp_path: Path, crawl: SlowCrawl, page: Page) -> None:
    project = new_project(tmp_path / "project")
    (project / "watershed.toml").write_text(SWITCHES.format(port=crawl.server_address[1]))
    pictures = Path(os.environ.get("WATERSHED_SCREENSHOTS") or tmp_path)

    def shot(name: str) -> None:
        page.screenshot(path=pictures / f"ui-{name}.png")

    server = Server(project, crawl)
    expect.set_options(timeout=2 * PATIENCE_MS)

    # The first visit: what the table is, who owns it, how it is opened.
    page.goto(f"{server.address}/assets/dclm/pool")
    expect(page.get_by_text("The archives of the crawl").first).to_be_visible()
    expect(page.get_by_text("watershed sql").first).to_be_visible()
    shot("first-visit")

    # Materialise by clicking, and cancel in the middle.
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text("0-0", exact=True).locator("visible=true").last.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch").last.click()
    wait_until(lambda: len(asset_runs(server)) == 1, "the run is not launched")
    (run,) = asset_runs(server)
    wait_until(lambda: in_the_middle(server, run, crawl), "the run does not start")
    page.goto(f"{server.address}/runs/{run}")
    expect(page.get_by_text("checking the tables that it reads").first).to_be_visible()
    page.get_by_role("button", name="Terminate").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Terminate").click()
    wait_until(lambda: status(server.address, run) == "CANCELED", "the run is not cancelled")
    page.keyboard.press("Escape")
    page.goto(f"{server.address}/runs/{run}")
    expect(page.get_by_text("Canceled").first).to_be_visible()
    expect(page.get_by_text("The run was cancelled").first).to_be_visible()
    assert "KeyboardInterrupt" not in page.inner_text("body")
    shot("cancelled")

    # Resume.
    crawl.open.set()
    page.get_by_role("button", name="Re-execute").first.click()
    wait_until(lambda: len(asset_runs(server)) == 2, "not executed again")
    again = next(found for found in asset_runs(server) if found != run)
    wait_until(lambda: status(server.address, again) in ("SUCCESS", "FAILURE"), "the second run does not end")
    assert status(server.address, again) == "SUCCESS"
    page.goto(f"{server.address}/assets/dclm/pool")
    expect(page.get_by_text("sample rows").first).to_be_visible()
    expect(page.get_by_role("cell", name="slow.warc").first).to_be_visible()
    shot("table")

    # The sensor found the archive before, and started a run.
    wait_until(lambda: len(runs(server, "make_what_is_due")) == 1, "the sensor started no run")
    page.goto(f"{server.address}/runs")
    expect(page.get_by_text("new_archives").first).to_be_visible()
    shot("new-archive")

    left = [server.process, *server.descendants]
    server.process.terminate()
    wait_until(lambda: gone(left), "SIGTERM does not end the server", server.log.read_text)
