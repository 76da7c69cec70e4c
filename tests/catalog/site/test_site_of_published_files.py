"""The site of the published files of MathFish and of the cheatsheet in a headless browser: a campaign.

`WATERSHED_SHARED=... uv run pytest -n 0 -m campaign tests/catalog/site/test_site_of_published_files.py`
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS  # ty: ignore[import-not-found]
from playwright.sync_api import expect, sync_playwright
from small_lake import settings_in, write_rows

from catalog.cards.site.build import build_site
from catalog.lake import Lake
from catalog.sql.query import connect
from catalog.tables import CONTRACTS
from spark_jobs.cheatsheet.tables import tables as cheatsheet_tables
from spark_jobs.mathfish.asking import AskRecipe, Recorded, answers
from spark_jobs.mathfish.curriculum import connection_rows, standard_rows
from spark_jobs.mathfish.labels import problem_and_label_rows
from spark_jobs.mathfish.reading import read_curriculum, read_groups, read_problems
from spark_jobs.mathfish.tasks import TaskRecipe, tasks_of

DATA = Path(os.environ.get("WATERSHED_SHARED", "")) / "data"
MATHFISH, CHEATSHEET = DATA / "mathfish", DATA / "cheatsheet"
STANDARD = "3.NF.A.1"
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(not (MATHFISH / "standards_rebuilt.jsonl").is_file(), reason="the data is not given"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: install Debian's package chromium"),
]


def test_the_published_cheatsheet_and_standards_in_a_browser(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    tree = read_curriculum(MATHFISH / "standards_rebuilt.jsonl", read_groups(MATHFISH / "domain_groups_inferred.json"))
    file = MATHFISH / "mathfish_generated_problems_as_input_data.jsonl"
    problems, labels = problem_and_label_rows(tree, read_problems([str(file)]))
    tasks = [task.row() for task in tasks_of(tree, problems, TaskRecipe())]
    # Recorded replies of a model that says yes to everything: it is wrong about every negative.
    replies = {task["task"]: "Yes." for task in tasks if task["kind"] == "verification"}
    answered = answers(Recorded(replies), "always-yes", tasks, AskRecipe(), lambda reply, answer: (None, 0.0))
    rows = {"standards": standard_rows(tree), "connections": connection_rows(tree), "problems": problems}
    rows |= {"labels": labels, "tasks": tasks, "answers": answered}
    write_rows(settings, {f"mathfish.{name}": own for name, own in rows.items()})
    content = (CHEATSHEET / "cheatsheet_resources.json").read_bytes()
    for name, table in cheatsheet_tables(content, "").items():
        Lake.of(settings).replace(CONTRACTS[name], table, "f" * 16)
    site = build_site(settings, tmp_path / "site")
    connection = connect(settings)

    def value(sql: str) -> int:
        return int(connection.execute(sql).fetchall()[0][0])

    asked: list[str] = []
    faults: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{site.folder.as_uri()}/cheatsheet/index.html")
        items = page.locator(".items li")
        expect(items).to_have_count(value("SELECT count(*) FROM cheatsheet.resources"))
        page.get_by_label("Vision").check()
        stage = page.locator("input[name=stage]").nth(1)
        stage.check()
        name = str(stage.get_attribute("value")).replace("'", "''")
        wanted = value(
            "SELECT count(*) FROM cheatsheet.resources "
            f"WHERE list_contains(modalities, 'Vision') AND list_contains(stages, '{name}')"
        )
        assert wanted > 0
        expect(items).to_have_count(wanted)
        page.fill("#q", STANDARD)
        page.locator("#found a", has=page.get_by_text(STANDARD, exact=True)).first.click()
        expect(page.locator("h1")).to_have_text(STANDARD)
        labelled = f"mathfish.labels WHERE positive AND standard = '{STANDARD}'"
        assert page.locator("blockquote").count() == value(f"SELECT count(DISTINCT problem) FROM {labelled}") == 3
        edges = f"relation = 'progress' AND (source = '{STANDARD}' OR target = '{STANDARD}')"
        neighbours = value(f"SELECT count(*) FROM mathfish.connections WHERE {edges}")
        assert page.locator("svg.graph a.node, svg.graph g.node").count() == 1 + neighbours > 1
        errors = page.get_by_role("region", name=f"Verification of {STANDARD} by models")
        expect(errors).to_contain_text("always-yes")
        found = connection.execute(
            f"SELECT strategy, prompts, wrong FROM mathfish.errors WHERE standard = '{STANDARD}'"
        )
        for strategy, prompts, wrong in found.fetchall():
            assert wrong == (0 if strategy == "positive" else prompts)
            expect(errors.get_by_role("row", name=f"always-yes {strategy} {prompts} {wrong} 0")).to_have_count(1)
        browser.close()
    assert faults == [] and asked and all(url.startswith(f"{site.folder.as_uri()}/") for url in asked)
