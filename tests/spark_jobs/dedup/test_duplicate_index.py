"""Shards that come and go are deduplicated against all others, with the result of a run from scratch."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from made_copies import SHORT, signed, varied

from catalog.errors import WatershedError
from spark_jobs.dedup.clusters import NearCopies, Verify, cluster
from spark_jobs.dedup.index import DuplicateIndex

OPTIONS = NearCopies(recall=0.95)
NAMES = ("a", "b", "c", "d", "e")


def shards_of(documents: pa.Table) -> dict[str, pa.Table]:
    """Five shards that cut clusters apart; none has the texts."""
    narrow = documents.drop_columns(["text"])
    return {name: narrow.take(pa.array(range(first, len(narrow), 5))) for first, name in enumerate(NAMES)}


def indexed(folder: Path, shards: dict[str, pa.Table], order: str) -> DuplicateIndex:
    index = DuplicateIndex.create(folder, OPTIONS)
    for name in order:
        index.add(name, shards[name].to_batches())
    return index


@pytest.fixture(scope="module")
def documents() -> pa.Table:
    return signed([*varied(200, seed=7), *SHORT])


@pytest.mark.parametrize("order", ["abcde", "ecadb"])
def test_shards_in_any_order_give_the_clusters_of_a_run_from_scratch(
    order: str, documents: pa.Table, tmp_path: Path
) -> None:
    expected = cluster(documents, OPTIONS)
    shards = shards_of(documents)
    indexed(tmp_path / "index", shards, order)
    found = DuplicateIndex.open(tmp_path / "index")
    assert found.duplicates().equals(expected)
    assert len(expected) > 60
    assert found.shards == {name: len(shards[name]) for name in NAMES}
    # Clusters reach over shards, and the copy that stays is in any of them.
    homes = {id_: name for name, shard in shards.items() for id_ in shard["id"].to_pylist()}
    assert len({(homes[row["doc_id"]], homes[row["kept_doc_id"]]) for row in expected.to_pylist()}) >= 20


def test_after_each_shard_the_clusters_are_those_of_the_shards_so_far(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = DuplicateIndex.create(tmp_path / "index", OPTIONS)
    assert index.duplicates().num_rows == 0
    for count, name in enumerate("dbeca", start=1):
        index.add(name, shards[name].to_batches())
        so_far = pa.concat_tables([shards[name] for name in "dbeca"[:count]])
        assert index.duplicates().equals(cluster(so_far, OPTIONS))


def test_a_removed_shard_leaves_the_clusters_of_the_others(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcde")
    for gone in ("c", "a"):
        index.remove(gone)
        del shards[gone]
        assert index.duplicates().equals(cluster(pa.concat_tables(shards.values()), OPTIONS))
    assert len(list((tmp_path / "index" / "documents").iterdir())) == 3


def test_a_shard_that_comes_again_takes_its_own_place(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcde")
    expected = index.duplicates()
    index.add("b", shards["b"].to_batches())
    assert index.duplicates().equals(expected)
    fewer = shards["b"].slice(10)
    index.add("b", fewer.to_batches())
    assert index.duplicates().equals(cluster(pa.concat_tables([*(shards | {"b": fewer}).values()]), OPTIONS))


def test_only_what_changed_is_written(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcd")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.parquet")}
    index.add("e", shards["e"].to_batches())
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


def test_new_documents_are_reported_against_the_index_without_entering_it(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcd")
    before = index.duplicates()
    found = index.against(shards["e"].to_batches())
    assert index.duplicates().equals(before)
    index.add("e", shards["e"].to_batches())
    assert found.equals(index.duplicates(["e"]))
    expected = [
        row for row in cluster(documents, OPTIONS).to_pylist() if row["doc_id"] in shards["e"]["id"].to_pylist()
    ]
    assert found.to_pylist() == expected
    assert {True, False} == {row["kept"] for row in expected}


def test_an_empty_shard_and_one_of_wordless_texts_are_shards(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "ab")
    wordless = signed(["!!!", "!!!", "..."]).drop_columns(["text"])
    wordless = wordless.set_column(0, "id", pa.array(["w1", "w2", "w3"]))
    index.add("empty", shards["c"].slice(0, 0).to_batches())
    index.add("wordless", wordless.to_batches())
    everything = pa.concat_tables([shards["a"], shards["b"], wordless])
    assert index.duplicates().equals(cluster(everything, OPTIONS))
    assert index.against([]).num_rows == 0


def test_a_failure_leaves_the_index_as_it_was(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abc")
    expected, manifest = index.duplicates(), (tmp_path / "index" / "index.json").read_bytes()
    with pytest.raises(WatershedError, match=r"are in shard a of .* already"):
        index.add("d", pa.concat_tables([shards["d"], shards["a"].slice(3, 1)]).to_batches())
    with pytest.raises(WatershedError, match="an id occurs twice"):
        index.add("b", pa.concat_tables([shards["b"], shards["b"].slice(3, 1)]).to_batches())
    assert (tmp_path / "index" / "index.json").read_bytes() == manifest
    assert index.duplicates().equals(expected)
    assert DuplicateIndex.open(tmp_path / "index").duplicates().equals(expected)


def test_invalid_uses_of_an_index_are_refused(tmp_path: Path, documents: pa.Table) -> None:
    with pytest.raises(WatershedError, match="cannot be read as an index"):
        DuplicateIndex.open(tmp_path)
    index = indexed(tmp_path / "index", shards_of(documents), "a")
    with pytest.raises(WatershedError, match="holds an index already"):
        DuplicateIndex.create(tmp_path / "index")
    with pytest.raises(WatershedError, match="keeps no texts"):
        DuplicateIndex.create(tmp_path / "other", NearCopies(verify=Verify.JACCARD))
    with pytest.raises(WatershedError, match="holds no shard z"):
        index.remove("z")
    manifest = json.loads((tmp_path / "index" / "index.json").read_text())
    (tmp_path / "index" / "documents" / manifest["shards"]["a"]["file"]).write_bytes(b"damaged")
    with pytest.raises(WatershedError, match="add its shard again"):
        DuplicateIndex.open(tmp_path / "index").duplicates()
