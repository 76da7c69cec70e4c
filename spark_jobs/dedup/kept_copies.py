"""Which documents of a group are copies of each other, and which copy is kept.

A group holds documents that their signatures connect, directly or through others (`clusters`). Here they are compared
in the order of their rank: documents of earlier runs first, then the longest text, then the least id. A document is
dropped if it is a copy of a document that is kept before it, so it is always as similar to the kept copy as the
threshold requires. With `transitive`, the documents that copies connect are one cluster, of which the first is kept.

The result depends on the documents of a group only: not on their order, nor on batches, shards and workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.dedup.near_copies import Keep, NearCopies, Verify

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Marks

NOW = np.int32(2**31 - 1)
"""The run of documents that are not of an earlier one."""
TEXT_BYTES = 1 << 24
"""Bytes of text whose shingles are computed at once; they take about four times as much memory."""

MEMBERS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("kept_doc_id", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("similarity", pa.float64()),
    ]
)
"""The schema of the members of clusters; the contract of `dclm.duplicates` says what each column means."""
MEMBERS_AGAINST = pa.schema(
    [*(field.with_nullable(field.name in ("kept_doc_id", "similarity")) for field in MEMBERS), ("kept_run", pa.int32())]
)
"""MEMBERS where documents are compared with earlier runs: `kept_run` is the run of the kept copy, null if it is not of
an earlier one, and `kept_doc_id` is null if no copy is kept."""

Positions = npt.NDArray[np.int64]
"""Documents by their position in `Ranked.table`."""


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The documents of groups, by group and within it by rank."""

    table: pa.Table
    """doc_id, text_hash, text_bytes, print (a hash of the signature), group, run (NOW, or the place of an earlier run),
    and the other columns that were given."""
    starts: npt.NDArray[np.int64]
    """Bounds of the groups."""
    equal: Positions
    """The first document of the group with the same text; a document's own position if it is the first."""

    @classmethod
    def of(cls, members: pa.Table) -> Ranked:
        """Put the members of groups in order.

        Args:
            members: doc_id, text_hash, text_bytes, print, group (any number) and run.
        """
        keys = [("group", "ascending"), ("run", "ascending"), ("text_bytes", "descending"), ("doc_id", "ascending")]
        table = members.sort_by(keys).combine_chunks()
        group = table["group"].to_numpy()
        changes = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])) if len(group) else []
        same = equal_runs(*(table[name].to_numpy() for name in ("print", "text_bytes", "text_hash", "group")))
        _, first, inverse = np.unique(same, return_index=True, return_inverse=True)
        return cls(table=table, starts=np.append(changes, len(group)).astype(np.int64), equal=first[inverse])

    def __len__(self) -> int:
        return len(self.table)

    @property
    def distinct(self) -> npt.NDArray[np.bool_]:
        """Whether a document is the first of its group with its text."""
        return self.equal == np.arange(len(self))

    @property
    def earlier(self) -> npt.NDArray[np.bool_]:
        """Whether a document is of an earlier run."""
        return self.table["run"].to_numpy() != NOW


class ShingleSets:
    """The shingles of texts, in a temporary file."""

    def __init__(self, documents: int) -> None:
        self.places = np.full(documents, -1, np.int64)
        """For each document its index in `marks`; -1 if it was not added."""
        self._widths: list[npt.NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self._added = 0
        self._files = ExitStack()
        self._values = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115

    def __enter__(self) -> ShingleSets:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def add(self, documents: Positions, text: pa.Array) -> None:
        """Add the texts of documents."""
        from spark_jobs.kernels.minhash import shingles

        ends = np.cumsum(pc.fill_null(pc.binary_length(text), 0).to_numpy(zero_copy_only=False), dtype=np.int64)
        start = 0
        while start < len(text):
            before = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, before + TEXT_BYTES, "right")), start + 1)
            sets = shingles(text[start:stop])
            self._values.write(sets.values.to_numpy().tobytes())
            self._widths.append(np.diff(sets.offsets.to_numpy()).astype(np.int64))
            start = stop
        self.places[documents] = np.arange(self._added, self._added + len(text))
        self._added += len(text)

    def marks(self) -> Marks:
        """The sets of the texts that were added, in their order."""
        from spark_jobs.kernels.near_copies import Marks

        self._values.flush()
        bounds = np.cumsum(np.concatenate(self._widths))
        if not bounds[-1]:
            return Marks(np.zeros(0, np.uint32), bounds)
        return Marks(np.memmap(self._values, np.uint32, "r", shape=(int(bounds[-1]),)).view(np.ndarray), bounds)


def text_sets(ranked: Ranked, texts: Iterable[tuple[Positions, pa.Array]]) -> ShingleSets:
    """The shingles of the distinct documents of groups.

    Args:
        ranked: the documents.
        texts: positions and their texts, in any order; of documents that are not distinct too.

    Raises:
        WatershedError: the text of a distinct document is missing.
    """
    distinct, sets = ranked.distinct, ShingleSets(len(ranked))
    for positions, text in texts:
        chosen = distinct[positions]
        sets.add(positions[chosen], text.filter(pa.array(chosen)))
    missing = np.flatnonzero(distinct & (sets.places < 0))
    if len(missing):
        raise WatershedError(
            f"the texts of {len(missing):,} documents to compare are missing, of {_id(ranked, missing[0])} among them",
            "pass the texts of the documents whose signatures are compared, or use `verify: signature`",
        )
    return sets


def keep_copies(
    ranked: Ranked,
    marks: Marks,
    places: npt.NDArray[np.int64],
    options: NearCopies,
    *,
    keep: Keep = Keep.ONE,
    within: bool = True,
) -> pa.Table:
    """The documents that are not of earlier runs and have copies, in the columns of MEMBERS_AGAINST, by doc_id.

    Args:
        ranked: the documents of groups.
        marks: what they are compared by: shingles, or signatures for `verify: signature`.
        places: the index of each document in `marks`.
        options: when two documents are copies.
        keep: NONE drops every document that has a copy.
        within: whether documents are compared with each other, or only with those of earlier runs.
    """
    from spark_jobs.kernels.near_copies import ESTIMATE, JACCARD, lead

    compare = JACCARD if options.verify is Verify.JACCARD else ESTIMATE
    connected = within and (options.transitive or keep is Keep.NONE)
    clusters = _components(ranked, marks, places, options) if connected else None
    if options.transitive and clusters is not None:
        leaders = np.where(ranked.earlier, np.arange(len(ranked)), clusters)
    else:
        leaders = lead(
            ranked.starts,
            places,
            ranked.equal,
            ranked.earlier,
            marks,
            compare=compare,
            threshold=options.threshold,
            founding=within,
        )
    if keep is Keep.NONE:
        led = (leaders >= 0) & ranked.earlier[leaders]
        clusters = leaders if clusters is None else clusters
        leaders = np.where(led, leaders, -1)
    else:
        clusters = leaders
    return _describe(ranked, clusters, leaders, _similarity(ranked, leaders, marks, places, compare), options)


def _components(ranked: Ranked, marks: Marks, places: npt.NDArray[np.int64], options: NearCopies) -> Positions:
    """For each document, the first of those that copies connect with it."""
    from spark_jobs.kernels.near_copies import JACCARD, Runs, connect, lead
    from spark_jobs.kernels.union_find import UnionFind

    if options.verify is Verify.SIGNATURE:
        # Signatures have connected exactly these.
        return np.repeat(ranked.starts[:-1], np.diff(ranked.starts))
    # Most often no two documents of a large group are copies, which `lead` finds at less cost.
    none = np.zeros(len(ranked), np.bool_)
    led = lead(ranked.starts, places, ranked.equal, none, marks, compare=JACCARD, threshold=options.threshold)
    group = np.repeat(np.arange(len(ranked.starts) - 1), np.diff(ranked.starts))
    some = np.bincount(group, led != ranked.equal)[group] > 0
    distinct = ranked.distinct & some
    chosen = places[distinct].astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(distinct)])[ranked.starts]
    sets = UnionFind(len(marks.bounds) - 1)
    connect(Runs(chosen, starts), marks, sets, compare=JACCARD, threshold=options.threshold)
    _, first, inverse = np.unique(sets.labels()[chosen], return_index=True, return_inverse=True)
    positions = np.flatnonzero(distinct)
    found = np.arange(len(ranked))
    found[positions] = positions[first[inverse]]
    return found[ranked.equal]


def _similarity(
    ranked: Ranked, leaders: Positions, marks: Marks, places: npt.NDArray[np.int64], compare: int
) -> npt.NDArray[np.float64]:
    """The similarity of each document and its leader; nan without one."""
    from spark_jobs.kernels.near_copies import similarities

    found = np.full(len(ranked), np.nan)
    found[leaders >= 0] = 1.0
    others = np.flatnonzero((leaders >= 0) & (ranked.equal != ranked.equal[leaders]))
    left, right = places[ranked.equal[others]], places[ranked.equal[leaders[others]]]
    found[others] = similarities(left, right, marks, compare=compare)
    return found


def _describe(
    ranked: Ranked,
    clusters: Positions,
    leaders: Positions,
    similarity: npt.NDArray[np.float64],
    options: NearCopies,
) -> pa.Table:
    """Rows for the documents of clusters of two or more, without those of earlier runs.

    Args:
        clusters: a number for each document, equal within a cluster; -1 for a document that is in none.
        leaders: the position of the copy that is kept; -1 if none is.
    """
    sizes = np.bincount(clusters[clusters >= 0], minlength=len(ranked))
    rows = np.flatnonzero((clusters >= 0) & (sizes[clusters] > 1) & ~ranked.earlier)
    if not len(rows):
        return MEMBERS_AGAINST.empty_table()
    cluster, leader = clusters[rows], leaders[rows]
    led = leader >= 0
    ids, bytes_ = ranked.table["doc_id"].combine_chunks(), ranked.table["text_bytes"].to_numpy()
    counts = np.unique(equal_runs(ranked.equal, clusters), return_inverse=True, return_counts=True)
    exact = counts[2][counts[1].ravel()][rows] > 1
    kept = led & (leader == rows)
    same_text = led & (ranked.equal[rows] == ranked.equal[leader])
    as_long = np.bincount(cluster, bytes_[rows] == bytes_[leader], minlength=len(ranked)).astype(np.int64)[cluster]
    earlier = led & ranked.earlier[leader]
    reasons = [
        _reason(_Member(*row))
        for row in zip(
            *(kept.tolist(), led.tolist(), earlier.tolist(), same_text.tolist()),
            *((similarity[rows] >= options.threshold).tolist(), bytes_[rows].tolist(), bytes_[leader].tolist()),
            *(sizes[cluster].tolist(), as_long.tolist()),
            strict=True,
        )
    ]
    stands = pa.array(np.where(led, leader, 0), mask=~led)
    runs = ranked.table["run"].to_numpy()[leader]
    columns = {
        "doc_id": ids.take(pa.array(rows)),
        "cluster_id": ids.take(pa.array(_least(ids, rows, cluster))),
        "cluster_size": pa.array(sizes[cluster]),
        "method": pa.array(np.where(exact, "exact", "minhash")),
        "kept": pa.array(kept),
        "kept_doc_id": ids.take(stands),
        "reason": pa.array(reasons, pa.string()),
        "similarity": pa.array(similarity[rows], mask=~led),
        "kept_run": pa.array(runs, mask=~earlier),
    }
    return pa.table(columns).cast(MEMBERS_AGAINST).sort_by("doc_id").combine_chunks()


def _least(ids: pa.Array, rows: Positions, cluster: Positions) -> Positions:
    """For each of these rows, the one with the least id in its cluster."""
    by_id = pc.array_sort_indices(ids.take(pa.array(rows))).to_numpy()
    least = np.full(len(ids), -1, np.int64)
    # The last assignment counts, which is that of the least id.
    least[cluster[by_id[::-1]]] = rows[by_id[::-1]]
    return least[cluster]


class _Member(NamedTuple):
    """What the reason for keeping or dropping a document depends on."""

    kept: bool
    led: bool
    """Whether a copy is kept."""
    earlier: bool
    """Whether that copy is of an earlier run."""
    same_text: bool
    """As that copy."""
    alike: bool
    """Whether the document is as similar to that copy as the threshold requires."""
    size: int
    """Bytes of text."""
    longest: int
    """Bytes of text of that copy."""
    members: int
    as_long: int
    """Members of the cluster with as much text as that copy."""


def _reason(member: _Member) -> str:
    """Why a document is kept or dropped."""
    if member.kept:
        if member.as_long > 1:
            return f"longest text ({member.size} bytes), least doc_id of the {member.as_long} as long"
        return f"longest text ({member.size} bytes) of {member.members} copies"
    if not member.led:
        return f"one of {member.members} copies, of which none is kept"
    copy = "a document of an earlier run" if member.earlier else "the kept copy"
    if member.same_text:
        return f"same text as {copy}"
    if not member.alike:
        return f"nearly the text of another copy, and through it a copy of {copy}"
    return f"nearly the text of {copy}{_in_length(member)}"


def _in_length(member: _Member) -> str:
    size, longest = member.size, member.longest
    if member.earlier:
        return f" ({size} bytes against {longest})"
    if size < longest:
        return f", which is longer ({longest} bytes against {size})"
    return ", which is as long and has the smaller doc_id"


def _id(ranked: Ranked, position: int) -> str:
    return str(ranked.table["doc_id"][int(position)].as_py())[:80]


def equal_runs(*columns: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """A number for each row, which is the same for rows that are equal in all columns."""
    order = np.lexsort(columns)
    ordered = [column[order] for column in columns]
    changes = np.zeros(len(order), np.bool_)
    for column in ordered:
        changes[1:] |= column[1:] != column[:-1]
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(changes)
    return numbers
