"""The lake's table of duplicates, brought up to date shard by shard, is that of a run from scratch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import made_documents as made
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_copies import SHORT, signed, varied

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.lineage.removal.orders import new_order, write_order
from catalog.lineage.removal.run import carry_out
from catalog.storage.records import measured_files
from catalog.storage.store import Store
from catalog.storage.verify import lost_partitions
from catalog.tables.dclm import DOCUMENTS, DUPLICATES, VERDICTS
from spark_jobs.compute import pc
from spark_jobs.dclm.incremental_duplicates import update_duplicates
from spark_jobs.dclm.removal import CopiesIndex
from spark_jobs.dedup.clusters import cluster
from spark_jobs.dedup.near_copies import NearCopies, Verify

OPTIONS = NearCopies(recall=0.95)
RECIPE = "made"


class Crawl:
    """A lake of documents by shard, and what is expected of it."""

    def __init__(self, folder: Path) -> None:
        self.lake: Lake = made.empty_lake(folder)
        self.shards: dict[int, pa.Table] = {}

    def write(self, shard: int, documents: pa.Table, dropped: frozenset[str] = frozenset()) -> None:
        """Documents of a shard, and verdicts that drop some of them."""
        place: dict[str, Any] = {"global_shard": 0, "local_shard": shard}
        rows = [{**row, "doc_id": f"{int(row['id']):032x}"} for row in documents.to_pylist()]
        texts = [
            made.row(DOCUMENTS, state="ok", **{key: row[key] for key in row if key != "id"}, **place) for row in rows
        ]
        verdicts = [
            made.row(VERDICTS, doc_id=row["doc_id"], recipe=recipe, kept=row["id"] not in dropped, **place)
            for row in rows
            for recipe in (RECIPE, "another")
        ]
        for contract, some in ((DOCUMENTS, texts), (VERDICTS, verdicts)):
            self.lake.replace(contract, pa.Table.from_pylist(some, schema=contract.schema), "f" * 16, place)
        kept = pa.Table.from_pylist([{**row, "id": row["doc_id"]} for row in rows if row["id"] not in dropped])
        self.shards[shard] = kept.set_column(
            kept.schema.get_field_index("minhash"), "minhash", kept["minhash"].cast(pa.binary(512))
        )

    def update(self) -> dict[str, int]:
        """Bring the table up to date and see that it is what it would be from scratch."""
        counts = update_duplicates(self.lake, RECIPE, "f" * 16, OPTIONS)
        expected = cluster(pa.concat_tables(self.shards.values()), OPTIONS)
        assert self.lake.read("dclm.duplicates").sort_by("doc_id").equals(expected)
        assert counts["dropped"] == expected["kept"].to_pylist().count(False) > 0
        assert counts["exact"] + counts["minhash"] == len(expected)
        assert counts["documents"] == sum(map(len, self.shards.values()))
        return counts


def test_only_shards_that_changed_are_compared_again(tmp_path: Path) -> None:
    documents = signed([*varied(120, seed=8), *SHORT])
    parts = [documents.take(pa.array(range(first, len(documents), 4))) for first in range(4)]
    crawl = Crawl(tmp_path)
    for shard in (2, 0):
        crawl.write(shard, parts[shard])
    assert crawl.update()["compared"] == 2
    for shard in (3, 1):
        crawl.write(shard, parts[shard])
        assert crawl.update()["compared"] == 1
    assert crawl.update() | {"compared": 0} == crawl.update()
    # Written again as it was: read again, and seen to be the same.
    crawl.write(2, parts[2])
    assert crawl.update()["compared"] == 0
    # A recipe that changes its mind about some documents, then a shard that loses some.
    crawl.write(0, parts[0], frozenset(parts[0]["id"].to_pylist()[:9]))
    assert crawl.update()["compared"] == 1
    crawl.write(3, parts[3].slice(8))
    assert crawl.update()["compared"] == 1


def test_other_options_begin_anew(tmp_path: Path) -> None:
    crawl = Crawl(tmp_path)
    crawl.write(1, signed(varied(60, seed=9)))
    crawl.update()
    for options in (NearCopies(threshold=0.5), NearCopies(verify=Verify.SIGNATURE), NearCopies(transitive=True)):
        counts = update_duplicates(crawl.lake, RECIPE, "f" * 16, options)
        assert counts["compared"] == 1
        expected = cluster(crawl.shards[1], options)
        assert crawl.lake.read("dclm.duplicates").sort_by("doc_id").equals(expected)


@pytest.mark.parametrize("manifest", ['{"format": 1, "shards": {}}', "damaged"])
def test_an_index_that_cannot_be_read_is_made_again(tmp_path: Path, manifest: str) -> None:
    crawl = Crawl(tmp_path)
    crawl.write(1, signed(varied(60, seed=9)))
    crawl.update()
    path = crawl.lake.folder("dclm.duplicates", "index", RECIPE) / "index.json"
    path.write_text(manifest)
    assert crawl.update()["compared"] == 1


def test_a_table_of_an_earlier_version_gains_the_similarity(tmp_path: Path) -> None:
    crawl = Crawl(tmp_path)
    crawl.write(1, signed(varied(60, seed=9)))
    before = replace(DUPLICATES, columns=tuple(c for c in DUPLICATES.columns if c.name != "similarity"))
    crawl.lake.replace(before, before.schema.empty_table(), "e" * 16)
    crawl.update()
    assert crawl.lake.read("dclm.duplicates")["similarity"].null_count == 0


def test_a_lake_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match="no Delta table"):
        update_duplicates(made.empty_lake(tmp_path), RECIPE, "f" * 16)


def test_a_forgotten_document_leaves_the_index_and_another_copy_is_kept(tmp_path: Path) -> None:
    crawl = Crawl(tmp_path)
    crawl.write(0, signed([*varied(60, seed=8), *SHORT]))
    crawl.update()
    index = crawl.lake.folder(DUPLICATES.name, "index")
    crawl.lake.record_files(DUPLICATES.name, "", measured_files(crawl.lake.files, [index]))
    gone = next(row["doc_id"] for row in crawl.lake.read(DUPLICATES.name).to_pylist() if row["kept"])
    order = new_order(0, "", {"dclm.documents.doc_id": [gone]}, {})
    write_order(Store(crawl.lake.root), order)
    assert carry_out(crawl.lake, order, [CopiesIndex()])[1] == []
    names = {value for path in index.rglob("*.parquet") for value in str(pq.read_table(path).to_pylist()).split("'")}
    assert gone not in names
    # The table is that of the documents that are left, and no file of it is missing.
    assert lost_partitions(crawl.lake, DUPLICATES) == set()
    crawl.shards[0] = crawl.shards[0].filter(pc.field("id") != gone)
    assert crawl.update()["compared"] == 0
