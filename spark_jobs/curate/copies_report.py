"""What a run says about copies, on the screen and in the report: clusters, the largest ones, and what inputs lost."""

from __future__ import annotations

import html
from collections.abc import Iterator
from pathlib import Path

from spark_jobs.curate.cluster_counts import LARGEST, Cluster, ClusterCounts, Loss
from spark_jobs.curate.run import Outcome

ID_SHOWN, PATH_SHOWN = 60, 200
"""Characters shown of an id and of a path."""


def copies_lines(outcome: Outcome) -> Iterator[str]:
    """Lines for the screen; none if no copies were found."""
    for counts in outcome.copies.clusters:
        if counts.clusters:
            found = f"{counts.clusters:,} clusters of {counts.documents:,} documents"
            yield f"copies by {counts.method}: {found}, by size {_sizes(counts)}"
            for cluster in counts.largest:
                similarity = cluster.least_similarity
                least = f"  least similarity {similarity:.3f}" if similarity is not None else ""
                yield f"  {cluster.size:>10,} documents, {_kept(cluster)}{least}"
    lossy = _lossy(outcome)
    for path, loss in lossy[:LARGEST]:
        yield f"{_shown(path, PATH_SHOWN)}: {loss.dropped:,} of {loss.documents:,} documents are dropped as copies"
    if len(lossy) > LARGEST:
        yield f"{len(lossy) - LARGEST:,} more inputs lose more than half of their documents as copies"


def copies_section(outcome: Outcome) -> Iterator[str]:
    """HTML for the report; none if no copies were found."""
    found = [counts for counts in outcome.copies.clusters if counts.clusters]
    lossy = _lossy(outcome)
    if found or lossy:
        yield "<h2>Copies</h2>"
    for counts in found:
        yield (
            f"<p>By {html.escape(counts.method)}: {counts.clusters:,} clusters of {counts.documents:,} documents, by "
            f"size {_sizes(counts)}. The largest:</p>"
            "<table><tr><th>cluster<th>documents<th>least similarity to the kept copy</tr>"
        )
        for cluster in counts.largest:
            similarity = cluster.least_similarity
            least = f"{similarity:.3f}" if similarity is not None else ""
            yield f"<tr><td>{html.escape(_kept(cluster))}<td>{cluster.size:,}<td>{least}</tr>"
        yield "</table>"
    if lossy:
        yield (
            f"<p>{len(lossy):,} inputs lose more than half of the documents that the rules keep:</p>"
            "<table><tr><th>input<th>documents<th>dropped as copies<th>share</tr>"
        )
        for path, loss in lossy[:LARGEST]:
            yield (
                f"<tr><td>{html.escape(_shown(path, PATH_SHOWN))}<td>{loss.documents:,}<td>{loss.dropped:,}"
                f"<td>{loss.dropped / loss.documents:.1%}</tr>"
            )
        yield "</table>"


def _lossy(outcome: Outcome) -> list[tuple[Path, Loss]]:
    """Inputs that lose more than half of their documents, those that lose most first."""
    found = zip(outcome.sources, outcome.copies.losses, strict=True)
    return sorted(
        ((source.path, loss) for source, loss in found if loss.most), key=lambda row: (-row[1].dropped, str(row[0]))
    )


def _sizes(counts: ClusterCounts) -> str:
    return ", ".join(f"{size}: {clusters:,}" for size, clusters in counts.sizes)


def _kept(cluster: Cluster) -> str:
    if cluster.kept_id is None:
        return f"none kept, of {_shown(cluster.cluster_id)} and its copies"
    of = f" of {_shown(cluster.kept_run, PATH_SHOWN)}" if cluster.kept_run is not None else ""
    return f"copies of {_shown(cluster.kept_id)}{of}"


def _shown(name: object, length: int = ID_SHOWN) -> str:
    """A name without control characters; of a longer one, its ends."""
    text = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(name))
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-length // 2 :]}"
