"""dclm.duplicates: clusters of equal and nearly equal documents, the same for any number of workers."""

from __future__ import annotations

import random
import shutil
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import made_documents as made
import numpy as np
import pyarrow as pa
import pytest
from made_crawl import ANY_WORDS, HOST, MANY_WORDS
from made_documents import prose

from catalog.lake import Lake
from catalog.tables.dclm import DOCUMENTS, VERDICTS
from spark_jobs.dclm.duplicates import PREFIX, copies, meeting_places, members_of, number_documents, write_duplicates
from spark_jobs.dedup.clusters import cluster
from spark_jobs.dedup.near_copies import THRESHOLD, NearCopies, Verify
from spark_jobs.kernels.minhash import minhash, signature_values
from spark_jobs.kernels.text_hash import text_hash
from spark_jobs.kernels.union_find import connected_components

if TYPE_CHECKING:
    from conftest import Curated
    from pyspark.sql import SparkSession


def clusters(rows: list[dict[str, Any]], documents: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Paths of the planted pages, by cluster."""
    urls = {row["doc_id"]: row["url"] for row in documents}
    found: dict[str, set[str]] = {}
    for row in rows:
        url = urls[row["doc_id"]]
        if url and url.startswith(HOST):
            found.setdefault(row["cluster_id"], set()).add(url.removeprefix(f"{HOST}/"))
    return found


def test_planted_copies_are_found_and_nothing_else(curated: Curated) -> None:
    found = clusters(curated.rows("dclm.duplicates"), curated.rows("dclm.documents"))
    assert sorted(map(sorted, found.values())) == [
        ["exact/1", "exact/2", "exact/3"],
        ["near/longest", "near/same", "near/short"],
        ["tiny/1", "tiny/4"],
    ]


def test_one_copy_stands_for_a_cluster_and_each_says_why(curated: Curated) -> None:
    documents = {row["doc_id"]: row for row in curated.rows("dclm.documents")}
    rows = curated.rows("dclm.duplicates")
    by_cluster: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_cluster.setdefault(row["cluster_id"], []).append(row)
    for cluster_id, members in by_cluster.items():
        ids = [row["doc_id"] for row in members]
        assert cluster_id == min(ids)
        assert {row["cluster_size"] for row in members} == {len(members)}
        best = min(ids, key=lambda doc_id: (-documents[doc_id]["text_bytes"], doc_id))
        assert [row["doc_id"] for row in members if row["kept"]] == [best]
        for row in members:
            assert row["kept_doc_id"] == best
            texts = [documents[doc_id]["text"] for doc_id in ids]
            exact = texts.count(documents[row["doc_id"]]["text"]) > 1
            assert row["method"] == ("exact" if exact else "minhash")
    verdicts = {documents[row["doc_id"]]["url"]: (row["kept"], row["method"], row["reason"]) for row in rows}
    longest = next(row for row in documents.values() if row["url"] == f"{HOST}/near/longest")["text_bytes"]
    short = next(row for row in documents.values() if row["url"] == f"{HOST}/near/short")["text_bytes"]
    assert verdicts[f"{HOST}/near/longest"] == (True, "minhash", f"longest text ({longest} bytes) of 3 copies")
    assert verdicts[f"{HOST}/near/short"] == (
        False,
        "exact",
        f"nearly the text of the kept copy, which is longer ({longest} bytes against {short})",
    )
    exact = sorted(reason for url, (_, _, reason) in verdicts.items() if str(url).startswith(f"{HOST}/exact"))
    assert exact[0].startswith("longest text (")
    assert exact[0].endswith("least doc_id of the 3 as long")
    assert exact[1:] == ["same text as the kept copy"] * 2


@pytest.mark.campaign
def test_one_worker_finds_what_two_find_in_other_shards(
    curated: Curated, curated_alone: tuple[Curated, object]
) -> None:
    alone, _ = curated_alone
    assert alone.rows("dclm.duplicates") == curated.rows("dclm.duplicates")
    assert alone.counts["duplicates"] == curated.counts["duplicates"]
    assert len(alone.counts["documents"]) != len(curated.counts["documents"])


def test_counts_are_those_of_the_table(curated: Curated) -> None:
    rows = curated.rows("dclm.duplicates")
    kept = [r for r in curated.rows("dclm.verdicts") if r["recipe"] == ANY_WORDS.name and r["kept"]]
    assert curated.counts["duplicates"] == {
        "documents": len(kept),
        "clusters": len({row["cluster_id"] for row in rows}),
        "exact": sum(row["method"] == "exact" for row in rows),
        "minhash": sum(row["method"] == "minhash" for row in rows),
        "dropped": sum(not row["kept"] for row in rows),
    }


def test_only_documents_that_the_recipe_kept_are_compared(
    spark: SparkSession, curated: Curated, tmp_path: Path
) -> None:
    shutil.copytree(curated.lake.root, tmp_path / "lake")
    lake = Lake(str(tmp_path / "lake"), tmp_path / "files", {})
    write_duplicates(spark, lake, MANY_WORDS.name, "many")
    found = clusters(lake.read("dclm.duplicates").to_pylist(), curated.rows("dclm.documents"))
    assert sorted(map(sorted, found.values())) == [
        ["exact/1", "exact/2", "exact/3"],
        ["near/longest", "near/same", "near/short"],
    ]
    assert write_duplicates(spark, lake, "no-such-recipe", "none")["documents"] == 0
    assert lake.read("dclm.duplicates").num_rows == 0


def numbered(texts: list[str]) -> pa.RecordBatch:
    """Documents as `meeting_places` takes them."""
    text = pa.array(texts)
    return pa.record_batch(
        {
            "number": pa.array(range(len(texts)), pa.int32()),
            "text": text,
            "text_hash": text_hash(text),
            "text_bytes": pa.array([len(text.encode()) for text in texts], pa.int64()),
            "minhash": minhash(text).cast(pa.binary()),
        }
    )


def pairs_of(batch: pa.RecordBatch, options: NearCopies, cut: int = 1 << 30) -> np.ndarray:
    """Pairs of copies, with the meeting places passed in batches of `cut` rows."""
    meetings = pa.Table.from_batches(meeting_places([batch], options, *options.bands()))
    ordered = meetings.sort_by([("key", "ascending"), ("exact", "ascending"), ("number", "ascending")])
    found = list(copies(ordered.combine_chunks().to_batches(max_chunksize=cut), options))
    return np.concatenate(found) if found else np.empty((0, 2), np.int32)


BY_SIGNATURE = NearCopies(verify=Verify.SIGNATURE)


def labels_of(batch: pa.RecordBatch, cut: int = 1 << 30, options: NearCopies = BY_SIGNATURE) -> list[int]:
    """Group of each document."""
    pairs = pairs_of(batch, options, cut)
    return connected_components(pairs[:, 0], pairs[:, 1], batch.num_rows).tolist()


def varied(seed: int, count: int) -> list[str]:
    """Texts of which some are copies with a few words changed, some with none."""
    draw = random.Random(seed)
    texts = [prose(draw.randrange(40), 120) for _ in range(count)]
    for place in range(0, count, 2):
        words = texts[draw.randrange(count)].split(" ")
        for _ in range(draw.choice((0, 1, 2, 6, 20))):
            words[draw.randrange(len(words))] = "changed"
        texts[place] = " ".join(words)
    return texts


def test_clusters_do_not_depend_on_how_meetings_are_cut_into_batches() -> None:
    batch = numbered(varied(1, 80))
    whole = labels_of(batch)
    assert 1 < len(set(whole)) < len(whole)
    for cut in (1, 2, 7, 64):
        assert labels_of(batch, cut) == whole


def test_clusters_agree_with_comparing_every_pair() -> None:
    texts = varied(2, 80)
    batch = numbered(texts)
    values, _ = signature_values(batch.column("minhash"))
    alike = [(a, b) for a, b in combinations(range(len(texts)), 2) if (values[a] == values[b]).mean() >= THRESHOLD]
    left, right = np.array(alike, np.int32).T
    reference = connected_components(left, right, len(texts)).tolist()
    found = labels_of(batch)
    assert all(reference[number] == reference[label] for number, label in enumerate(found))
    # Nine bands of thirteen rows meet 40 % of pairs at 0.8, 93 % at 0.9 and all but one in a thousand at 0.95.
    assert all(found[a] == found[b] for a, b in alike if (values[a] == values[b]).mean() >= 0.95)
    assert sum(found[a] == found[b] for a, b in alike) >= 0.7 * len(alike)


def test_short_and_wordless_documents_do_not_fall_together() -> None:
    texts = ["Yes.", "No.", "One two.", "Two one.", "!!!", "???", "a b c d", "a b c e", "Yes."]
    assert labels_of(numbered(texts)) == [0, 1, 2, 3, 4, 5, 6, 7, 0]


def test_a_crowd_in_one_band_is_one_cluster() -> None:
    base = prose(9, 400).split(" ")
    texts = []
    for place in range(700):
        words = list(base)
        words[place % len(words)] = f"word{place}"
        texts.append(" ".join(words))
    assert set(labels_of(numbered(texts))) == {0}


def test_documents_are_numbered_by_rank_of_their_id() -> None:
    ids = sorted(f"{random.Random(seed).getrandbits(128):032x}" for seed in range(500))
    sizes = np.zeros(16**PREFIX, np.int64)
    for doc_id in ids:
        sizes[int(doc_id[:PREFIX], 16)] += 1
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Two workers: one has the odd prefixes, the other the even ones; each in order.
    for parity in (0, 1):
        share = [doc_id for doc_id in ids if int(doc_id[:PREFIX], 16) % 2 == parity]
        batches = [pa.record_batch({"doc_id": share[start : start + 7]}) for start in range(0, len(share), 7)]
        numbers = [n for batch in number_documents(batches, starts) for n in batch.column("number").to_pylist()]
        assert numbers == [ids.index(doc_id) for doc_id in share]


def test_an_equal_hash_alone_does_not_make_copies() -> None:
    batch = numbered([prose(1, 50), prose(2, 50)])
    forged = batch.set_column(2, "text_hash", pa.array([7, 7], pa.int64()))
    assert labels_of(forged) == [0, 1]


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_pairs_below_the_threshold_are_left_apart(threshold: float) -> None:
    batch = numbered(varied(4, 60))
    values, _ = signature_values(batch.column("minhash"))
    pairs = pairs_of(batch, NearCopies(threshold=threshold, verify=Verify.SIGNATURE))
    assert len(pairs)
    assert ((values[pairs[:, 0]] == values[pairs[:, 1]]).mean(axis=1) >= threshold).all()


@pytest.mark.parametrize("verify", list(Verify))
@pytest.mark.parametrize("transitive", [False, True])
def test_what_workers_find_is_what_one_process_finds(verify: Verify, transitive: bool) -> None:
    options = NearCopies(recall=0.95, verify=verify, transitive=transitive)
    texts = [*varied(5, 80), "Yes.", "No.", "!!!", "!!!"]
    batch = numbered(texts)
    ids = pa.array([f"{number:03d}" for number in range(len(texts))])
    documents = pa.table(batch.drop_columns(["number"]).append_column("id", ids))
    labels = np.array(labels_of(batch, 7, options))
    groups = np.flatnonzero(np.bincount(labels)[labels] > 1)
    members = documents.append_column("group", pa.array(labels)).take(pa.array(groups)).rename_columns({"id": "doc_id"})
    batches = pa.table(members).to_batches(max_chunksize=5)
    expected = cluster(documents.set_column(3, "minhash", batch["minhash"].cast(pa.binary(512))), options)
    assert len(expected) > 20
    assert members_of(pa.Table.from_batches(batches), options).equals(expected)


@pytest.mark.slow
def test_the_table_of_a_lake_is_that_of_a_file(spark: SparkSession, tmp_path: Path) -> None:
    options = NearCopies(threshold=0.7, recall=0.95)
    texts = [*varied(6, 120), "Yes.", "No.", "!!!", "!!!"]
    found = numbered(texts).drop_columns(["number"]).to_pylist()
    rows = [
        made.row(DOCUMENTS, doc_id=made.doc_id(number), state="ok", **found[number]) for number in range(len(texts))
    ]
    lake = made.empty_lake(tmp_path)
    made.replace(lake, DOCUMENTS, rows)
    made.replace(lake, VERDICTS, [made.row(VERDICTS, doc_id=row["doc_id"], recipe="made", kept=True) for row in rows])
    counts = write_duplicates(spark, lake, "made", "f" * 16, options)
    documents = pa.Table.from_pylist([{**row, "id": row["doc_id"]} for row in rows])
    documents = documents.set_column(documents.schema.get_field_index("minhash"), "minhash", minhash(documents["text"]))
    expected = cluster(documents, options)
    assert lake.read("dclm.duplicates").sort_by("doc_id").equals(expected)
    assert counts["documents"] == len(texts)
    assert counts["dropped"] == expected["kept"].to_pylist().count(False) > 20
    assert {"exact", "minhash"} == set(expected["method"].to_pylist())
