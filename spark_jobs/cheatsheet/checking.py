"""Checks rows that are to be added to a resource file, and says what the contributor has to change.

A row is accepted if no repair of it is needed, it is not a resource that the file has already, and it states what the
tables need: a name, a description, a modality, a category and a link. The rules are those of `repairing`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spark_jobs.cheatsheet.merging import merged
from spark_jobs.cheatsheet.reading import Entry
from spark_jobs.cheatsheet.repairing import Draft, repaired

LEAST_DESCRIPTION = 10
"""Fewest characters of a description."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that a contributor has to change."""

    position: int
    """Position of the row in its file, from 0."""
    name: str
    field: str
    cause: str
    mend: str


def faults(entries: Sequence[Entry], known: Sequence[Entry] = ()) -> list[Fault]:
    """The faults of rows.

    Args:
        entries: Rows of the new file.
        known: Rows of the file that is already published. Rows that are equal to one of them are not checked, so that
            a contributor does not have to mend older rows.

    Example:
        >>> from spark_jobs.cheatsheet.reading import read_entries
        >>> entries = read_entries(b'[{"name": "Lake", "modalities": "Text"}]', "published", "lake.json")
        >>> [fault.field for fault in faults(entries)][-3:]
        ['description', 'categories', 'links']
    """
    new = added(entries, known)
    found = [
        Fault(position=entry.position, name="", field="row", cause=entry.rejected, mend="write an object with a name")
        for entry in new
        if entry.rejected
    ]
    drafts = {id(entry): repaired(entry) for entry in (*known, *entries) if not entry.rejected}
    for entry in new:
        if not entry.rejected:
            found.extend(_faults(drafts[id(entry)]))
    found.extend(_duplicates(list(drafts.values()), {id(entry) for entry in new}))
    return sorted(found, key=lambda fault: fault.position)


def added(entries: Sequence[Entry], known: Sequence[Entry]) -> list[Entry]:
    """The rows of `entries` that `known` does not have; a row that is there more often than before is new as well."""
    published = Counter(entry.sha256 for entry in known)
    new = []
    for entry in entries:
        if published[entry.sha256]:
            published[entry.sha256] -= 1
        else:
            new.append(entry)
    return new


def _faults(draft: Draft) -> Iterator[Fault]:
    def fault(field: str, cause: str, mend: str) -> Fault:
        return Fault(position=draft.entry.position, name=draft.name, field=field, cause=cause, mend=mend)

    for repair in draft.repairs:
        cause = f"{repair.before!r}: {repair.reason}" if repair.before else repair.reason
        yield fault(repair.field, cause, repair.mend or "remove the field")
    if len(draft.description) < LEAST_DESCRIPTION:
        yield fault("description", "there is no description", "say in a sentence what the resource is")
    if not draft.modalities:
        yield fault("modalities", "no modality is given", "name at least one, such as Text")
    if not draft.categories:
        yield fault("categories", "no category is given", "name at least one of cheatsheet.categories")
    if not any(draft.links.values()):
        yield fault("links", "no link is given", "fill at least one of the four links")


def _duplicates(drafts: list[Draft], new: set[int]) -> Iterator[Fault]:
    for resource in merged(drafts):
        first = resource.rows[0][0]
        for draft, reason in resource.rows[1:]:
            if id(draft.entry) in new:
                yield Fault(
                    position=draft.entry.position,
                    name=draft.name,
                    field="name",
                    cause=f"row {first.entry.position} ({first.name}) is the same resource: {reason}",
                    mend="change that row instead of adding another",
                )
