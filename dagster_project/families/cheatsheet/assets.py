"""The assets of the Foundation Model Development Cheatsheet: published rows, repairs and resources."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from catalog.settings import Settings
from catalog.tables.cheatsheet import CODINGS, RAW, REPAIRS, RESOURCES, TAXONOMY
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from spark_jobs.cheatsheet.tables import CODED, STARTER, own_file, tables


def imported(settings: Settings) -> Path:
    """The resource file that `watershed cheatsheet import` copied into the lake's files; it may be missing."""
    return settings.files_root / "cheatsheet" / "resources.json"


def digests(published: Path) -> dict[str, str]:
    """SHA-256 of the imported file and of the project's own data files, which decide the rows."""
    contents = {name: own_file(name) for name in (STARTER, CODED)}
    if published.is_file():
        contents["published"] = published.read_bytes()
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}


@table_asset(
    TAXONOMY,
    RAW,
    RESOURCES,
    REPAIRS,
    CODINGS,
    code_version="1",
    recipe=lambda settings, _: imported(settings),
    identity=digests,
)
def resources(making: Making) -> dict[str, Any]:
    """Repairs and merges the rows of the imported resource file, and adds Watershed's own starter set.

    `watershed cheatsheet import` imports the file. Without it the tables hold the starter set.
    """
    published: Path = making.recipe
    made = tables(published.read_bytes() if published.is_file() else None, str(published))
    for contract in (TAXONOMY, RESOURCES, RAW, REPAIRS, CODINGS):
        making.replace(contract, made[contract.name])
    return {name: rows.num_rows for name, rows in made.items()}
