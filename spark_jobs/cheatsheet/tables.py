"""Rows of the family's tables, computed from a resource file and Watershed's own starter set and codings."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from importlib.resources import files

import pyarrow as pa

from catalog.contract import Contract
from catalog.tables.cheatsheet import CODINGS, RAW, REPAIRS, RESOURCES, TAXONOMY
from catalog.tables.cheatsheet.taxonomy import CATEGORIES, STAGES
from spark_jobs.cheatsheet.merging import Resource, merged
from spark_jobs.cheatsheet.reading import LARGEST_ENTRY_BYTES, Entry, read_entries
from spark_jobs.cheatsheet.repairing import Draft, Repair, repaired

STARTER = "starter.json"
CODED = "codings.csv"


def own_file(name: str) -> bytes:
    """A data file of this package: STARTER or CODED."""
    return files("spark_jobs.cheatsheet").joinpath(name).read_bytes()


def tables(published: bytes | None, place: str = "the resource file") -> dict[str, pa.Table]:
    """The rows of all tables, by table name.

    Args:
        published: The cheatsheet's resource file; None for the starter set alone.
        place: What to call the file in an error.

    Raises:
        WatershedError: the file is not a JSON list.

    Example:
        >>> tables(None)["cheatsheet.resources"].num_rows
        20
    """
    entries = read_entries(published, "published", place) if published is not None else []
    entries += read_entries(own_file(STARTER), "starter", STARTER)
    drafts = [repaired(entry) for entry in entries if not entry.rejected]
    resources = merged(drafts)
    known = {resource.resource for resource in resources}
    rows = {
        TAXONOMY: [
            {
                "category": category.name,
                "number": category.number,
                "stage": category.stage,
                "stage_number": STAGES.index(category.stage) + 1,
            }
            for category in CATEGORIES
        ],
        RAW: _raw(entries, resources),
        RESOURCES: [_resource(resource) for resource in resources],
        REPAIRS: [row for draft in drafts for row in _repairs(draft)],
        CODINGS: [coding for coding in codings() if coding["resource"] in known],
    }
    return {contract.name: _table(contract, values) for contract, values in rows.items()}


def codings() -> list[dict[str, str]]:
    """The codings of all resources that Watershed knows, in the columns of `cheatsheet.codings`."""
    return list(csv.DictReader(own_file(CODED).decode("utf-8").splitlines()))


def _table(contract: Contract, rows: list[dict]) -> pa.Table:
    return contract.conform(pa.Table.from_pylist(rows, schema=contract.schema))


def _raw(entries: Iterable[Entry], resources: Iterable[Resource]) -> list[dict]:
    of = {
        (draft.entry.source, draft.entry.position): (resource, draft, reason)
        for resource in resources
        for draft, reason in resource.rows
    }
    rows = []
    for entry in entries:
        resource, draft, merge = of.get((entry.source, entry.position), (None, None, ""))
        outcome, reason = "rejected", entry.rejected
        if resource and draft:
            repairs = [f"{repair.field}: {repair.reason}" for repair in draft.repairs]
            outcome = "merged" if merge else "repaired" if repairs else "kept"
            into = resource.rows[0][0].entry
            merges = [f"merged into row {into.position} of the {into.source} rows: {merge}"] if merge else []
            reason = "; ".join([*merges, *repairs])
        rows.append(
            {
                "source": entry.source,
                "position": entry.position,
                "entry": _valid(entry.text[:LARGEST_ENTRY_BYTES]),
                "sha256": entry.sha256,
                "outcome": outcome,
                "resource": resource.resource if resource else None,
                "reason": _valid(reason),
            }
        )
    return rows


def _valid(text: str) -> str:
    """`text` without halves of surrogate pairs, which JSON can express and UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


def _resource(resource: Resource) -> dict:
    draft = resource.draft
    return {
        "resource": resource.resource,
        "name": _valid(draft.name),
        "description": _valid(draft.description),
        "year": draft.year,
        "month": draft.month,
        "updated_frequently": draft.updated_frequently,
        "modalities": draft.modalities,
        "categories": draft.categories,
        "stages": [stage for stage in STAGES if any(one.stage == stage for one in _categories(draft))],
        "primary_link": _text_or_none(draft.primary_link),
        **{name: _text_or_none(link) for name, link in draft.links.items()},
        "added_by": _text_or_none(draft.added_by),
        "sources": sorted({row.entry.source for row, _ in resource.rows}),
        "rows": len(resource.rows),
    }


def _text_or_none(value: str | None) -> str | None:
    return None if value is None else _valid(value)


def _categories(draft: Draft) -> list:
    return [category for category in CATEGORIES if category.name in draft.categories]


def _repairs(draft: Draft) -> list[dict]:
    def row(number: int, repair: Repair) -> dict:
        return {
            "source": draft.entry.source,
            "position": draft.entry.position,
            "number": number,
            "field": _valid(repair.field),
            "rule": repair.rule,
            "before": _valid(repair.before),
            "after": _valid(repair.after),
            "reason": _valid(repair.reason),
        }

    return [row(number, repair) for number, repair in enumerate(draft.repairs)]
