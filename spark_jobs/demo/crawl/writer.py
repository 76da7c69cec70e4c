"""Writes a crawl of this machine's own documentation in a crawler's format: WARC files and a manifest."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import PARTIAL, write_whole
from spark_jobs.demo.crawl.parts import CrawlFile, Progress, WarcPart, write_parts
from spark_jobs.demo.crawl.plan import plan_crawl

CRAWL_SEED = 20_250_115
CRAWL_VERSION = 1
"""Increased when the pages or their bytes change, so that a crawl of an older version is written again."""
MANIFEST = "crawl.json"
OWN_FILE = re.compile(rf"^\.?WATERSHED-\w+-\d{{5}}\.warc\.gz(?:\.\d+(?:\.part|\{PARTIAL}))?$")
MAX_WORKERS = 4


@dataclass(frozen=True)
class CrawlSize:
    """The limits of a crawl."""

    pages: int
    """Number of pages, including second addresses and older editions."""
    warc_files: int
    """Number of WARC files that the pages are distributed over."""
    max_html_bytes: int
    """Bytes of HTML before compression; a file that reaches its share takes no more pages."""


@dataclass(frozen=True)
class CrawlReport:
    """The contents of a crawl."""

    files: tuple[CrawlFile, ...]
    pages_by_kind: dict[str, int]
    """Pages of each kind; `copy` and `edition` count second addresses and older editions, of all kinds."""
    hosts: int

    @property
    def pages(self) -> int:
        """Pages in all files."""
        return sum(file.pages for file in self.files)

    @property
    def bytes(self) -> int:
        """Bytes of all WARC files, compressed."""
        return sum(file.bytes for file in self.files)

    @property
    def html_bytes(self) -> int:
        """Bytes of all payloads before compression."""
        return sum(file.html_bytes for file in self.files)


def write_crawl(
    folder: Path,
    size: CrawlSize,
    *,
    label: str = "custom",
    seed: int = CRAWL_SEED,
    progress: Progress | None = None,
    workers: int | None = None,
) -> CrawlReport:
    """Write a crawl of this machine's documentation into `folder`, or return at once if it exists already.

    The same machine, size and seed give the same bytes. Each WARC file appears under its name only when it is
    complete, and the manifest `crawl.json` only when all of them are; WARC files of an earlier crawl go first.

    Args:
        folder: where `WATERSHED-<size>-00000.warc.gz` and its fellows go; made if missing.
        size: how much the crawl holds at most.
        label: names the WARC files.
        seed: decides which pages are taken and their order.
        progress: called with (pages fetched, pages planned) now and then.
        workers: processes that render pages, by default one a core up to four; the bytes do not depend on it.

    Raises:
        WatershedError: the folder cannot be written to.
    """
    present = _finished(folder, size, seed)
    if present is not None:
        return present
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        workers = workers or min(os.cpu_count() or 1, MAX_WORKERS)
        report = _write_all(
            folder, size, label, seed, workers=workers, progress=progress or (lambda done, planned: None)
        )
        _write_manifest(folder, size, seed, report)
    except OSError as error:
        raise WatershedError(
            f"crawl folder {folder}: {error.strerror or error}", "choose a folder that can be written to"
        ) from error
    return report


def warc_name(label: str, number: int) -> str:
    """File name of the crawl's WARC file `number`, as Common Crawl numbers them."""
    return f"WATERSHED-{label}-{number:05d}.warc.gz"


def _write_all(
    folder: Path, size: CrawlSize, label: str, seed: int, *, workers: int, progress: Progress
) -> CrawlReport:
    plan = plan_crawl(size.pages, seed=seed)
    total = len(plan.pages)
    bounds = [number * total // size.warc_files for number in range(size.warc_files + 1)]
    parts = [
        WarcPart(
            path=folder / warc_name(label, number),
            first_index=start,
            pages=plan.pages[start:end],
            sites={page.host: plan.sites[page.host] for page in plan.pages[start:end]},
            max_html_bytes=size.max_html_bytes // size.warc_files,
        )
        for number, (start, end) in enumerate(pairwise(bounds))
    ]
    written = write_parts(parts, workers=workers, progress=progress)
    kinds = sum((Counter(part.pages_by_kind) for part in written), Counter())
    hosts = {host for part in written for host in part.hosts}
    return CrawlReport(tuple(part.file for part in written), dict(sorted(kinds.items())), len(hosts))


def _clear(folder: Path) -> None:
    """Remove WARC files of an earlier or interrupted crawl, which would be read as part of this one."""
    (folder / MANIFEST).unlink(missing_ok=True)
    for path in sorted(folder.iterdir()):
        if OWN_FILE.match(path.name):
            path.unlink()


def _write_manifest(folder: Path, size: CrawlSize, seed: int, report: CrawlReport) -> None:
    manifest = json.dumps({**_made_from(size, seed), "report": asdict(report)}, indent=1) + "\n"
    write_whole(folder / MANIFEST, manifest.encode())


def _made_from(size: CrawlSize, seed: int) -> dict[str, Any]:
    return {"version": CRAWL_VERSION, "size": asdict(size), "seed": seed}


def _finished(folder: Path, size: CrawlSize, seed: int) -> CrawlReport | None:
    """The report of the crawl in the folder, if its recipe matches and every file has the recorded digest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        if {key: manifest[key] for key in ("version", "size", "seed")} != _made_from(size, seed):
            return None
        report = manifest["report"]
        files = tuple(CrawlFile(**file) for file in report["files"])
        for file in files:
            with (folder / file.name).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != file.sha256:
                    return None
        return CrawlReport(files, report["pages_by_kind"], report["hosts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
