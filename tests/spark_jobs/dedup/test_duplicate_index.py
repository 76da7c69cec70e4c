"""Shards that come and go are deduplicated against all others, with the result of a run from scratch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from made_copies import SHORT, signed, varied

from catalog.errors import WatershedError
from spark_jobs.dedup.clusters import cluster
from spark_jobs.dedup.index import NEW, DuplicateIndex, Texts
from spark_jobs.dedup.near_copies import NearCopies, Verify

OPTIONS = NearCopies(recall=0.95)
NAMES = ("a", "b", "c", "d", "e")


def shards_of(documents: pa.Table) -> dict[str, pa.Table]:
    """Five shards that cut clusters apart."""
    return {name: documents.take(pa.array(range(first, len(documents), 5))) for first, name in enumerate(NAMES)}


def signatures(shard: pa.Table) -> list[pa.RecordBatch]:
    """A shard as an index takes it, without its texts."""
    return shard.drop_columns(["text"]).to_batches()


def texts_of(shards: dict[str, pa.Table]) -> Texts:
    """The texts that an index asks for."""

    def texts(name: str, ids: pa.Array) -> Iterator[pa.RecordBatch]:
        wanted = [id_ in set(ids.to_pylist()) for id_ in shards[name]["id"].to_pylist()]
        yield from shards[name].select(["id", "text"]).filter(pa.array(wanted)).to_batches(max_chunksize=7)

    return texts


def indexed(folder: Path, shards: dict[str, pa.Table], order: str, options: NearCopies = OPTIONS) -> DuplicateIndex:
    index = DuplicateIndex.create(folder, options)
    for name in order:
        index.add(name, signatures(shards[name]))
    return index


@pytest.fixture(scope="module")
def documents() -> pa.Table:
    return signed([*varied(200, seed=7), *SHORT])


@pytest.mark.parametrize(("order", "verify"), [("abcde", Verify.JACCARD), ("ecadb", Verify.SIGNATURE)])
@pytest.mark.parametrize("transitive", [False, True])
def test_shards_in_any_order_give_the_clusters_of_a_run_from_scratch(
    order: str, verify: Verify, transitive: bool, documents: pa.Table, tmp_path: Path
) -> None:
    options = NearCopies(recall=0.95, verify=verify, transitive=transitive)
    expected = cluster(documents, options)
    shards = shards_of(documents)
    indexed(tmp_path / "index", shards, order, options)
    found = DuplicateIndex.open(tmp_path / "index")
    assert found.options == options
    assert found.duplicates(texts=texts_of(shards) if verify is Verify.JACCARD else None).equals(expected)
    assert len(expected) > 60
    assert found.shards == {name: len(shards[name]) for name in NAMES}
    # Clusters reach over shards, and the copy that stays is in any of them.
    homes = {id_: name for name, shard in shards.items() for id_ in shard["id"].to_pylist()}
    assert len({(homes[row["doc_id"]], homes[row["kept_doc_id"]]) for row in expected.to_pylist()}) >= 20


def test_after_each_shard_the_clusters_are_those_of_the_shards_so_far(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = DuplicateIndex.create(tmp_path / "index", OPTIONS)
    assert index.duplicates(texts=texts_of(shards)).num_rows == 0
    for count, name in enumerate("dbeca", start=1):
        index.add(name, signatures(shards[name]))
        so_far = pa.concat_tables([shards[name] for name in "dbeca"[:count]])
        assert index.duplicates(texts=texts_of(shards)).equals(cluster(so_far, OPTIONS))


def test_a_removed_shard_leaves_the_clusters_of_the_others(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcde")
    for gone in ("c", "a"):
        index.remove(gone)
        del shards[gone]
        expected = cluster(pa.concat_tables(shards.values()), OPTIONS)
        assert index.duplicates(texts=texts_of(shards)).equals(expected)
    assert len(list((tmp_path / "index" / "documents").iterdir())) == 3


def test_a_shard_that_comes_again_takes_its_own_place(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcde")
    expected = index.duplicates(texts=texts_of(shards))
    index.add("b", signatures(shards["b"]))
    assert index.duplicates(texts=texts_of(shards)).equals(expected)
    fewer = shards["b"].slice(10)
    index.add("b", signatures(fewer))
    expected = cluster(pa.concat_tables([*(shards | {"b": fewer}).values()]), OPTIONS)
    assert index.duplicates(texts=texts_of(shards)).equals(expected)


def test_only_what_changed_is_written(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcd")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.parquet")}
    index.add("e", signatures(shards["e"]))
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.parquet")}
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


def test_new_documents_are_reported_against_the_index_without_entering_it(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcd")
    texts = texts_of(shards | {NEW: shards["e"]})
    before = index.duplicates(texts=texts)
    found = index.against(signatures(shards["e"]), texts)
    assert index.duplicates(texts=texts).equals(before)
    index.add("e", signatures(shards["e"]))
    assert found.equals(index.duplicates(["e"], texts))
    expected = [
        row for row in cluster(documents, OPTIONS).to_pylist() if row["doc_id"] in shards["e"]["id"].to_pylist()
    ]
    assert found.to_pylist() == expected
    assert {True, False} == {row["kept"] for row in expected}


def test_groups_that_did_not_change_are_not_compared_again(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abcd")
    asked: set[str] = set()

    def texts(name: str, ids: pa.Array) -> Iterator[pa.RecordBatch]:
        asked.update(ids.to_pylist())
        yield from texts_of(shards)(name, ids)

    def ask() -> set[str]:
        asked.clear()
        so_far = pa.concat_tables([shards[name] for name in index.shards])
        assert DuplicateIndex.open(index.folder).duplicates(texts=texts).equals(cluster(so_far, OPTIONS))
        return set(asked)

    first = ask()
    assert len(first) > 40
    index = DuplicateIndex.open(index.folder)
    assert not ask()
    index.add("e", signatures(shards["e"]))
    touched = ask()
    assert 0 < len(touched & first) < len(first) / 2
    (compared,) = (index.folder / "compared").iterdir()
    compared.write_bytes(b"damaged")
    assert len(ask()) > len(first)
    # A document of the same id and another text.
    index = DuplicateIndex.open(index.folder)
    texts_changed = shards["a"].set_column(1, "text", shards["b"]["text"][: len(shards["a"])])
    shards["a"] = signed(texts_changed["text"].to_pylist()).set_column(0, "id", shards["a"]["id"])
    index.add("a", signatures(shards["a"]))
    assert ask()


def test_an_empty_shard_and_one_of_wordless_texts_are_shards(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "ab")
    wordless = signed(["!!!", "!!!", "..."])
    wordless = wordless.set_column(0, "id", pa.array(["w1", "w2", "w3"]))
    index.add("empty", signatures(shards["c"].slice(0, 0)))
    index.add("wordless", signatures(wordless))
    everything = pa.concat_tables([shards["a"], shards["b"], wordless])
    texts = texts_of(shards | {"wordless": wordless})
    assert index.duplicates(texts=texts).equals(cluster(everything, OPTIONS))
    assert index.against([], texts).num_rows == 0


def test_a_failure_leaves_the_index_as_it_was(documents: pa.Table, tmp_path: Path) -> None:
    shards = shards_of(documents)
    index = indexed(tmp_path / "index", shards, "abc")
    expected, manifest = index.duplicates(texts=texts_of(shards)), (tmp_path / "index" / "index.json").read_bytes()
    with pytest.raises(WatershedError, match=r"are in shard a of .* already"):
        index.add("d", signatures(pa.concat_tables([shards["d"], shards["a"].slice(3, 1)])))
    with pytest.raises(WatershedError, match="an id occurs twice"):
        index.add("b", signatures(pa.concat_tables([shards["b"], shards["b"].slice(3, 1)])))
    assert (tmp_path / "index" / "index.json").read_bytes() == manifest
    assert index.duplicates(texts=texts_of(shards)).equals(expected)
    assert DuplicateIndex.open(tmp_path / "index").duplicates(texts=texts_of(shards)).equals(expected)


def test_invalid_uses_of_an_index_are_refused(tmp_path: Path, documents: pa.Table) -> None:
    with pytest.raises(WatershedError, match="cannot be read as an index"):
        DuplicateIndex.open(tmp_path)
    index = indexed(tmp_path / "index", shards_of(documents), "a")
    with pytest.raises(WatershedError, match="holds an index already"):
        DuplicateIndex.create(tmp_path / "index")
    with pytest.raises(WatershedError, match="an index holds no texts"):
        index.duplicates()
    with pytest.raises(WatershedError, match=r"the texts of \d+ documents to compare are missing"):
        index.duplicates(texts=lambda name, ids: [])
    with pytest.raises(WatershedError, match="holds no shard z"):
        index.remove("z")
    manifest = json.loads((tmp_path / "index" / "index.json").read_text())
    (tmp_path / "index" / "documents" / manifest["shards"]["a"]["file"]).write_bytes(b"damaged")
    with pytest.raises(WatershedError, match="add its shard again"):
        DuplicateIndex.open(tmp_path / "index").duplicates()
