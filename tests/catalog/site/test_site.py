"""The static site of a lake: its files, and what a reader sees of it in a headless browser."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Generator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import CHROMIUM, CHROMIUM_FLAGS, PATIENCE_MS  # ty: ignore[import-not-found]
from playwright.sync_api import Page, expect, sync_playwright
from small_lake import good_rows, row, settings_in, write_rows

from catalog.cards.site.build import Built, build_site
from catalog.cards.site.html import Markup, file_name, tag, web_link
from catalog.cards.site.reading import CheckRun
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.tables import CONTRACTS, FAMILIES
from catalog.tables.mathfish import ANSWERS
from catalog.tables.mathfish.site import PROBLEMS_SHOWN
from spark_jobs.cheatsheet.tables import tables as cheatsheet_tables
from spark_jobs.mathfish.curriculum import connection_rows, standard_rows
from spark_jobs.mathfish.labels import problem_and_label_rows
from spark_jobs.mathfish.made import made_curriculum, made_problems
from spark_jobs.mathfish.reading import read_problems
from spark_jobs.mathfish.tasks import TaskRecipe, tasks_of

HOSTILE = "<script>alert('x')</script> ask jane.doe@lake.example or +49 40 123 4567"
SECRET = "Jane Doe lives at the lake."
LARGEST = 100_000
MADE = (
    *("dclm.documents", "dclm.paragraphs", "dclm.scores", "dclm.shards", "models.checkpoints", "models.targets"),
    *("models.metrics", "evals.examples", "evals.results", "evals.target", "ladder.points", "ladder.predictions"),
    *("ladder.outcomes", "moe.models", "moe.metrics", "moe.experiments", "moe.saturation"),
    *("tulu.curves", "tulu.sample_losses"),
    *("tulu.heldout", "pixmo.captioners", "pixmo.replies", "router.experts", "router.rankings"),
)
"""Beginnings of the names of the tables that are made, beside those of the cheatsheet and of MathFish."""
CHECKED = datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Site:
    """A site that was built, and its lake."""

    built: Built
    settings: Settings

    def text(self, path: str) -> str:
        return (self.built.folder / path).read_text(encoding="utf-8")

    def value(self, sql: str) -> object:
        with connect(self.settings) as connection:
            return connection.execute(sql).fetchall()[0][0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    settings = settings_in(folder)
    rows = {name: rows for name, rows in good_rows().items() if name.startswith(MADE)}
    rows["dclm.documents"][0] |= {"text": SECRET, "url": "https://lake.example/~jane-doe"}
    rows["evals.examples"][0] |= {"context": HOSTILE, "choices": [HOSTILE, "no"]}
    mixture = min(each["run"] for each in rows["moe.models"])
    step = rows["moe.metrics"][0] | {"run": mixture}
    rows["moe.metrics"] = [step | {"step": number, "tokens": 100 * number, "loss": 3.0 / number} for number in (1, 2)]
    rows["tulu.sample_losses"] = [each | {"run": rows["tulu.curves"][0]["run"]} for each in rows["tulu.sample_losses"]]
    write_rows(settings, rows | _mathfish(folder))
    lake = Lake.of(settings)
    for name, table in cheatsheet_tables(None, "").items():
        lake.replace(CONTRACTS[name], table, "f" * 16)
    run = CheckRun(at=CHECKED, check="contract", outcome="failed", words=f"score is at most 1; {HOSTILE}")
    built = build_site(settings, folder / "site", {"dclm.scores": [run]})
    return Site(built, settings)


def _mathfish(folder: Path) -> dict[str, list[dict[str, object]]]:
    tree = made_curriculum()
    file = folder / "problems.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in made_problems()))
    problems, labels = problem_and_label_rows(tree, read_problems([str(file)]))
    tasks = [task.row() for task in tasks_of(tree, problems[:4], TaskRecipe())]
    wrong = [
        row(ANSWERS, model="smollm2", task=task["task"], predicted=["no"], malformed="", score=0.0)
        for task in tasks
        if task["kind"] == "verification"
    ]
    return {
        "mathfish.standards": standard_rows(tree),
        "mathfish.connections": connection_rows(tree),
        "mathfish.problems": problems,
        "mathfish.labels": labels,
        "mathfish.tasks": tasks,
        "mathfish.answers": wrong,
    }


class _Links(HTMLParser):
    """The addresses and the ids of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.addresses: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.addresses.append((tag, value))
            if name == "id" and value:
                self.ids.add(value)


def test_every_table_view_and_model_has_a_page_and_every_link_leads_somewhere(site: Site) -> None:
    folder = site.built.folder
    pages = {path: _Links(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    assert len(pages) == site.built.pages
    assert {f"{name}.html" for name in CONTRACTS} <= {path.name for path in (folder / "tables").iterdir()}
    counted = " + ".join(
        f"(SELECT count(DISTINCT {each.name}) FROM {each.table})" for family in FAMILIES for each in family.models
    )
    models = site.value(f"SELECT {counted}")
    assert len(list((folder / "models").glob("*.html"))) == 1 + int(str(models))
    for path, links in pages.items():
        for kind, address in links.addresses:
            parts = urlsplit(address)
            if parts.scheme in ("http", "https"):
                # A reader may follow it; the page itself asks for nothing.
                assert kind == "a", f"{path.name}: {kind} {address}"
            elif parts.scheme != "data":
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                assert target.is_file(), f"{path.name}: {address}"
                named = parts.fragment and not parts.fragment.startswith("find=")
                assert not named or parts.fragment in pages[target].ids, f"{path.name}: {address}"


def test_search_entries_lead_to_pages(site: Site) -> None:
    docs = json.loads(site.text("assets/search.js").removeprefix("window.WATERSHED_SEARCH = ").rstrip(";\n"))
    assert len(docs) == site.built.entries
    kinds = {kind for _, _, kind, _ in docs}
    assert {"table", "column", "view", "model", "resource", "standard"} <= kinds
    assert all((site.built.folder / address.split("#")[0]).is_file() for *_, address in docs)


def test_pages_are_small(site: Site) -> None:
    sizes = {path: path.stat().st_size for path in site.built.folder.rglob("*.html")}
    assert max(sizes.values()) == site.built.largest < LARGEST, max(sizes, key=lambda path: sizes[path])


def test_personal_data_is_in_no_file_and_text_of_strangers_is_never_markup(site: Site) -> None:
    for path in site.built.folder.rglob("*"):
        if path.is_file() and path.name != "minisearch.js":
            content = path.read_text(encoding="utf-8")
            for personal in (SECRET, "jane.doe@", "~jane-doe", "123 4567"):
                assert personal not in content, f"{path}: {personal}"
            assert "<script>alert" not in content, path
    page = site.text("tables/evals.examples.html")
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; ask [e-mail address] or [telephone number]" in page


def test_a_table_page_tells_what_the_lake_and_the_contract_say(site: Site) -> None:
    contract = CONTRACTS["dclm.scores"]
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", site.text("tables/dclm.scores.html")))
    assert contract.description in page and "curation" in page
    assert "LicenseRef-Web-Page" in page and "commercial use conditional" in page
    for column in contract.columns:
        assert column.name in page and column.description in page
    assert "0 to 1, mean 0.4667" in page
    assert "score is at least 0 and at most 1" in page
    assert "check failed" in page and "2026-01-02 03:04 contract failed score is at most 1" in page
    assert "+3 rows" in page and "AT (VERSION =&gt; " in page
    assert "watershed croissant export dclm.scores" in page


def test_a_model_page_tells_data_licences_scores_and_forecast(site: Site) -> None:
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", site.text("models/models.targets.80k-4xC.html")))
    assert "Data set da7a5e7" in page and "LicenseRef-Web-Page" in page
    assert "continuation 1.000 0.500 1" in page
    assert "continuation 0.500 0.400 to 0.600" in page
    assert "kWh" in page and "g CO2e" in page and "473 g CO2e a kWh" in page
    assert "It is not intended to answer people" in page


def test_every_table_of_trained_models_has_a_page_for_each_of_them() -> None:
    declared = {each.table for family in FAMILIES for each in family.models}
    trained = {"sha256", "train_loss"}
    assert {name for name, contract in CONTRACTS.items() if trained <= set(contract.schema.names)} <= declared
    assert {name for family in FAMILIES for name in family.lineage.models} <= declared


@pytest.mark.parametrize(
    ("table", "column", "says"),
    [
        ("moe.models", "run", ("active parameters", "Data set", "Training loss from 3 to 1.5", "kWh")),
        (
            "tulu.curves",
            "run",
            ("Training rows by source", "tulu.mixture", "It was not tested for harm"),
        ),
        ("pixmo.captioners", "stage", ("training loss, nats a token", "CC-BY-SA-4.0", "composed scenes")),
        ("router.experts", "run", ("pairs", "It embeds queries", "Inherited licences")),
    ],
)
def test_models_of_every_family_have_pages(site: Site, table: str, column: str, says: tuple[str, ...]) -> None:
    name = min(str(each[column]) for each in good_rows()[table])
    path = f"models/{file_name(f'{table}.{name}')}.html"
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", site.text(path)))
    assert [words for words in says if words not in page] == []
    assert f'href="../{path}"' in site.text("models/index.html")


def test_only_a_site_is_replaced(tmp_path: Path, site: Site) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WatershedError, match="not a site"):
        build_site(site.settings, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_html_is_made_of_text() -> None:
    assert tag("p", "a < b & c", title='"') == '<p title="&quot;">a &lt; b &amp; c</p>'
    assert tag("p", Markup("<b>x</b>"), None, hidden=True) == "<p hidden><b>x</b></p>"
    assert "href" not in web_link("javascript:alert(1)") and "href" not in web_link('https://a"onclick=x')
    assert 'href="https://lake.example/a?b=1"' in web_link("https://lake.example/a?b=1")
    names = [file_name(name) for name in ("70k-1xC", "../../etc/passwd", "a/b", "a-b", "é", "x" * 300, ".hidden")]
    assert names[0] == "70k-1xC" and len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}", name) for name in names)


@dataclass
class Reader:
    """A page of the browser, what it has asked for, and the errors of its scripts."""

    page: Page
    folder: Path
    asked: list[str]
    errors: list[str]

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.folder.as_uri()}/{path}")
        return self.page


@pytest.fixture(scope="module")
def reader(site: Site) -> Generator[Reader]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        reader = Reader(page, site.built.folder, [], [])
        page.on("request", lambda request: reader.asked.append(request.url))
        page.on("pageerror", lambda error: reader.errors.append(str(error)))
        yield reader
        browser.close()
    assert reader.errors == []
    assert reader.asked and all(url.startswith(f"{site.built.folder.as_uri()}/") for url in reader.asked), reader.asked


def test_search_finds_by_prefix_and_in_spite_of_a_typing_error(reader: Reader) -> None:
    page = reader.open("models/index.html")
    page.keyboard.press("/")
    for words, first in (("dclm docum", "dclm.documents"), ("quality modle", "dclm.quality_model")):
        page.fill("#q", words)
        expect(page.locator("#found a strong").first).to_have_text(first)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("dclm.quality_model")
    page.fill("#q", "xyzzyplugh")
    expect(page.locator("#found")).to_contain_text("Nothing is found")


def test_the_cheatsheet_is_filtered_by_modality_and_stage_and_found_by_search(reader: Reader, site: Site) -> None:
    page = reader.open("cheatsheet/index.html")
    items, note = page.locator(".items li"), page.locator("[aria-live]")
    total = site.value("SELECT count(*) FROM cheatsheet.resources")
    expect(items).to_have_count(int(str(total)))
    page.get_by_label("Vision").check()
    stage = page.locator("input[name=stage]").first
    stage.check()
    wanted = site.value(
        "SELECT count(*) FROM cheatsheet.resources WHERE list_contains(modalities, 'Vision') "
        f"AND list_contains(stages, '{stage.get_attribute('value')}')"
    )
    assert 0 < int(str(wanted)) < int(str(total))
    expect(items).to_have_count(int(str(wanted)))
    expect(note).to_have_text(f"{wanted} of {total}")
    name = str(site.value("SELECT name FROM cheatsheet.resources ORDER BY length(name) DESC LIMIT 1"))
    page.fill("#q", name)
    page.locator("#found a", has_text=name).first.click()
    expect(items).to_have_count(1)
    expect(items.locator("h3")).to_have_text(name)


def test_a_standard_has_problems_neighbours_and_the_errors_of_a_model(reader: Reader, site: Site) -> None:
    with_errors = (
        "SELECT standard FROM mathfish.errors WHERE strategy = 'positive' AND wrong > 0 AND standard IN "
        "(SELECT source FROM mathfish.connections WHERE relation = 'progress') ORDER BY standard LIMIT 1"
    )
    standard = str(site.value(with_errors))
    page = reader.open("index.html")
    page.fill("#q", standard)
    page.locator("#found a", has=page.get_by_text(standard, exact=True)).first.click()
    expect(page.locator("h1")).to_have_text(standard)
    labelled = f"SELECT count(DISTINCT problem) FROM mathfish.labels WHERE positive AND standard = '{standard}'"
    assert page.locator("blockquote").count() == min(int(str(site.value(labelled))), PROBLEMS_SHOWN) > 0
    errors = page.get_by_role("region", name=f"Verification of {standard} by models")
    asked = "strategy = 'positive' AND model = 'smollm2'"
    wrong = site.value(f"SELECT wrong FROM mathfish.errors WHERE standard = '{standard}' AND {asked}")
    expect(errors.get_by_role("row", name=f"smollm2 positive {wrong} {wrong} 0")).to_have_count(1)
    neighbours = page.locator("svg.graph a.node, svg.graph g.node")
    edges = f"source = '{standard}' OR target = '{standard}'"
    found = site.value(f"SELECT count(*) FROM mathfish.connections WHERE relation = 'progress' AND ({edges})")
    assert neighbours.count() == 1 + int(str(found)) > 1
    other = site.value(
        f"SELECT CASE WHEN source = '{standard}' THEN target ELSE source END FROM mathfish.connections "
        f"WHERE relation = 'progress' AND ({edges}) LIMIT 1"
    )
    page.locator("svg.graph a.node", has_text=str(other)).first.click()
    expect(page.locator("h1")).to_have_text(str(other))


def test_a_chart_a_table_page_and_a_narrow_screen(reader: Reader) -> None:
    page = reader.open("models/models.checkpoints.10k-1xC.html")
    box = page.locator("figure svg.chart").first.bounding_box()
    assert box is not None and box["width"] > 200 and box["height"] > 80
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("index.html", "tables/dclm.documents.html", "cheatsheet/index.html", "models/index.html"):
        page = reader.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        expect(page.locator("#q")).to_be_visible()
    page.set_viewport_size({"width": 1200, "height": 900})


def test_the_colours_change_and_stay(reader: Reader) -> None:
    page = reader.open("index.html")

    def back() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light = back()
    page.click("#theme")
    dark = back()
    assert light != dark
    page = reader.open("tables/dclm.pool.html")
    assert back() == dark
    page.click("#theme")
    assert back() == light


@pytest.mark.parametrize(
    ("scheme", "paths"),
    [
        ("light", ("index.html", "tables/dclm.scores.html", "models/models.targets.80k-4xC.html")),
        ("dark", ("tables/dclm.scores.html", "cheatsheet/index.html")),
    ],
)
def test_axe_finds_no_fault(reader: Reader, scheme: str, paths: tuple[str, ...]) -> None:
    reader.page.emulate_media(color_scheme=scheme)  # ty: ignore[invalid-argument-type]
    for path in paths:
        page = reader.open(path)
        options = {"resultTypes": ["violations"], "preload": False}
        found = Axe().run(page, options=options).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], path


def test_the_lake_is_as_it_was(site: Site) -> None:
    lake = Lake.of(site.settings)
    rows = pa.Table.from_pylist(standard_rows(made_curriculum()), schema=CONTRACTS["mathfish.standards"].schema)
    assert lake.read("mathfish.standards").num_rows == rows.num_rows
    assert not list(Path(lake.root).rglob("*.html"))
