"""Dagster's web pages in a browser: the graph, the page of an asset, and a partition materialised by clicking."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator

import pytest
from demo_project import Project, serving
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.campaign
"""The tour in test_ui_tour.py opens the same pages in every run of the tests, on a crawl of its own."""
PATIENCE_MS = 180_000


@pytest.fixture(scope="module")
def address(own_demo: Project) -> Generator[str]:
    with serving(own_demo.folder) as address:
        yield address


@pytest.fixture(scope="module")
def own_demo(demo: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the demo's project, because its tables will be made again."""
    folder = tmp_path_factory.mktemp("ui") / "project"
    shutil.copytree(demo.folder, folder, symlinks=True)
    return Project(folder)


def test_the_graph_shows_every_family(page: Page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    for family in ("dclm", "models", "evals", "ladder"):
        expect(page.get_by_text(family, exact=True).first).to_be_visible()


def test_an_asset_shows_description_columns_rows_and_green_checks(page: Page, address: str, own_demo: Project) -> None:
    page.goto(f"{address}/assets/dclm/documents")
    expect(page.get_by_text("Every record of the crawl's archives exactly once").first).to_be_visible()
    expect(page.get_by_text("BLAKE2b over archive name").first).to_be_visible()
    (rows,) = own_demo.rows("SELECT count(*) FROM dclm.documents")[0]
    expect(page.get_by_text(f"{rows:,}").first).to_be_visible()
    page.goto(f"{address}/assets/dclm/documents?view=checks")
    expect(page.get_by_text("expectations hold").first).to_be_visible()


def test_the_forecast_is_shown_as_a_picture(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/ladder/outcomes?view=events")
    page.get_by_text("Show Markdown").first.click()
    picture = page.locator("img[alt*='forecast and measurement']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 400


def test_one_partition_of_documents_is_materialised_by_clicking(page: Page, address: str, own_demo: Project) -> None:
    from catalog.lake import Lake

    lake = Lake.of(own_demo.settings)
    before = lake.written("dclm.documents")
    first, second = sorted(before)[:2]
    page.goto(f"{address}/assets/dclm/documents")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition or create one").click()
    page.get_by_text("0-0", exact=True).locator("visible=true").last.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch").last.click()
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while (after := lake.written("dclm.documents"))[first] == before[first]:
        assert time.monotonic() < deadline, page.inner_text("body")
        time.sleep(0.5)
    assert after[first].version > before[first].version
    assert after[first].fingerprint == before[first].fingerprint
    assert after[second] == before[second]
