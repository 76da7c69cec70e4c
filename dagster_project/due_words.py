"""What is due of each table, in words, for commands that start quickly.

To compute it, recipes and Dagster's definitions are imported. The words are therefore kept in the Dagster home, and
used again while nothing that decides them has changed: the logs of the tables, the files of the crawl, the settings,
the recipes, and Watershed's own code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import whole_file
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.storage.records import LOG, RECORDS
from catalog.tables import CONTRACTS

FILE = "due.json"

ROOT = Path(__file__).parents[1]
CODE = (ROOT / "dagster_project" / "families", ROOT / "dagster_project" / "engine", ROOT / "spark_jobs" / "recipes")
"""Folders of the code that holds recipes and code versions."""


@dataclass(frozen=True)
class Due:
    """What is due, by table; or why it cannot be seen."""

    words: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def due_words(settings: Settings) -> Due:
    """Return what is due of each table that is made. Nothing is due of a table that the result does not name."""
    lake = Lake.of(settings)
    if not any(lake.exists(name) for name in CONTRACTS):
        return Due()
    path, now = settings.dagster_home / FILE, signature(settings)
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        kept = json.loads(path.read_text())
        if kept["signature"] == now:
            return Due({str(name): str(words) for name, words in kept["words"].items()}, str(kept["problem"]))
    from dagster_project.run import due_of_each

    try:
        due = Due(due_of_each(settings))
    except WatershedError as error:
        due = Due(problem=error.cause)
    with suppress(WatershedError), whole_file(path) as partial:
        partial.write_text(json.dumps({"signature": now, "words": due.words, "problem": due.problem}))
    return due


def signature(settings: Settings) -> str:
    """Return a hash of what decides what is due: the versions of tables, and names, sizes and times of files."""
    digest = hashlib.blake2b(digest_size=16)
    for line in _signs(settings):
        digest.update(line.encode(errors="surrogateescape") + b"\0")
    return digest.hexdigest()


def _signs(settings: Settings) -> Iterator[str]:
    lake = Lake.of(settings)
    yield f"{lake.root} {settings.crawl} {settings.ladder} {settings.registry} {settings.spark.master}"
    for name in CONTRACTS:
        store = lake.store(name)
        for folder in (LOG, RECORDS):
            yield from (f"{name} {path} {stat}" for path, stat in sorted(store.listed(folder).items()))
        if store.local:
            # A file that is lost or cut short makes its partition due.
            listed = store.listed("", recursive=True)
            yield from (f"{name} {path} {stat}" for path, stat in sorted(listed.items()) if path.endswith(".parquet"))
    own = [settings.project / "contracts", settings.project / "assets"]
    places = [settings.recipes_folder, settings.files_root, *own, *CODE]
    places += [Path(place) for place in (settings.registry_folder, os.environ.get("WATERSHED_EVALUATIONS")) if place]
    places += [Path(place) for place in settings.crawl_inputs if "://" not in place]
    for place in places:
        files = sorted(place.rglob("*")) if place.is_dir() else sorted(place.parent.glob(place.name))
        for path in files:
            with suppress(FileNotFoundError):
                stat = path.stat()
                if path.is_file() and path.suffix != ".pyc":
                    yield f"{path} {stat.st_size} {stat.st_mtime_ns}"
