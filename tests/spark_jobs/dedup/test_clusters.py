"""Clusters without Spark equal those of comparing every pair of documents, in any order."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHashLSH
from made_copies import SHORT, signed, varied

from benchmarks.minhash_recall import BINS, curve, exact_pairs, planted
from catalog.errors import WatershedError
from catalog.tables.dclm import DUPLICATES
from spark_jobs.dedup.clusters import MEMBERS, NearCopies, Verify, cluster
from spark_jobs.kernels.minhash import recall_bands, shingles, signature_values
from spark_jobs.kernels.near_copies import ESTIMATE, Marks, connect, runs
from spark_jobs.kernels.union_find import UnionFind, connected_components

ALL = NearCopies(recall=0.99999)
"""Bands that miss no pair of these tests."""


def labels(documents: pa.Table, options: NearCopies) -> dict[str, str]:
    """Cluster of each document, its own id if it is alone."""
    found = {row["doc_id"]: row["cluster_id"] for row in cluster(documents, options).to_pylist()}
    return {id_: found.get(id_, id_) for id_ in documents["id"].to_pylist()}


def least_ids(documents: pa.Table, pairs: list[tuple[int, int]]) -> dict[str, str]:
    ids = documents["id"].to_pylist()
    left, right = np.array(pairs).T
    components = connected_components(left, right, len(ids))
    least: dict[int, str] = {}
    for id_, component in zip(ids, components.tolist(), strict=True):
        least[component] = min(id_, least.get(component, id_))
    return {id_: least[component] for id_, component in zip(ids, components.tolist(), strict=True)}


def words_of(text: str) -> set[tuple[str, ...]]:
    """Shingles of the words of `made_copies`, which are of ASCII letters and digits."""
    words = "".join(letter if letter.isalnum() else " " for letter in text.lower()).split()
    width = min(5, len(words))
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)} if words else set()


def test_clusters_are_those_of_comparing_every_pair() -> None:
    texts = [*varied(160, seed=1), *SHORT]
    documents = signed(texts)
    values, valid = signature_values(documents["minhash"].combine_chunks())
    sets = [words_of(text) for text in texts]
    pairs = list(combinations(range(len(texts)), 2))
    equal = [(i, j) for i, j in pairs if texts[i] == texts[j]]
    near = [(i, j) for i, j in pairs if valid[i] and valid[j] and (values[i] == values[j]).mean() >= 0.8]
    exact = [(i, j) for i, j in pairs if sets[i] and len(sets[i] & sets[j]) >= 0.8 * len(sets[i] | sets[j])]
    assert set(near) != set(exact)
    assert labels(documents, ALL) == least_ids(documents, [*equal, *near])
    by_sets = NearCopies(recall=0.99999, verify=Verify.JACCARD)
    assert labels(documents, by_sets) == least_ids(documents, [*equal, *exact])


@pytest.mark.parametrize("options", [NearCopies(), NearCopies(recall=0.95, verify=Verify.JACCARD)])
def test_order_and_batches_do_not_matter(options: NearCopies) -> None:
    documents = signed([*varied(160, seed=2), *SHORT])
    expected = cluster(documents, options)
    assert expected.schema == DUPLICATES.schema
    assert len(expected) > 50
    for seed, cut in ((1, 1), (2, 7), (3, 1000)):
        order = pa.array(np.random.default_rng(seed).permutation(len(documents)))
        batches = documents.take(order).combine_chunks().to_batches(max_chunksize=cut)
        assert cluster(iter(batches), options).equals(expected)


def test_short_documents_do_not_fall_together() -> None:
    texts = ["Yes.", "No.", "One two.", "Two one.", "!!!", "???", "a b c d", "a b c e", "", "one", "two three"]
    assert cluster(signed(texts), ALL).num_rows == 0
    rows = cluster(signed([*texts, "Yes.", "yes", "!!!"]), ALL).to_pylist()
    assert sorted((row["cluster_size"], row["method"]) for row in rows) == [
        (2, "exact"),
        (2, "exact"),
        (3, "exact"),
        (3, "exact"),
        (3, "minhash"),
    ]


def test_the_longest_text_stands_for_a_cluster_then_the_least_id() -> None:
    text = varied(2, seed=3)[1]
    documents = signed([text, text, f"{text} Two more.", text.upper(), "something else altogether"])
    ids = documents["id"].to_pylist()
    rows = {row["doc_id"]: row for row in cluster(documents, ALL).to_pylist()}
    assert rows.keys() == set(ids[:4])
    assert {row["cluster_id"] for row in rows.values()} == {min(ids[:4])}
    assert {row["kept_doc_id"] for row in rows.values()} == {ids[2]}
    size, longer = len(text.encode()), len(text.encode()) + 10
    shorter = f"nearly the text of the kept copy, which is longer ({longer} bytes against {size})"
    assert [(rows[id_]["method"], rows[id_]["reason"]) for id_ in ids[:4]] == [
        ("exact", shorter),
        ("exact", shorter),
        ("minhash", f"longest text ({longer} bytes) of 4 copies"),
        ("minhash", shorter),
    ]
    ties = signed([text, text, text.upper()])
    rows = {row["doc_id"]: row for row in cluster(ties, ALL).to_pylist()}
    best = min(rows)
    assert rows[best]["reason"] == f"longest text ({size} bytes), least doc_id of the 3 as long"
    as_long = "nearly the text of the kept copy, which is as long and has the smaller doc_id"
    others = {rows[id_]["reason"] for id_ in rows if id_ != best}
    assert others <= {as_long, "same text as the kept copy"}


@pytest.mark.parametrize("recall", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9])
def test_bands_find_what_was_asked_of_them_and_no_more_rows_would(threshold: float, recall: float) -> None:
    def found(bands: int, rows: int) -> float:
        return 1 - (1 - threshold**rows) ** bands

    bands, rows = recall_bands(threshold, recall)
    assert bands * rows <= 128
    assert found(bands, rows) >= recall > found(bands - 1, rows) or bands == 1
    assert all(found(128 // more, more) < recall for more in range(rows + 1, 129))


def test_bands_without_a_recall_are_those_of_datasketch() -> None:
    theirs = MinHashLSH(threshold=0.8, num_perm=128)
    assert NearCopies().bands() == (theirs.b, theirs.r)
    assert NearCopies(recall=0.95).bands() == (13, 7)
    with pytest.raises(WatershedError, match="do not find"):
        NearCopies(threshold=0.01, recall=0.999).bands()


def test_recall_and_precision_follow_theory() -> None:
    text = pa.array(planted(2000))
    pairs, similarity = exact_pairs(text, float(BINS[0]))
    sets = [words_of(document) for document in text.to_pylist()]
    expected = [len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in pairs.tolist()]
    assert np.allclose(similarity, expected)
    plain, sharp = (curve("", options, text, pairs, similarity) for options in (NearCopies(), NearCopies(recall=0.95)))
    counts = np.bincount(np.digitize(similarity, BINS) - 1, minlength=len(BINS))
    for found in (plain, sharp):
        deviations = np.sqrt(np.maximum(found.theory * (1 - found.theory), 0.002) / counts)
        assert (np.abs(found.candidates - found.theory) < 4 * deviations + 0.02).all()
    exact = curve("", NearCopies(recall=0.95, verify=Verify.JACCARD), text, pairs, similarity)
    assert plain.recall < sharp.recall < exact.recall
    assert sharp.recall > 0.9
    assert min(plain.precision, sharp.precision) > 0.9
    assert exact.recall > 0.985
    assert exact.precision == 1
    assert exact.same_clusters > 0.985


def test_shingles_are_sets_in_ascending_order() -> None:
    texts = ["a b c d e f", "A, b; C d e f!", "a b a b a b a b a b", "one", "", None, "!!!", "x y"]
    found = shingles(pa.array(texts))
    rows = found.to_pylist()
    assert rows[0] == rows[1]
    assert [None if row is None else len(row) for row in rows] == [2, 2, 2, 1, None, None, None, 1]
    assert all(row == sorted(set(row)) for row in rows if row)
    assert shingles(pa.array(texts)[3:]).to_pylist() == rows[3:]


def test_connecting_is_comparing_all_that_share_a_key() -> None:
    draw = np.random.default_rng(4)
    for size in (2, 10, 300):
        values = np.repeat(draw.integers(0, 9, (size // 2, 16)), 2, axis=0).astype(np.uint32)
        values[draw.random(values.shape) < 0.15] = 99
        keys = draw.integers(0, 3, len(values))
        marks = Marks(values.ravel(), np.arange(len(values) + 1) * 16)
        sets = UnionFind(len(values))
        edges = connect(runs(keys), marks, sets, compare=ESTIMATE, threshold=0.5)
        left, right = np.triu_indices(len(values), 1)
        alike = (keys[left] == keys[right]) & ((values[left] == values[right]).mean(axis=1) >= 0.5)
        expected = connected_components(left[alike], right[alike], len(values))
        assert sets.labels().tolist() == expected.tolist()
        assert connected_components(edges[:, 0], edges[:, 1], len(values)).tolist() == expected.tolist()
        assert len(edges) == len(values) - len(set(expected.tolist()))


def test_what_cannot_be_compared_is_refused() -> None:
    documents = signed(["one", "two"])
    with pytest.raises(WatershedError, match="lack minhash"):
        cluster(documents.drop_columns(["minhash"]))
    with pytest.raises(WatershedError, match="lack text"):
        cluster(documents.drop_columns(["text"]), NearCopies(verify=Verify.JACCARD))
    with pytest.raises(WatershedError, match="an id occurs twice"):
        cluster(pa.concat_tables([documents, documents]))
    with pytest.raises(WatershedError, match="signatures of 128 values where 64 are expected"):
        cluster(documents, NearCopies(permutations=64))
    assert cluster(documents.slice(0, 0)).equals(DUPLICATES.schema.empty_table())
    assert cluster(iter([])).num_rows == 0


def test_members_have_the_columns_of_the_contract() -> None:
    assert MEMBERS.equals(DUPLICATES.schema)
