"""Build the site: every page is written to a folder that replaces the one that is there, whole or not at all."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from catalog.cards.site.html import short
from catalog.cards.site.index_pages import index_page, models_page
from catalog.cards.site.model_page import model_pages, site_modules
from catalog.cards.site.page import Entry, Item, Page, Section, frame
from catalog.cards.site.reading import CheckRun, SiteLake
from catalog.cards.site.table_page import table_page, view_page
from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.files import whole_folder
from catalog.personal import masked
from catalog.progress import track
from catalog.settings import Settings
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

ASSETS = ("site.css", "theme.js", "site.js", "minisearch.js", "minisearch.LICENSE.txt")
MARK = "watershed-site"
"""File that says that a folder is a site, so that no other folder is replaced."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A site that was built."""

    folder: Path
    pages: int
    entries: int
    """Things that search finds."""
    largest: int
    """Bytes of the largest page."""


def build_site(settings: Settings, out: Path, checks: Mapping[str, Sequence[CheckRun]] | None = None) -> Built:
    """Build the site of a lake in the folder `out`.

    Args:
        settings: the settings of the lake.
        out: the folder; a site that is there is replaced.
        checks: recorded evaluations of checks by table, the last one first.

    Raises:
        WatershedError: `out` holds something else than a site or cannot be written, or the object store does not
            answer.

    Example: `build_site(load_settings(), Path("site")).folder / "index.html"` is the page to open.
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and ((out / MARK).is_file() or not any(out.iterdir()))):
        raise WatershedError(f"{out} is not a site that was built here", "choose another folder with --out")
    site = SiteLake.of(settings, checks or {})
    with whole_folder(out) as folder, site.connection:
        (folder / MARK).write_text("This folder is replaced by `watershed site build`.\n", encoding="utf-8")
        pages = _pages(site)
        menu = [
            (page.menu, page.path) for page in sorted(pages, key=lambda page: page.path != "index.html") if page.menu
        ]
        footer = (
            f"Built {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC. Numbers are of the latest versions then."
        )
        sizes = [_write(folder, page, menu, footer) for page in pages]
        entries = [entry for page in pages for entry in page.entries]
        assets = folder / "assets"
        assets.mkdir()
        for name in ASSETS:
            (assets / name).write_bytes(resources.files("catalog.cards.site").joinpath("assets", name).read_bytes())
        (assets / "search.js").write_text(_search(entries), encoding="utf-8")
    return Built(folder=out, pages=len(pages), entries=len(entries), largest=max(sizes))


def _pages(site: SiteLake) -> list[Page]:
    models = list(model_pages(site))
    pages = [index_page(site, len(models)), models_page(site), *models]
    with track("site", len(CONTRACTS) + len(VIEWS), "tables") as task:
        for contract in CONTRACTS.values():
            pages.append(table_page(site, contract, _of_families(site, contract)))
            task.advance(note=contract.name)
        for name, view in VIEWS.items():
            pages.append(view_page(site, name, view))
            task.advance(note=name)
    for module in site_modules():
        if make := getattr(module, "pages", None):
            pages += make(site)
    return pages


def _of_families(site: SiteLake, contract: Contract) -> list[Section]:
    """The sections that families add to the page of a table."""
    makers = (getattr(module, "table_sections", None) for module in site_modules())
    return [section for make in makers if make for section in make(site, contract)]


def _write(folder: Path, page: Page, menu: Sequence[tuple[str, str]], footer: str) -> int:
    path = folder / page.path
    path.parent.mkdir(parents=True, exist_ok=True)
    content = frame(page, menu, footer).encode("utf-8", errors="replace")
    path.write_bytes(content)
    if page.lists:
        lists = {name: [_item(item) for item in items] for name, items in page.lists.items()}
        data = _assigned("WATERSHED_LISTS", lists)
        (folder / page.data_file).write_text(data, encoding="utf-8")
    return len(content)


def _item(item: Item) -> list[object]:
    facets = {key: list(values) for key, values in item.facets.items()}
    return [item.title, item.address, item.words, list(item.facts), facets]


def _search(entries: Sequence[Entry]) -> str:
    docs = [[short(masked(each.title), 200), short(masked(each.words)), each.kind, each.address] for each in entries]
    return _assigned("WATERSHED_SEARCH", docs)


def _assigned(name: str, value: object) -> str:
    # ASCII alone: no text can end the script or a line of it.
    return f"window.{name} = {json.dumps(value, ensure_ascii=True, separators=(',', ':'))};\n"
