"""Near-duplicates found by MinHash bands, held against the exact Jaccard similarity of every pair of documents.

    uv run --group bench python -m benchmarks.minhash_recall [--documents 20000] [--threshold 0.8] [--plot FILE.png]

Documents are made, seeded: originals of made-up words with copies that have ever more of them changed, so that there
are pairs of all similarities. Exact ones come from an inverted index of all word 5-shingles, which misses no pair
that shares one.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.dedup.clusters import Signed, cluster
from spark_jobs.dedup.near_copies import NearCopies, Verify
from spark_jobs.kernels.minhash import bands, minhash, shingles, signature_values
from spark_jobs.kernels.text_hash import text_hash
from spark_jobs.kernels.union_find import UnionFind, connected_components

SEED = 20
COPIES = 4
"""Copies of an original, each with a share of words changed that is drawn anew."""
BINS = np.arange(0.3, 1.0001, 0.05)
SETTINGS = {
    "default": NearCopies(),
    "transitive": NearCopies(transitive=True),
    "recall 0.95": NearCopies(recall=0.95),
    "by signature": NearCopies(verify=Verify.SIGNATURE),
    "by signature, transitive": NearCopies(verify=Verify.SIGNATURE, transitive=True),
    "by signature, transitive, recall 0.95": NearCopies(verify=Verify.SIGNATURE, transitive=True, recall=0.95),
}

Pairs = npt.NDArray[np.int64]
"""(n, 2), the lower document first."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What one setting finds."""

    name: str
    bands: int
    rows: int
    candidates: npt.NDArray[np.float64]
    """Share of the pairs of each similarity bin that share a band; nan for a bin without pairs."""
    theory: npt.NDArray[np.float64]
    """1 - (1 - s^rows)^bands, the mean over the bin's pairs."""
    recall: float
    """Share of the pairs at or above the threshold that are compared, and found to be."""
    precision: float
    """Share of the pairs found to be at or above the threshold that are."""
    dropped: int
    """Documents."""
    below: int
    """Dropped documents that are less similar to the kept copy than the threshold."""
    same_clusters: float
    """Share of documents whose cluster is the one that the exact pairs at or above the threshold give."""


def planted(documents: int, seed: int = SEED) -> list[str]:
    """Texts of 30 to 300 words: originals, and behind each its copies."""
    draw = random.Random(seed)
    syllables = ("ka", "lo", "mi", "ren", "sut", "pa", "dor", "vel", "ni", "ta", "gor", "esh", "um", "bri")
    vocabulary = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(3000)]
    texts: list[str] = []
    while len(texts) < documents:
        original = draw.choices(vocabulary, k=draw.randint(30, 300))
        texts.append(" ".join(original))
        for _ in range(COPIES):
            rate = draw.random() ** 2 / 6
            changed = [draw.choice(vocabulary) if draw.random() < rate else word for word in original]
            texts.append(" ".join(changed))
    return texts[:documents]


def exact_pairs(text: pa.Array, least: float) -> tuple[Pairs, npt.NDArray[np.float64]]:
    """All pairs of documents whose Jaccard similarity is at least `least`, and it."""
    from scipy.sparse import csr_array

    sets = shingles(text)
    offsets = sets.offsets.to_numpy().astype(np.int64)
    sizes = np.diff(offsets)
    _, columns = np.unique(sets.values.to_numpy(), return_inverse=True)
    table = csr_array((np.ones(len(columns), np.int32), columns, offsets))
    pairs, similarities = [], []
    for start in range(0, len(sizes), 2000):
        common = (table[start : start + 2000] @ table.T).tocoo()
        left, right = common.coords[0] + start, common.coords[1]
        similarity = common.data / (sizes[left] + sizes[right] - common.data)
        chosen = (left < right) & (similarity >= least)
        pairs.append(np.stack([left[chosen], right[chosen]], axis=1))
        similarities.append(similarity[chosen])
    return np.concatenate(pairs), np.concatenate(similarities)


def candidate_pairs(keys: npt.NDArray[np.int64]) -> Pairs:
    """All pairs of documents that share a key."""
    from spark_jobs.kernels.near_copies import runs

    pairs = []
    for band in range(keys.shape[1]):
        found = runs(np.ascontiguousarray(keys[:, band]))
        for start, stop in zip(found.starts, found.starts[1:], strict=False):
            members = np.sort(found.members[start:stop]).astype(np.int64)
            left, right = np.triu_indices(len(members), 1)
            pairs.append(np.stack([members[left], members[right]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def curve(name: str, options: NearCopies, text: pa.Array, pairs: Pairs, similarity: npt.NDArray[np.float64]) -> Curve:
    """Measure one setting against the exact pairs, which reach down to the lowest bin."""
    signatures = minhash(text)
    values, _ = signature_values(signatures)
    count, rows = options.bands()
    found = candidate_pairs(bands(signatures, count, rows).flatten().to_numpy().reshape(-1, count))
    size = len(text)
    among = np.isin(_numbers(pairs, size), _numbers(found, size))
    theory = 1 - (1 - similarity**rows) ** count
    exact = dict(zip(_numbers(pairs, size).tolist(), similarity.tolist(), strict=True))
    true = np.array([exact.get(number, 0.0) for number in _numbers(found, size).tolist()])
    if options.verify is Verify.JACCARD:
        groups = _groups(options, text, signatures)
        compared = groups[pairs[:, 0]] == groups[pairs[:, 1]]
        verified = right = int((compared & (similarity >= options.threshold)).sum())
    else:
        estimated = (values[found[:, 0]] == values[found[:, 1]]).mean(axis=1) >= options.threshold
        verified, right = int(estimated.sum()), int((estimated & (true >= options.threshold)).sum())
    bins = np.digitize(similarity, BINS) - 1
    labels, leaders = _clusters(options, text, signatures)
    dropped = np.flatnonzero(leaders != np.arange(size))
    below = [
        exact.get(min(one, other) * size + max(one, other), 0.0) < options.threshold
        for one, other in zip(dropped.tolist(), leaders[dropped].tolist(), strict=True)
        if text[one] != text[other]
    ]
    alike = pairs[similarity >= options.threshold]
    expected = (
        connected_components(alike[:, 0], alike[:, 1], size) if options.transitive else exact_leaders(text, alike)
    )
    return Curve(
        name=name,
        bands=count,
        rows=rows,
        candidates=_means(among, bins),
        theory=_means(theory, bins),
        recall=right / max(int((similarity >= options.threshold).sum()), 1),
        precision=right / max(verified, 1),
        dropped=len(dropped),
        below=sum(below),
        same_clusters=_same_members(labels, expected),
    )


def exact_leaders(text: pa.Array, alike: Pairs) -> npt.NDArray[np.int64]:
    """The kept copy of each document: the first in the order of length and number that is kept and alike."""
    neighbours: dict[int, list[int]] = {}
    for one, other in alike.tolist():
        neighbours.setdefault(one, []).append(other)
        neighbours.setdefault(other, []).append(one)
    sizes = [len(document.encode()) for document in text.to_pylist()]
    rank = {document: place for place, document in enumerate(sorted(range(len(text)), key=lambda i: (-sizes[i], i)))}
    leaders = np.full(len(text), -1, np.int64)
    for document in rank:
        kept = [other for other in neighbours.get(document, []) if leaders[other] == other]
        leaders[document] = min(kept, key=rank.__getitem__) if kept else document
    return leaders


def _documents(text: pa.Array, signatures: pa.Array) -> pa.Table:
    ids = [f"{number:09d}" for number in range(len(text))]
    sizes = pa.array([len(document.encode()) for document in text.to_pylist()], pa.int64())
    columns = {"id": ids, "text": text, "text_hash": text_hash(text), "text_bytes": sizes, "minhash": signatures}
    return pa.table(columns)


def _groups(options: NearCopies, text: pa.Array, signatures: pa.Array) -> npt.NDArray[np.int32]:
    """The group of each document, within which texts are compared."""
    sets = UnionFind(len(text))
    with Signed(options) as signed:
        for batch in _documents(text, signatures).to_batches():
            signed.add(batch)
        signed.finish()
        for band in range(-1, signed.bands):
            signed.join(band, sets)
    return sets.labels()


def _clusters(
    options: NearCopies, text: pa.Array, signatures: pa.Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cluster of each document, and its kept copy."""
    rows = cluster(_documents(text, signatures), options)
    labels, leaders = np.arange(len(text)), np.arange(len(text))
    members = rows["doc_id"].to_numpy().astype(np.int64)
    labels[members] = rows["cluster_id"].to_numpy().astype(np.int64)
    leaders[members] = rows["kept_doc_id"].to_numpy().astype(np.int64)
    return labels, leaders


def _same_members(labels: npt.NDArray[np.integer], exact: npt.NDArray[np.integer]) -> float:
    # A document's cluster is the same if it has the same members: as many, and as many in common.
    both = np.unique(np.stack([labels, exact]), axis=1, return_inverse=True, return_counts=True)
    common = both[2][both[1].ravel()]
    return float(((np.bincount(labels)[labels] == common) & (np.bincount(exact)[exact] == common)).mean())


def _numbers(pairs: Pairs, size: int) -> npt.NDArray[np.int64]:
    return pairs[:, 0] * size + pairs[:, 1]


def _means(values: npt.NDArray[np.generic], bins: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    counts = np.bincount(bins, minlength=len(BINS))
    with np.errstate(invalid="ignore"):
        return np.bincount(bins, values.astype(np.float64), minlength=len(BINS)) / counts


def report(curves: Sequence[Curve], similarity: npt.NDArray[np.float64]) -> str:
    """The curves as a table."""
    counts = np.bincount(np.digitize(similarity, BINS) - 1, minlength=len(BINS))
    shown = list({found.rows: found for found in curves}.values())
    lines = [f"{'Jaccard':>12} {'pairs':>8}" + "".join(f"  {f'{f.bands} x {f.rows}':>20} (theory)" for f in shown)]
    for place, low in enumerate(BINS):
        if counts[place]:
            shares = (f"  {found.candidates[place]:>20.3f} ({found.theory[place]:.3f}) " for found in shown)
            high = f"{low:.2f}-{min(low + 0.05, 1):.2f}" if low < 0.999 else "1.00"
            lines.append(f"{high:>12} {counts[place]:>8,}" + "".join(shares))
    for found in curves:
        lines.append(
            f"{found.name}: {found.bands} bands of {found.rows}; recall {found.recall:.4f}, precision "
            f"{found.precision:.4f}; {found.dropped:,} dropped, {found.below:,} of them less similar to the kept copy "
            f"than the threshold; {found.same_clusters:.2%} of documents in their exact cluster"
        )
    return "\n".join(lines)


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draw the shares found over similarity, with what theory says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    middles = np.minimum(BINS + 0.025, 1)
    for found in {curve.rows: curve for curve in curves}.values():
        (line,) = axes.plot(middles, found.candidates, "o", label=f"{found.name}: {found.bands} x {found.rows}")
        axes.plot(middles, found.theory, color=line.get_color())
    axes.set(xlabel="exact Jaccard similarity", ylabel="share of pairs that share a band")
    axes.legend()
    figure.savefig(path, dpi=150, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--threshold", type=float, default=0.8)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    text = pa.array(planted(given.documents))
    pairs, similarity = exact_pairs(text, float(BINS[0]))
    curves = []
    for name, options in SETTINGS.items():
        chosen = dataclasses.replace(options, threshold=given.threshold)
        curves.append(curve(name, chosen, text, pairs, similarity))
    print(f"{len(text):,} documents, threshold {given.threshold}")
    print(report(curves, similarity))
    if given.plot:
        plot(curves, given.plot)


if __name__ == "__main__":
    main()
