"""pixmo.pictures, pixmo.fetches and pixmo.hosts: what became of every picture that the datasets name.

A round asks every address once. The journal of a round lies beside the stored pictures, so that a killed round goes on.
A later round asks again, so that rot can be seen; a picture that was stored once stays stored.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.pixmo import PICTURES
from catalog.tables.pixmo.columns import SETS
from spark_jobs.pictures.look import NotAPicture, look
from spark_jobs.pictures.placeholders import repeated_bytes
from spark_jobs.pictures.store import PictureStore

HELD = "sha256:"
GIVEN = ("ok", "held")
ROUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")

Row = dict[str, Any]


def store_of(lake: Lake) -> PictureStore:
    """Where the pictures of a lake are stored."""
    return PictureStore(lake.folder("pixmo.pictures", "by-digest"))


def journal_of(lake: Lake, round_name: str) -> Path:
    """The journal of a round.

    Raises:
        WatershedError: the round has no name that a file can have.
    """
    if not ROUND.fullmatch(round_name):
        raise WatershedError(f"[pixmo] round is {round_name[:60]!r}", "use letters, digits, dots and dashes")
    return lake.folder("pixmo.pictures", "rounds", f"{round_name}.jsonl")


@dataclass(frozen=True)
class Named:
    """The pictures that the datasets name."""

    urls: Mapping[str, str | None]
    """The declared digest of each address; null where the datasets give none, or several."""
    held: tuple[str, ...]
    """Digests of pictures that the files held."""


def named_pictures(lake: Lake) -> Named:
    """Collect the addresses and digests of all datasets."""
    urls: dict[str, set[str]] = defaultdict(set)
    held: set[str] = set()
    for name in SETS:
        rows = lake.read(f"pixmo.{name}", ["image_url", "image_sha256"])
        for url, digest in zip(rows["image_url"].to_pylist(), rows["image_sha256"].to_pylist(), strict=True):
            if url is not None:
                urls[url] |= {digest} if digest else set()
            elif digest is not None:
                held.add(digest)
    one = {url: next(iter(digests)) if len(digests) == 1 else None for url, digests in sorted(urls.items())}
    return Named(one, tuple(sorted(held)))


def fetch_rows(found: Mapping[str, Row], named: Named, round_name: str) -> list[Row]:
    """Rows of pixmo.fetches, with placeholders that are known by their repetition.

    An outcome in the journal may be older than the digest that the datasets give now.
    """
    found = {place: {**row, "declared_sha256": named.urls[place]} for place, row in found.items()}
    for row in found.values():
        if row["outcome"] == "ok" and row["declared_sha256"] not in (None, row["observed_sha256"]):
            row |= {"outcome": "changed", "reason": "the bytes are others than those that were annotated"}
    given = [
        (place, row["host"], row["declared_sha256"], row["observed_sha256"])
        for place, row in found.items()
        if row["outcome"] == "ok"
    ]
    repeated = repeated_bytes(given)
    rows = []
    for place in sorted(found):
        row = {**found[place], "round": round_name}
        if place in repeated:
            row |= {"outcome": "placeholder", "reason": "the host gives the same bytes for other addresses"}
        rows.append(row)
    return rows


def picture_rows(lake: Lake, named: Named, fetched: Sequence[Row], most_pixels: int) -> list[Row]:
    """Rows of pixmo.pictures: those that the files held, then every address.

    An address that gave its picture in an earlier round, and no longer does, keeps the path of the stored one.
    """
    store, rows = store_of(lake), []
    empty = dict.fromkeys(PICTURES.schema.names)
    for digest in named.held:
        row = {**empty, "place": f"{HELD}{digest}", "host": "", "declared_sha256": digest, "redirects": []}
        row |= {"outcome": "held", "reason": "", "attempts": 0, "round": "", "at": ""}
        rows.append(row | _stored(lake, store, digest, most_pixels))
    before = _earlier(lake)
    for row in fetched:
        kept = {name: row.get(name) for name in PICTURES.schema.names}
        digest = row["observed_sha256"] if row["outcome"] == "ok" else before.get(row["place"])
        path = store.find(digest) if digest else None
        rows.append({**kept, "path": lake.relative(path) if path else None})
    return rows


def _stored(lake: Lake, store: PictureStore, digest: str, most_pixels: int) -> Row:
    path = store.find(digest)
    if path is None:
        return {"outcome": "missing", "reason": "the file that held it has gone since it was read"}
    try:
        looked = look(path, most_pixels)
    except NotAPicture as error:
        return {"outcome": error.kind, "reason": str(error)}
    size = {"bytes": path.stat().st_size, "width": looked.width, "height": looked.height, "format": looked.format}
    return {"observed_sha256": digest, "path": lake.relative(path), **size}


def _earlier(lake: Lake) -> dict[str, str]:
    """The digests of pictures that were given before, by place."""
    if not lake.exists(PICTURES.name):
        return {}
    rows = lake.read(PICTURES.name, ["place", "path"]).to_pylist()
    return {row["place"]: Path(row["path"]).stem for row in rows if row["path"]}


def host_rows(fetches: Iterable[Row], rounds: Sequence[str], threshold: float) -> list[Row]:
    """Rows of pixmo.hosts.

    Args:
        fetches: rows of pixmo.fetches with `round`, `place`, `host` and `outcome`.
        rounds: the rounds, the earliest first.
        threshold: the share of missing pictures, and the rot, beyond which a host is reported.
    """
    by_round: dict[str, list[Row]] = defaultdict(list)
    for row in fetches:
        by_round[row["round"]].append(row)
    ever: set[str] = set()
    found = []
    for name in rounds:
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for row in by_round[name]:
            given, had = row["outcome"] in GIVEN, row["place"] in ever
            for host in (row["host"], "*"):
                for place, value in enumerate((1, given, had, had and not given)):
                    counts[host][place] += value
        for host, (pictures, given, had, lost) in sorted(counts.items()):
            share, rot = given / pictures, lost / had if had else 0.0
            numbers = {"pictures": pictures, "given": given, "given_share": share, "had": had, "lost": lost, "rot": rot}
            beyond = 1 - share > threshold or rot > threshold
            found.append({"round": name, "host": host, **numbers, "threshold": threshold, "beyond": beyond})
        ever |= {row["place"] for row in by_round[name] if row["outcome"] in GIVEN}
    return found


def rounds_of(fetches: Iterable[Row]) -> list[str]:
    """The rounds, by the earliest time of each."""
    first: dict[str, str] = {}
    for row in fetches:
        first[row["round"]] = min(row["at"], first.get(row["round"], row["at"]))
    return sorted(first, key=lambda name: (first[name], name))


def table_of(rows: Sequence[Row], contract: Contract) -> pa.Table:
    """Rows as a table of the contract; other fields are left out."""
    names = contract.schema.names
    return pa.Table.from_pylist([{name: row[name] for name in names} for row in rows], schema=contract.schema)
