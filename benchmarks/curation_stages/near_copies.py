"""MinHash signatures, and texts compared: rensa and datasketch, and what each finds against exact Jaccard similarity.

Signatures come from different hash functions, so no two can be equal. What can be compared is what they are for:
pairs of documents that they call alike. Both sides' signatures go through the same bands and the same threshold, and
the truth is the Jaccard similarity of the sets themselves, of every pair. Peers get the same shingles, of words that
the `regex` package cuts at the same bounds.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import regex

from benchmarks.curation_stages.contest import Agreement, Contest
from benchmarks.curation_stages.pages import Pages, with_near_copies

PERMUTATIONS = 128
SHINGLE = 5
THRESHOLD = 0.8
RECALL = 0.99
"""Probability that a pair at the threshold shares a band, so that what is missed is missed by the signatures."""
_WORD = regex.compile(r"(?w)\b_*[^\W_].*?\b", regex.DOTALL)
"""Our words: between Unicode word bounds, with a letter or digit, behind underscores or first."""

Signatures = npt.NDArray[np.unsignedinteger[Any]]
Pairs = set[tuple[int, int]]


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Signatures of pages and of a near copy of each."""
    from datasketch import MinHash

    sketches: Any = importlib.import_module("rensa")

    texts = with_near_copies(pages.texts)
    array = pa.array(texts, pa.string())
    size = sum(len(text.encode()) for text in texts)
    sets = [shingle_set(text) for text in texts]
    alike = truly_alike(sets)

    def ours() -> Signatures:
        from spark_jobs.kernels.minhash import minhash, signature_values

        return signature_values(minhash(array, permutations=PERMUTATIONS, shingle=SHINGLE))[0]

    def rensa(token_sets: list[list[str]]) -> Signatures:
        rows = sketches.RMinHash.digest_matrix_from_token_sets(token_sets, PERMUTATIONS, 1).to_rows()
        return np.array(rows, np.uint32)

    def datasketch() -> Signatures:
        token_sets = [[token.encode() for token in shingle_set(text)] for text in texts]
        return np.array([each.hashvalues for each in MinHash.bulk(token_sets, num_perm=PERMUTATIONS)])

    def agree(ours: Signatures, theirs: Signatures) -> Agreement:
        return found_alike(pairs_alike(ours), pairs_alike(theirs), alike)

    lists = [list(found) for found in sets]
    both = {"ours": ours, "bytes": size, "documents": len(texts), "agree": agree}
    yield Contest(stage="minhash", peer="rensa", theirs=lambda: rensa([list(shingle_set(t)) for t in texts]), **both)
    # Only the sketch of rensa is timed here. Our side still starts from the text.
    yield Contest(stage="minhash", peer="rensa, given finished shingles", theirs=lambda: rensa(lists), **both)
    yield Contest(stage="minhash", peer="datasketch", theirs=datasketch, **both)

    def copies() -> Pairs:
        from spark_jobs.dedup.clusters import cluster
        from spark_jobs.dedup.near_copies import NearCopies
        from spark_jobs.kernels.minhash import minhash
        from spark_jobs.kernels.text_hash import text_hash

        signatures, bytes_ = minhash(array), pa.array([len(text.encode()) for text in texts], pa.int64())
        numbers = pa.array([f"{number:09d}" for number in range(len(texts))])
        columns = {"id": numbers, "text": array, "text_hash": text_hash(array), "text_bytes": bytes_}
        rows = cluster(pa.table({**columns, "minhash": signatures}), NearCopies(threshold=THRESHOLD, recall=RECALL))
        dropped = rows.filter(pa.array([not kept for kept in rows["kept"].to_pylist()]))
        return {
            (min(int(one), int(other)), max(int(one), int(other)))
            for one, other in zip(dropped["doc_id"].to_pylist(), dropped["kept_doc_id"].to_pylist(), strict=True)
        }

    def right(found: Pairs, theirs: Signatures) -> Agreement:
        below = len(found - alike)
        return Agreement(
            1 - below / max(len(found), 1),
            f"of {len(found):,} dropped pages, {below:,} are less similar to the kept copy than {THRESHOLD}",
        )

    # Our side goes on to compare texts and to choose copies; the peer's ends with the signatures.
    yield Contest(
        stage="near copies, texts compared",
        peer="rensa, signatures alone",
        ours=copies,
        theirs=lambda: rensa([list(shingle_set(text)) for text in texts]),
        bytes=size,
        documents=len(texts),
        agree=right,
    )


def shingle_set(text: str) -> set[str]:
    """Runs of five words, lower case; of a text of fewer, all its words."""
    words = _WORD.findall(text.lower())
    return {" ".join(words[start : start + SHINGLE]) for start in range(max(len(words) - SHINGLE, 0) + 1)}


def truly_alike(sets: list[set[str]]) -> Pairs:
    """Pairs whose exact Jaccard similarity is at least THRESHOLD; every pair is looked at."""
    from scipy.sparse import csr_array

    numbers: dict[str, int] = {}
    columns = [numbers.setdefault(shingle, len(numbers)) for found in sets for shingle in found]
    sizes = np.array([len(found) for found in sets])
    starts = np.concatenate([[0], np.cumsum(sizes)])
    members = csr_array((np.ones(len(columns), np.int32), columns, starts), shape=(len(sets), len(numbers)))
    shared = (members @ members.T).tocoo()
    left, right = shared.coords
    union = sizes[left] + sizes[right] - shared.data
    chosen = (left < right) & (shared.data >= THRESHOLD * union)
    return set(zip(left[chosen].tolist(), right[chosen].tolist(), strict=True))


def pairs_alike(signatures: Signatures) -> Pairs:
    """Pairs that share a band of their signatures and at least THRESHOLD of its values."""
    from spark_jobs.kernels.minhash import recall_bands

    bands, rows = recall_bands(THRESHOLD, RECALL, PERMUTATIONS)
    candidates: Pairs = set()
    for band in range(bands):
        values = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(values):
            places.setdefault(key.tobytes(), []).append(place)
        for sharing in places.values():
            candidates.update(combinations(sharing, 2))
    return {pair for pair in candidates if (signatures[pair[0]] == signatures[pair[1]]).mean() >= THRESHOLD}


def found_alike(ours: Pairs, theirs: Pairs, alike: Pairs) -> Agreement:
    """How far two sides find the same pairs, and each the true ones.

    A similarity is estimated with a standard deviation of 0.035, so of pairs next to the threshold each side finds
    about half, and not the same half.
    """
    looked_at = ours | theirs | alike
    same = sum((pair in ours) == (pair in theirs) for pair in looked_at)

    def quality(found: Pairs) -> str:
        right = len(found & alike)
        return f"recall {right / max(len(alike), 1):.3f}, precision {right / max(len(found), 1):.3f}"

    return Agreement(
        same / len(looked_at) if looked_at else 1.0,
        f"both or neither find a pair, of {len(looked_at):,} found or true; against exact Jaccard >= {THRESHOLD}: "
        f"ours {quality(ours)}; peer {quality(theirs)}",
    )
