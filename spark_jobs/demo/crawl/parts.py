"""Writes WARC files in parallel: any process can write any file, with the same bytes.

The other processes are plain ones, `python -m spark_jobs.demo.crawl.worker`, that read their parts from standard
input and report on standard output. A `multiprocessing` pool would import the caller's main module again,
or fork a process that has threads.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from catalog.files import whole_path
from spark_jobs.demo.crawl.pages import Page, Site
from spark_jobs.demo.crawl.render import fetch
from spark_jobs.demo.crawl.warc import gzip_member, response, warcinfo

Progress = Callable[[int, int], None]
REPORT_EVERY = 25
"""Pages between two reports of progress."""


@dataclass(frozen=True)
class CrawlFile:
    """One WARC file as written."""

    name: str
    bytes: int
    sha256: str
    pages: int
    html_bytes: int
    """Payloads before compression."""


@dataclass(frozen=True)
class WarcPart:
    """One WARC file to write."""

    path: Path
    first_index: int
    """Position of its first page in the crawl, which decides the dates."""
    pages: tuple[Page, ...]
    sites: dict[str, Site]
    """The sites of its pages, by host."""
    max_html_bytes: int


@dataclass(frozen=True)
class WrittenPart:
    """A finished WARC file, and what is in it."""

    file: CrawlFile
    pages_by_kind: dict[str, int]
    hosts: tuple[str, ...]


def write_part(part: WarcPart, fetched_pages: Callable[[int], None]) -> WrittenPart:
    """Write one WARC file, whole or not at all.

    Args:
        part: which file, and the pages planned for it.
        fetched_pages: called with the number of pages fetched since the last call.
    """
    kinds: Counter[str] = Counter()
    hosts: set[str] = set()
    html_bytes = length = 0
    digest = hashlib.sha256()
    with whole_path(part.path) as unfinished, unfinished.open("wb") as file:
        records = _records(part, kinds, hosts, fetched_pages)
        for record, payload_length in records:
            member = gzip_member(record)
            digest.update(member)
            file.write(member)
            length += len(member)
            html_bytes += payload_length
            if html_bytes >= part.max_html_bytes:
                break
    written = CrawlFile(part.path.name, length, digest.hexdigest(), sum(kinds.values()), html_bytes)
    return WrittenPart(written, dict(kinds), tuple(sorted(hosts)))


def _records(
    part: WarcPart, kinds: Counter[str], hosts: set[str], fetched_pages: Callable[[int], None]
) -> Iterator[tuple[bytes, int]]:
    """Uncompressed records of the file with the lengths of their payloads; counts pages as they pass."""
    name = part.path.name
    yield warcinfo(name, "documentation found on one machine", index=part.first_index), 0
    for place, page in enumerate(part.pages):
        if place % REPORT_EVERY == REPORT_EVERY - 1:
            fetched_pages(REPORT_EVERY)
        index = part.first_index + place
        fetched = fetch(page, part.sites[page.host], index)
        if fetched is None:
            continue
        kinds["copy" if page.copy else "edition" if page.version else page.kind] += 1
        hosts.add(page.host)
        yield response(page.url, fetched.message, fetched.payload, file_name=name, index=index), len(fetched.payload)


def write_parts(parts: Sequence[WarcPart], *, workers: int, progress: Progress) -> list[WrittenPart]:
    """Write all parts with `workers` processes; returns results in the order of the parts.

    Raises:
        OSError: a file could not be written, here or in another process.
    """
    total = sum(len(part.pages) for part in parts)
    progress(0, total)
    if workers <= 1 or len(parts) <= 1:
        written = _write_here(parts, total, progress)
    else:
        written = _write_in_processes(parts, min(workers, len(parts)), total, progress)
    progress(total, total)
    by_name = {part.file.name: part for part in written}
    return [by_name[part.path.name] for part in parts]


def _write_here(parts: Sequence[WarcPart], total: int, progress: Progress) -> list[WrittenPart]:
    done = 0

    def fetched_pages(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return [write_part(part, fetched_pages) for part in parts]


def _write_in_processes(parts: Sequence[WarcPart], workers: int, total: int, progress: Progress) -> list[WrittenPart]:
    messages: Queue[dict[str, Any]] = Queue()
    processes = [_start(parts[worker::workers], messages) for worker in range(workers)]
    written: list[WrittenPart] = []
    done, running = 0, workers
    try:
        while running:
            message = messages.get()
            if "fetched" in message:
                done += message["fetched"]
                progress(done, total)
            elif "written" in message:
                fields = message["written"]
                file = CrawlFile(**fields["file"])
                written.append(WrittenPart(file, fields["pages_by_kind"], tuple(fields["hosts"])))
            elif "error" in message:
                raise OSError(message["error"])
            else:
                running -= 1
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return written


def _start(parts: Sequence[WarcPart], messages: Queue[dict[str, Any]]) -> subprocess.Popen[bytes]:
    """A process that writes parts, and a thread that forwards its reports."""
    room = str(Path(__file__).parents[3])
    paths = [room, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-m", "spark_jobs.demo.crawl.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        # Ctrl+C reaches the process that started it, and the end of that process ends it.
        process_group=0,
    )
    Thread(target=_pass_on, args=(process, list(parts), messages), daemon=True).start()
    return process


def _pass_on(process: subprocess.Popen[bytes], parts: list[WarcPart], messages: Queue[dict[str, Any]]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    # A process that died has closed its end; its exit status below says so.
    with suppress(BrokenPipeError), process.stdin:
        pickle.dump(parts, process.stdin)
    with process.stdout:
        for line in process.stdout:
            messages.put(json.loads(line))
    if process.wait() > 0:
        messages.put({"error": f"a crawl process ended with status {process.returncode}"})
    messages.put({"ended": True})
