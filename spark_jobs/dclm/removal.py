"""The removal of documents from the training shards of the crawl, and from the index of near copies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import WHOLE, Lake
from catalog.lineage.removal.orders import Removals
from catalog.storage.records import measured_files
from catalog.tables.dclm import DOCUMENTS, DUPLICATES, SHARDS_TABLE, SPANS
from spark_jobs.dclm.incremental_duplicates import update_duplicates
from spark_jobs.dedup.index import DuplicateIndex
from spark_jobs.dedup.near_copies import NearCopies
from spark_jobs.shards.removal import ShardFiles, ShardTables


class Shards(ShardFiles):
    """The data sets under the files of dclm.shards."""

    def __init__(self) -> None:
        super().__init__(ShardTables(shards=SHARDS_TABLE, spans=SPANS, sources=_hosts))

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the copies of the documents, and files that were made from tables that held them."""
        ids = list(keys.get(f"{DOCUMENTS.name}.doc_id", ()))
        found = []
        if ids and lake.exists(DUPLICATES.name):
            named = "(SELECT unnest($ids::VARCHAR[]))"
            clusters = f"(SELECT cluster_id FROM {DUPLICATES.name} WHERE doc_id IN {named})"
            sql = (
                f"SELECT DISTINCT doc_id FROM {DUPLICATES.name} WHERE cluster_id IN {clusters} "
                f"AND doc_id NOT IN {named} ORDER BY doc_id"
            )
            copies = [row[0] for row in connection.execute(sql, {"ids": ids}).fetchall()]
            if copies:
                count = f"{len(copies):,} nearly equal {'copy stays' if len(copies) == 1 else 'copies stay'}"
                found.append(f"{count}; to forget them too, add {' '.join(copies[:5])}")
        if ids and any(lake.exists(name) for name in ("dclm.tokenizer", "dclm.quality_model")):
            found.append("dclm.tokenizer and dclm.quality_model were learnt from samples that may hold them; they stay")
        return found


class CopiesIndex:
    """The index of near copies, which holds signatures and ids: it is made again from the documents that are left."""

    def __init__(self) -> None:
        self._options: dict[str, NearCopies] = {}
        self._rebuilt: set[str] = set()

    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return the index: what a removal leaves of it was made before, and may hold them."""
        index = lake.folder(DUPLICATES.name, "index")
        rebuilt = self._rebuilt and {order.id for order in removals.orders} <= self._rebuilt
        if rebuilt or not removals.concern(DUPLICATES) or not index.exists():
            return []
        return [f"{lake.relative(index)}: it is made again from the documents that are left"]

    def remove(self, lake: Lake, removals: Removals) -> None:
        """Delete the index, and remember the choices that it was made with."""
        index = lake.folder(DUPLICATES.name, "index")
        if not removals.concern(DUPLICATES) or not index.exists():
            return
        for folder in sorted(path for path in index.iterdir() if path.is_dir()):
            # One that cannot be read holds nothing that cannot be computed again.
            with suppress(WatershedError):
                self._options[folder.name] = DuplicateIndex.open(folder).options
        shutil.rmtree(index)

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Compare the documents again, of whose copies another one may be kept now, and write the index.

        If it is not known how the table was made, it stays due because of its missing files, and `watershed make` makes
        it.
        """
        written = lake.written(DUPLICATES.name).get(WHOLE)
        if len(self._options) != 1 or written is None:
            return
        ((recipe, options),) = self._options.items()
        self._options.clear()
        update_duplicates(lake, recipe, written.fingerprint, options)
        index = lake.folder(DUPLICATES.name, "index")
        lake.record_files(DUPLICATES.name, WHOLE, measured_files(lake.files, [index]))
        self._rebuilt.update(order.id for order in removals.orders)

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return nothing."""
        return []


def _hosts(lake: Lake, ids: set[str]) -> Mapping[str, str]:
    """The sources of documents under which shards count their tokens."""
    if not lake.exists(DOCUMENTS.name):
        return {}
    from spark_jobs.compute import pc

    chosen = pc.field("doc_id").isin(pa.array(sorted(ids), pa.string()))
    rows = lake.table(DOCUMENTS.name).to_pyarrow_dataset().to_table(columns=["doc_id", "host"], filter=chosen)
    return {row["doc_id"]: row["host"] or "unknown" for row in rows.to_pylist()}
