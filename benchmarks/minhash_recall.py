"""Recall and precision of near-duplicates found by MinHash bands, against the exact Jaccard similarity of every pair.

    uv run --group bench python -m benchmarks.minhash_recall [--documents 20000] [--threshold 0.8] [--plot FILE.png]

Documents are made, seeded: originals of made-up words with copies that have ever more of them changed, so that there
are pairs of all similarities. Exact ones come from an inverted index of all word 5-shingles, which misses no pair
that shares one.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from spark_jobs.dedup.clusters import NearCopies, Verify, cluster
from spark_jobs.kernels.minhash import bands, minhash, shingles, signature_values
from spark_jobs.kernels.text_hash import text_hash
from spark_jobs.kernels.union_find import connected_components

SEED = 20
COPIES = 4
"""Copies of an original, each with a share of words changed that is drawn anew."""
BINS = np.arange(0.3, 1.0001, 0.05)
SETTINGS = {
    "datasketch's bands": NearCopies(),
    "recall 0.95": NearCopies(recall=0.95),
    "recall 0.95, exact": NearCopies(recall=0.95, verify=Verify.JACCARD),
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
    """Share of the pairs at or above the threshold that are found and verified."""
    precision: float
    """Share of the pairs found and verified that are at or above the threshold."""
    same_clusters: float
    """Share of documents whose cluster is that of the exact pairs at or above the threshold."""


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
    estimate = (values[found[:, 0]] == values[found[:, 1]]).mean(axis=1)
    verified = (true if options.verify is Verify.JACCARD else estimate) >= options.threshold
    right = int((verified & (true >= options.threshold)).sum())
    bins = np.digitize(similarity, BINS) - 1
    return Curve(
        name=name,
        bands=count,
        rows=rows,
        candidates=_means(among, bins),
        theory=_means(theory, bins),
        recall=right / max(int((similarity >= options.threshold).sum()), 1),
        precision=right / max(int(verified.sum()), 1),
        same_clusters=_same_clusters(options, text, signatures, pairs[similarity >= options.threshold]),
    )


def _same_clusters(options: NearCopies, text: pa.Array, signatures: pa.Array, alike: Pairs) -> float:
    ids = [f"{number:09d}" for number in range(len(text))]
    sizes = pa.array([len(document.encode()) for document in text.to_pylist()], pa.int64())
    columns = {"id": ids, "text": text, "text_hash": text_hash(text), "text_bytes": sizes, "minhash": signatures}
    rows = cluster(pa.table(columns), options)
    labels = np.arange(len(ids))
    labels[rows["doc_id"].to_numpy().astype(np.int64)] = rows["cluster_id"].to_numpy().astype(np.int64)
    exact = connected_components(alike[:, 0], alike[:, 1], len(ids))
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
    lines = [f"{'Jaccard':>12} {'pairs':>8}" + "".join(f"  {found.name:>20} (theory)" for found in curves)]
    for place, low in enumerate(BINS):
        if counts[place]:
            shares = (f"  {found.candidates[place]:>20.3f} ({found.theory[place]:.3f}) " for found in curves)
            high = f"{low:.2f}-{min(low + 0.05, 1):.2f}" if low < 0.999 else "1.00"
            lines.append(f"{high:>12} {counts[place]:>8,}" + "".join(shares))
    for found in curves:
        lines.append(
            f"{found.name}: {found.bands} bands of {found.rows}; recall {found.recall:.4f}, precision "
            f"{found.precision:.4f}, {found.same_clusters:.2%} of documents in their exact cluster"
        )
    return "\n".join(lines)


def plot(curves: Sequence[Curve], path: Path) -> None:
    """Draw the shares found over similarity, with what theory says."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    middles = np.minimum(BINS + 0.025, 1)
    for found in curves[:2]:
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
        chosen = NearCopies(threshold=given.threshold, recall=options.recall, verify=options.verify)
        curves.append(curve(name, chosen, text, pairs, similarity))
    print(f"{len(text):,} documents, threshold {given.threshold}")
    print(report(curves, similarity))
    if given.plot:
        plot(curves, given.plot)


if __name__ == "__main__":
    main()
