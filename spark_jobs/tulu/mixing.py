"""What a mixture takes: filters, deduplication and decontamination, then a draw by hash and an order by hash.

Nothing depends on the order in which rows arrive or on the number of workers: a row is drawn by the SHA-256 of seed,
source and row id, and so is its place in the mixture. The same seed with a larger count takes the same rows and more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.hash_order import hash_key
from spark_jobs.tulu.filters import reasons
from spark_jobs.tulu.reading import prompt_text
from spark_jobs.tulu.sources import Filters, Kind, Mixture, Source

Row = Mapping[str, Any]
CHUNK = 2_000
"""Rows that a worker judges at a time."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A row of a source as a mixture sees it."""

    row_id: str
    row_digest: str
    prompt_digest: str
    reasons: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Mixed:
    """The rows of a mixture, in the columns of tulu.mixture, tulu.drops and tulu.sources."""

    rows: list[Row] = field(default_factory=list)
    drops: list[Row] = field(default_factory=list)
    sources: list[Row] = field(default_factory=list)


def judged(rows: Iterable[Row], filters: Filters, kind: Kind, workers: int = 1) -> list[Candidate]:
    """Candidates of a source with what the filters say of them, in the order of the rows."""
    found: list[Candidate] = []
    chunks = iter(_chunks(rows))
    with ThreadPoolExecutor(max(workers, 1)) as pool:
        # As many chunks at a time as keep the workers busy: `map` would read all rows before the first result.
        while some := list(islice(chunks, 4 * max(workers, 1))):
            for judgements in pool.map(lambda chunk: _judged(chunk, filters, kind), some):
                found += judgements
    return found


def _judged(rows: Sequence[Row], filters: Filters, kind: Kind) -> list[Candidate]:
    languages: Sequence[str | None] = [None] * len(rows)
    if filters.languages:
        import pyarrow as pa

        from spark_jobs.classifiers.languages import languages as identify

        languages = identify(pa.array([prompt_text(row["messages"]) for row in rows], pa.string()))[0].to_pylist()
    return [
        Candidate(
            row_id=row["row_id"],
            row_digest=row["row_digest"],
            prompt_digest=row["prompt_digest"],
            reasons=tuple(reasons(row, filters, kind, language)),
        )
        for row, language in zip(rows, languages, strict=True)
    ]


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    following = iter(rows)
    while chunk := list(islice(following, CHUNK)):
        yield chunk


def mix(
    mixture: Mixture,
    candidates: Mapping[str, Sequence[Candidate]],
    contaminated: Mapping[str, Collection[str]],
    dropped_sources: Collection[str] = (),
) -> Mixed:
    """Draw a mixture.

    Args:
        mixture: what is wanted.
        candidates: the rows of each source.
        contaminated: row ids of each source that hold evaluation instances and are to be dropped.
        dropped_sources: sources that are contaminated and left out whole.

    Raises:
        WatershedError: a source has fewer rows than are wanted of it, and the mixture does not allow that.
    """
    found, seen = Mixed(), set[str]()
    wanted = mixture.wanted()
    places: list[tuple[str, str, str, int]] = []
    for source in mixture.sources:
        kept: list[str] = []
        drops: list[Row] = []
        own = contaminated.get(source.name, ()) if mixture.decontaminate else ()
        whole = mixture.decontaminate and source.name in dropped_sources
        for each in candidates[source.name]:
            why = list(each.reasons)
            why += ["contaminated_source"] if whole else ["contaminated"] if each.row_id in own else []
            digest = {"row": each.row_digest, "prompt": each.prompt_digest, "none": ""}[mixture.deduplicate]
            if not why and digest:
                why = ["duplicate"] if digest in seen else []
                seen.add(digest)
            if why:
                drops.append(_drop(mixture.name, source.name, each.row_id, why))
            else:
                kept.append(each.row_id)
        taken = _drawn(mixture, source.name, kept, wanted[source.name], source.repeats)
        missing = wanted[source.name] - len(taken)
        if missing > 0 and mixture.short == "refuse":
            raise WatershedError(
                f"{source.name} has {len(kept):,} rows, {missing:,} fewer than the mixture {mixture.name} takes",
                "lower its count, raise `repeats`, or write `short: allow`",
            )
        places += [
            (hash_key(mixture.seed, "order", source.name, row, repeat), source.name, row, repeat)
            for row, repeat in taken
        ]
        found.drops += drops
        found.sources.append(
            {
                **_declared(mixture, source),
                "rows": len(candidates[source.name]),
                "dropped": len(drops),
                "wanted": wanted[source.name],
                "taken": len(taken),
                "distinct": len({row for row, _ in taken}),
                "missing": max(missing, 0),
            }
        )
    found.rows = [
        {"mixture": mixture.name, "position": position, "source": source, "row_id": row, "repeat": repeat}
        for position, (_, source, row, repeat) in enumerate(sorted(places))
    ]
    return found


def _declared(mixture: Mixture, source: Source) -> Row:
    """What a row of tulu.sources has of the mixture's file."""
    return {
        "mixture": mixture.name,
        "source": source.name,
        "kind": mixture.kind,
        "repository": source.repository or source.table,
        "origin": source.origin,
        "revision": source.revision,
        "licence": source.licence,
        "available": source.available,
        "by": "count" if source.count is not None else "weight",
    }


def _drop(mixture: str, source: str, row: str, why: list[str]) -> Row:
    return {"mixture": mixture, "source": source, "row_id": row, "reason": why[0], "reasons": why}


def _drawn(mixture: Mixture, source: str, rows: Sequence[str], wanted: int, repeats: int) -> list[tuple[str, int]]:
    """The rows that are taken, each with how often it was taken before: all of them once, then all again."""
    order = sorted(rows, key=lambda row: (hash_key(mixture.seed, "draw", source, row), row))
    if not order:
        return []
    passes = min(repeats, math.ceil(wanted / len(order)))
    return [(row, repeat) for repeat in range(passes) for row in order][:wanted]


def proportions(
    sources: Sequence[Row], taken: Sequence[Row], tokens: Mapping[str, tuple[int, int] | None]
) -> list[dict[str, Any]]:
    """Rows of tulu.proportions: the effective share of each source in rows and in trained tokens.

    Args:
        sources: rows of tulu.sources of one mixture.
        taken: rows of tulu.mixture of the same mixture.
        tokens: tokens and trained tokens by row id; None for a row that the template refuses. Empty without a
            tokenizer, in which case token columns are null.
    """
    names = [row["source"] for row in sources]
    rows, all_tokens, trained = (dict.fromkeys(names, 0) for _ in range(3))
    for row in taken:
        counted = tokens.get(row["row_id"]) or (0, 0)
        rows[row["source"]] += 1
        all_tokens[row["source"]] += counted[0]
        trained[row["source"]] += counted[1]
    wanted = {row["source"]: row["wanted"] for row in sources}
    return [
        {
            "mixture": row["mixture"],
            "source": name,
            "rows": rows[name],
            "wanted_share": _share(wanted, name) or 0.0,
            "row_share": _share(rows, name) or 0.0,
            "tokens": all_tokens[name] if tokens else None,
            "trained_tokens": trained[name] if tokens else None,
            "token_share": _share(all_tokens, name) if tokens else None,
            "trained_share": _share(trained, name) if tokens else None,
            "trained_per_row": trained[name] / rows[name] if tokens and rows[name] else None,
        }
        for name, row in zip(names, sources, strict=True)
    ]


def _share(counts: Mapping[str, int], name: str) -> float | None:
    whole = sum(counts.values())
    return counts[name] / whole if whole else None
