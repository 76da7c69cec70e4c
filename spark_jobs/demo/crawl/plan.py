"""Plans a crawl: lists all pages that this machine's files can provide, and makes a balanced, seeded choice of them."""

from __future__ import annotations

import math
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from spark_jobs.demo.crawl.catalogues import bundle_pages, gettext_pages
from spark_jobs.demo.crawl.documents import package_documents, python_documents, system_documents
from spark_jobs.demo.crawl.manuals import manual_pages
from spark_jobs.demo.crawl.packages import Package, installed_packages, package_pages
from spark_jobs.demo.crawl.pages import Page, Site, seeded
from spark_jobs.demo.crawl.python_docs import PYTHON_HOST, SKIPPED_FOLDERS, module_pages, reference_pages

SHARES = {
    "module": 0.38,
    "object": 0.14,
    "reference": 0.03,
    "package": 0.06,
    "html": 0.06,
    "text": 0.13,
    "manual": 0.10,
    "translation": 0.06,
    "stub": 0.03,
    "index": 0.01,
}
"""Share of the crawl of each kind, if the machine has enough pages of it; other kinds get the rest."""
COPY_SHARE = 0.04
"""Part of the crawl that is a page again under a second address: half the same bytes, half a second visit."""
EDITION_SHARE = 0.05
"""Part of the crawl that is an older edition of a page: another version's folder, notes on later changes gone."""
EDITION_KINDS = ("module", "object", "reference", "package")
COPIED_ADDRESSES = ("?utm_source=newsletter&utm_medium=email", "?ref=sidebar", "?print=1", "http")


@dataclass(frozen=True)
class CrawlPlan:
    """A planned crawl; nothing is rendered yet."""

    pages: tuple[Page, ...]
    """In the order in which they are fetched."""
    sites: dict[str, Site]
    """By host."""


def plan_crawl(pages: int, *, seed: int) -> CrawlPlan:
    """Choose at most `pages` pages of this machine, balanced among kinds, packages and languages.

    Args:
        pages: pages wanted, copies and older editions included; fewer where the machine has fewer.
        seed: decides every choice and the order.
    """
    site_packages = Path(sysconfig.get_paths()["purelib"])
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    packages = installed_packages(site_packages)
    copies, editions = round(pages * COPY_SHARE), round(pages * EDITION_SHARE)
    chosen = choose(available_pages(site_packages, stdlib), pages - copies - editions, SHARES, seed=seed)
    older = _older_editions(chosen, packages, stdlib, editions, seed=seed)
    repeated = _copies(chosen, copies, seed=seed)
    everything = sorted([*chosen, *older, *repeated], key=lambda page: (seeded(seed, "order", page.url), page.url))
    return CrawlPlan(tuple(everything), _sites(everything, packages))


@lru_cache(maxsize=1)
def available_pages(site_packages: Path, stdlib: Path) -> tuple[Page, ...]:
    """Every page that this machine's files can provide, each address once; the search runs once in a process."""
    packages = installed_packages(site_packages)
    python = Package("python", _python_version(), _stdlib_top_level(stdlib), stdlib)
    found: list[Page] = [*reference_pages(stdlib), *module_pages(stdlib, python)]
    for package in packages:
        found.extend(module_pages(site_packages, package))
    found.extend(package_pages(packages))
    found.extend(python_documents(stdlib))
    found.extend(package_documents(site_packages, packages))
    found.extend(system_documents())
    found.extend(manual_pages())
    found.extend(gettext_pages())
    found.extend(bundle_pages(site_packages))
    found.extend(_index_pages(found))
    by_url: dict[str, Page] = {}
    for page in found:
        by_url.setdefault(page.url, page)
    return tuple(by_url.values())


def _python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _stdlib_top_level(stdlib: Path) -> tuple[str, ...]:
    names = {path.stem for path in stdlib.glob("*.py")}
    names |= {path.parent.name for path in stdlib.glob("*/__init__.py")}
    return tuple(sorted(names - SKIPPED_FOLDERS))


def _index_pages(found: list[Page]) -> list[Page]:
    hosts = sorted({page.host for page in found if page.kind == "module"})
    return [
        Page(
            kind="index",
            group=host,
            host=host,
            path="/genindex.html",
            title="General Index",
            weight=1_000,
            source=Path(),
        )
        for host in hosts
    ]


def choose(pages: Iterable[Page], count: int, shares: dict[str, float], *, seed: int) -> list[Page]:
    """`count` of the pages: kinds by their shares, then one page a group in turn, longer pages likelier.

    Args:
        pages: what there is, in any order.
        count: pages wanted; all are taken where there are fewer.
        shares: kind to its part of the whole; what a kind cannot fill is shared out among the others.
        seed: decides the order of the groups and of the pages within them.
    """
    waiting: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        if page.kind in shares:
            waiting[page.kind].append(page)
    queues = {kind: _in_turn(waiting[kind], seed) for kind in shares if kind in waiting}
    quotas = _quotas({kind: len(queue) for kind, queue in queues.items()}, count, shares)
    return [page for kind, queue in queues.items() for page in queue[: quotas[kind]]]


def _quotas(available: dict[str, int], count: int, shares: dict[str, float]) -> dict[str, int]:
    """Pages a kind gets: its share, capped by what there is, the remainder going to kinds with pages left."""
    quotas = dict.fromkeys(available, 0)
    while (left := min(count, sum(available.values())) - sum(quotas.values())) > 0:
        open_kinds = [kind for kind in available if quotas[kind] < available[kind]]
        total = sum(shares[kind] for kind in open_kinds)
        for kind in open_kinds:
            wanted = math.ceil(left * shares[kind] / total)
            remaining = min(count, sum(available.values())) - sum(quotas.values())
            quotas[kind] += min(wanted, available[kind] - quotas[kind], remaining)
    return quotas


def _in_turn(pages: list[Page], seed: int) -> list[Page]:
    """Pages of one kind: every group's first choice, then every group's second, and so on."""
    groups: dict[str, list[Page]] = defaultdict(list)
    for page in pages:
        groups[page.group].append(page)
    ranked: list[tuple[int, int, Page]] = []
    for group, members in groups.items():
        group_key = seeded(seed, "group", group)
        members.sort(key=lambda page: (_weighted_key(page, seed), page.url))
        ranked.extend((turn, group_key, page) for turn, page in enumerate(members))
    ranked.sort(key=lambda item: (item[0], item[1], item[2].url))
    return [page for _, _, page in ranked]


def _weighted_key(page: Page, seed: int) -> float:
    """An exponential draw with the page's length as its rate: weighted sampling without replacement.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006).
    """
    uniform = (seeded(seed, "page", page.url) + 1) / 2**64
    return -math.log(uniform) / max(page.weight, 1)


def _older_editions(chosen: list[Page], packages: list[Package], stdlib: Path, count: int, *, seed: int) -> list[Page]:
    """The same pages as an earlier version of the documentation shows them.

    For the standard library this is another Python of the machine where there is one, whose docstrings
    really differ; otherwise the page without its notes on later changes, under the version before.
    """
    versions = {package.docs_host: package.version for package in packages}
    others = _other_pythons(stdlib)
    earlier = previous_version(_python_version())
    versioned = [
        page for page in chosen if page.kind in EDITION_KINDS and ("/stable/" in page.path or page.host == PYTHON_HOST)
    ]
    older: list[Page] = []
    for page in sorted(versioned, key=lambda page: seeded(seed, "edition", page.url)):
        if len(older) == count:
            break
        if page.host == PYTHON_HOST:
            version, root = others[seeded(seed, "python", page.url) % len(others)] if others else (earlier, stdlib)
            source = root / page.source.relative_to(stdlib)
            path = page.path.replace("/3/", f"/{version}/", 1)
        else:
            version, source = previous_version(versions[page.host]), page.source
            path = page.path.replace("/stable/", f"/{version}/", 1)
        if version and source.is_file():
            older.append(replace(page, path=path, version=version, source=source))
    return older


def _other_pythons(stdlib: Path) -> list[tuple[str, Path]]:
    """(version, library folder) of other Python 3 installations that lie beside this one or in /usr."""
    candidates = [*Path("/usr/lib").glob("python3.*"), *Path(sys.base_prefix).parent.glob("*/lib/python3.*")]
    found: dict[str, Path] = {}
    for folder in sorted(candidates):
        version = folder.name.removeprefix("python")
        if version != _python_version() and (folder / "asyncio" / "__init__.py").is_file():
            found.setdefault(version, folder)
    return sorted(found.items())


def previous_version(version: str) -> str:
    """The release before, as version numbers usually count: 1.13.27 gives 1.12, 2.0 gives 1.9; "" if unclear."""
    numbers = version.split(".")
    if len(numbers) < 2 or not (numbers[0].isdigit() and numbers[1].isdigit()):
        return ""
    major, minor = int(numbers[0]), int(numbers[1])
    if minor > 0:
        return f"{major}.{minor - 1}"
    return f"{major - 1}.9" if major > 0 else ""


def _copies(chosen: list[Page], count: int, *, seed: int) -> list[Page]:
    """Chosen pages again under a second address, the same bytes and second visits in equal parts."""
    ranked = sorted(chosen, key=lambda page: seeded(seed, "copy", page.url))
    repeated: list[Page] = []
    for place, page in enumerate(ranked[:count]):
        address = COPIED_ADDRESSES[seeded(seed, "address", page.url) % len(COPIED_ADDRESSES)]
        copy = "same" if place % 2 == 0 or page.kind == "html" else "session"
        if copy == "session":
            repeated.append(replace(page, copy=copy, path=f"{page.path}?sid={seeded(seed, 'sid', page.url):016x}"))
        elif address == "http":
            repeated.append(replace(page, copy=copy, scheme="http"))
        else:
            repeated.append(replace(page, copy=copy, path=page.path + address))
    return repeated


def _sites(pages: list[Page], packages: list[Package]) -> dict[str, Site]:
    versions = {package.docs_host: package.version for package in packages} | {PYTHON_HOST: _python_version()}
    names = {package.docs_host: package.name for package in packages} | {PYTHON_HOST: "Python"}
    links: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for page in pages:
        links[page.host]
        if not page.copy and not page.version:
            links[page.host].add((page.path, page.title))
    return {
        host: Site(
            host,
            names.get(host, host.removesuffix(".example").removeprefix("www.")),
            versions.get(host, ""),
            tuple((title, path) for path, title in sorted(entries)),
        )
        for host, entries in links.items()
    }
