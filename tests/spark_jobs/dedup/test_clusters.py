"""Clusters without Spark equal those of comparing every pair of documents, in any order."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHashLSH
from made_copies import SHORT, signed, varied

from benchmarks.minhash_recall import BINS, curve, exact_pairs, planted
from catalog.errors import WatershedError
from catalog.tables.dclm import DUPLICATES
from spark_jobs.dedup.clusters import Documents, cluster, cluster_against
from spark_jobs.dedup.kept_copies import MEMBERS
from spark_jobs.dedup.near_copies import Keep, NearCopies, Verify
from spark_jobs.kernels.minhash import recall_bands, shingles, signature_values
from spark_jobs.kernels.near_copies import ESTIMATE, Marks, connect, runs
from spark_jobs.kernels.union_find import UnionFind, connected_components

ALL = NearCopies(recall=0.99999)
"""Bands that miss no pair of these tests."""
FAULTS = Path(os.environ.get("WATERSHED_SHARED", "missing")) / "data/cases/faults"


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
    by_signatures = replace(ALL, verify=Verify.SIGNATURE, transitive=True)
    assert labels(documents, by_signatures) == least_ids(documents, [*equal, *near])
    assert labels(documents, replace(ALL, transitive=True)) == least_ids(documents, [*equal, *exact])


def kept_copies(texts: list[str], ids: list[str], threshold: float) -> dict[str, str]:
    """The kept copy of each document: the first in the order of length and id, of which it is a copy."""
    sets = [words_of(text) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: (-len(texts[i].encode()), ids[i]))
    kept: list[int] = []
    stands: dict[str, str] = {}
    for i in order:
        alike = (
            j for j in kept
            if texts[i] == texts[j] or (sets[i] and len(sets[i] & sets[j]) >= threshold * len(sets[i] | sets[j]))
        )  # fmt: skip
        first = next(alike, i)
        stands[ids[i]] = ids[first]
        if first == i:
            kept.append(i)
    return stands


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_every_dropped_document_is_a_copy_of_the_kept_one(threshold: float) -> None:
    texts = [*varied(200, seed=11), *chain_of(12, overlap=0.85), *SHORT]
    documents = signed(texts)
    ids = documents["id"].to_pylist()
    rows = cluster(documents, NearCopies(threshold=threshold, recall=0.99999)).to_pylist()
    expected = kept_copies(texts, ids, threshold)
    found = {row["doc_id"]: row["kept_doc_id"] for row in rows}
    assert {id_: found.get(id_, id_) for id_ in ids} == expected
    assert sum(not row["kept"] for row in rows) > 50
    sets = {id_: words_of(text) for id_, text in zip(ids, texts, strict=True)}
    for row in rows:
        one, other = sets[row["doc_id"]], sets[row["kept_doc_id"]]
        assert row["similarity"] == (len(one & other) / len(one | other) if one else 1.0) >= threshold
        assert row["cluster_size"] == list(expected.values()).count(row["kept_doc_id"])
        assert row["kept"] == (row["doc_id"] == row["kept_doc_id"])


def chain_of(length: int, overlap: float) -> list[str]:
    """Texts of 100 words, each of which has `overlap` of its shingles in common with the one before."""
    words = [f"link{number}" for number in range(100 + 20 * length)]
    step = round(96 * (1 - overlap) / (1 + overlap))
    return [" ".join(words[place * step : place * step + 100]) for place in range(length)]


def test_a_chain_of_copies_is_split_unless_it_is_transitive() -> None:
    texts = chain_of(14, overlap=0.85)
    documents = signed(texts).set_column(0, "id", pa.array([f"c{number:02d}" for number in range(14)]))
    rows = cluster(documents, ALL).to_pylist()
    assert min(row["similarity"] for row in rows) >= 0.8
    assert {row["kept_doc_id"] for row in rows} < {row["doc_id"] for row in rows}
    together = cluster(documents, replace(ALL, transitive=True)).to_pylist()
    assert {row["cluster_size"] for row in together} == {14}
    assert min(row["similarity"] for row in together) < 0.1
    reasons = {row["reason"] for row in together if row["similarity"] < 0.8}
    assert reasons == {"nearly the text of another copy, and through it a copy of the kept copy"}


def templated(similarity: float, count: int = 400, shingles: int = 200) -> list[str]:
    """Texts of which every two have this Jaccard similarity: a common part, and words of their own."""
    own = round(shingles * (1 - similarity) / (1 + similarity))
    common = [f"common{number}" for number in range(shingles - own + 4)]
    return [" ".join([*common, *(f"own{text}x{number}" for number in range(own))]) for text in range(count)]


@pytest.mark.parametrize("similarity", [0.75, 0.78])
@pytest.mark.parametrize("recall", [None, 0.95])
def test_no_document_is_dropped_for_a_pair_below_the_threshold(similarity: float, recall: float | None) -> None:
    texts = templated(similarity)
    one, other = (words_of(text) for text in texts[:2])
    assert len(one & other) / len(one | other) == pytest.approx(similarity, abs=0.005)
    assert cluster(signed(texts), NearCopies(recall=recall)).num_rows == 0
    assert cluster(signed(texts), NearCopies(recall=recall, transitive=True)).num_rows == 0
    # By signatures alone, some are taken for copies.
    assert cluster(signed(texts), NearCopies(recall=recall, verify=Verify.SIGNATURE)).num_rows > 0


@pytest.mark.parametrize(
    "options",
    [
        NearCopies(),
        NearCopies(recall=0.95, transitive=True),
        NearCopies(verify=Verify.SIGNATURE),
        NearCopies(verify=Verify.SIGNATURE, transitive=True),
    ],
)
def test_order_and_batches_do_not_matter(options: NearCopies) -> None:
    documents = signed([*varied(160, seed=2), *SHORT])
    expected = cluster(documents, options)
    assert expected.schema == DUPLICATES.schema
    assert len(expected) > 50
    for seed, cut in ((1, 1), (2, 7), (3, 1000)):
        order = pa.array(np.random.default_rng(seed).permutation(len(documents)))
        batches = documents.take(order).combine_chunks().to_batches(max_chunksize=cut)
        assert cluster(Documents(batches=iter(batches), texts=lambda some=batches: some), options).equals(expected)


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
    signatures = [NearCopies(verify=Verify.SIGNATURE, transitive=True, recall=recall) for recall in (None, 0.95)]
    plain, sharp = (curve("", options, text, pairs, similarity) for options in signatures)
    counts = np.bincount(np.digitize(similarity, BINS) - 1, minlength=len(BINS))
    for found in (plain, sharp):
        deviations = np.sqrt(np.maximum(found.theory * (1 - found.theory), 0.002) / counts)
        assert (np.abs(found.candidates - found.theory) < 4 * deviations + 0.02).all()
    exact = curve("", NearCopies(recall=0.95), text, pairs, similarity)
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
        cluster(documents.drop_columns(["text"]))
    with pytest.raises(WatershedError, match="2 documents are compared, and the texts are of 1"):
        copies = signed(["one", "one"])
        cluster(Documents(batches=copies.to_batches(), texts=copies.slice(1).to_batches))
    with pytest.raises(WatershedError, match="an id occurs twice"):
        cluster(pa.concat_tables([documents, documents]))
    with pytest.raises(WatershedError, match="signatures of 128 values where 64 are expected"):
        cluster(documents, NearCopies(permutations=64))
    assert cluster(documents.slice(0, 0)).equals(DUPLICATES.schema.empty_table())
    assert cluster(Documents(batches=[], texts=list)).num_rows == 0


def test_members_have_the_columns_of_the_contract() -> None:
    assert MEMBERS.equals(DUPLICATES.schema)


def of_run(texts: list[str], ids: list[str]) -> Documents:
    documents = signed(texts).set_column(0, "id", pa.array(ids))
    return Documents(batches=documents.to_batches(), texts=documents.select(["text"]).to_batches)


@pytest.mark.parametrize("verify", list(Verify))
@pytest.mark.parametrize("transitive", [False, True])
def test_a_document_of_an_earlier_run_is_kept_whatever_its_length(verify: Verify, transitive: bool) -> None:
    texts = varied(60, seed=12)
    longer = [f"{text} and more words at the end" for text in texts]
    options = NearCopies(recall=0.99999, verify=verify, transitive=transitive)
    # The same ids in all runs: they are compared within their run only.
    ids = [f"{number:03d}" for number in range(60)]
    rows = cluster_against(of_run(longer, ids), [of_run(texts, ids), of_run(texts, ids)], options).to_pylist()
    assert [row["doc_id"] for row in rows] == ids
    assert not any(row["kept"] for row in rows)
    assert {row["kept_run"] for row in rows} == {0}
    assert {row["reason"].split(" (")[0] for row in rows} <= {
        "nearly the text of a document of an earlier run",
        "nearly the text of another copy, and through it a copy of a document of an earlier run",
    }
    if not transitive:
        assert all(row["similarity"] >= 0.8 for row in rows)


def test_a_document_whose_id_an_earlier_run_used_is_no_copy() -> None:
    first, second = varied(40, seed=13)[1:4:2]
    rows = cluster_against(of_run([second], ["x"]), [of_run([first], ["x"])])
    assert rows.num_rows == 0


def test_all_copies_are_dropped_if_none_is_to_be_kept() -> None:
    texts = varied(120, seed=14)
    documents = signed(texts)
    ids, sets = documents["id"].to_pylist(), [words_of(text) for text in texts]
    with_copies = {
        ids[i] for i, one in enumerate(sets) for j, other in enumerate(sets)
        if i != j and len(one & other) >= 0.8 * len(one | other)
    }  # fmt: skip
    run = Documents(batches=documents.to_batches(), texts=documents.select(["text"]).to_batches)
    rows = cluster_against(run, (), ALL, keep=Keep.NONE).to_pylist()
    assert {row["doc_id"] for row in rows} == with_copies
    assert {(row["kept"], row["kept_doc_id"], row["similarity"]) for row in rows} == {(False, None, None)}
    assert all(row["reason"] == f"one of {row['cluster_size']} copies, of which none is kept" for row in rows)


def test_documents_are_compared_with_an_earlier_run_only_if_asked() -> None:
    text, other = varied(40, seed=15)[1:4:2]
    run, earlier = of_run([f"{text} more", text, other, other], ["a", "b", "c", "d"]), of_run([text], ["e"])
    for keep in Keep:
        rows = cluster_against(run, [earlier], ALL, keep=keep, within=False).to_pylist()
        assert [(row["doc_id"], row["kept"], row["kept_doc_id"]) for row in rows] == [
            ("a", False, "e"),
            ("b", False, "e"),
        ]
    rows = cluster_against(run, [earlier], ALL).to_pylist()
    assert [(row["doc_id"], row["kept_doc_id"], row["kept_run"]) for row in rows] == [
        ("a", "e", 0),
        ("b", "e", 0),
        ("c", "c", None),
        ("d", "c", None),
    ]


@pytest.mark.skipif(not FAULTS.is_dir(), reason="WATERSHED_SHARED names no folder with cases of faults")
def test_the_chain_of_the_shared_cases_is_split() -> None:
    rows = [json.loads(line) for line in (FAULTS / "chain.jsonl").read_text().splitlines()]
    texts, ids = [row["text"] for row in rows], [row["id"] for row in rows]
    found = cluster(signed(texts).set_column(0, "id", pa.array(ids)), ALL).to_pylist()
    assert min(row["similarity"] for row in found) >= 0.8
    assert {row["doc_id"]: row["kept_doc_id"] for row in found} == kept_copies(texts, ids, 0.8)
