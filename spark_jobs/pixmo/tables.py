"""The tables of PixMo, written one after another: datasets, pictures, hosts, coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from catalog.lake import Lake
from catalog.progress import track
from catalog.tables.pixmo import COORDINATES, FETCHES, HOSTS, PICTURES
from spark_jobs.pictures.download import download
from spark_jobs.pictures.fetch import Wanted
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pixmo.coordinates import coordinate_rows
from spark_jobs.pixmo.loading import PixmoFile, load
from spark_jobs.pixmo.pictures import (
    fetch_rows,
    host_rows,
    journal_of,
    named_pictures,
    picture_rows,
    rounds_of,
    store_of,
    table_of,
)
from spark_jobs.pixmo.raw import BY_NAME

Row = dict[str, Any]


def write_dataset(lake: Lake, dataset: str, files: Sequence[PixmoFile], fingerprint: str) -> pa.Table:
    """Write the table of a dataset from its files, and return its rows.

    Raises:
        WatershedError: see `loading.load`.
    """
    rows = load(dataset, list(files), store_of(lake))
    lake.replace(BY_NAME[dataset].contract, rows, fingerprint)
    return rows


def write_pictures(lake: Lake, round_name: str, rules: FetchRules, fingerprint: str) -> list[Row]:
    """Download what the datasets name, write pixmo.fetches and pixmo.pictures, and return the rows of the latter.

    Addresses in the journal of the round are not asked again.

    Raises:
        WatershedError: the round has no name, or the disk is full.
    """
    named, journal = named_pictures(lake), journal_of(lake, round_name)
    wanted = [Wanted(url=url, sha256=digest) for url, digest in named.urls.items()]
    with track("downloading pictures", len(wanted), "pictures") as task:
        found = download(wanted, store_of(lake), journal, rules, report=lambda each: task.advance(1))
    fetched = fetch_rows(found, named, round_name)
    rows = picture_rows(lake, named, fetched, rules.most_pixels)
    earlier = lake.read(FETCHES.name).to_pylist() if lake.exists(FETCHES.name) else []
    others = [row for row in earlier if row["round"] != round_name]
    lake.replace(FETCHES, table_of([*others, *fetched], FETCHES), fingerprint)
    lake.replace(PICTURES, table_of(rows, PICTURES), fingerprint)
    return rows


def write_hosts(lake: Lake, threshold: float, fingerprint: str) -> list[Row]:
    """Write pixmo.hosts, and return its rows."""
    fetches = lake.read(FETCHES.name, ["round", "place", "host", "outcome", "at"]).to_pylist()
    rows = host_rows(fetches, rounds_of(fetches), threshold)
    lake.replace(HOSTS, table_of(rows, HOSTS), fingerprint)
    return rows


def write_coordinates(lake: Lake, fingerprint: str) -> list[Row]:
    """Write pixmo.coordinates, and return its rows."""
    rows = coordinate_rows(lake)
    lake.replace(COORDINATES, table_of(rows, COORDINATES), fingerprint)
    return rows
