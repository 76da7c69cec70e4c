"""The removal of documents from the shards of a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from catalog.lake import Lake
from catalog.projects.mixture_tables import Mixture
from spark_jobs.compute import pc
from spark_jobs.shards.removal import ShardFiles, ShardTables


class MixtureShards(ShardFiles):
    """The data sets under the files of mixture.NAME_shards."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        super().__init__(ShardTables(shards=mixture.shards, spans=mixture.spans, sources=self._sources))

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the copies of the documents that the mixture has dropped: they stay in their sources."""
        ids = list(keys.get(f"{self.mixture.documents.name}.doc_id", ()))
        name = self.mixture.dropped.name
        if not ids or not lake.exists(name):
            return []
        sql = f"SELECT count(*) FROM {name} WHERE kept_doc_id IN (SELECT unnest($ids::VARCHAR[]))"
        ((count,),) = connection.execute(sql, {"ids": ids}).fetchall()
        stay = "a copy stays in its source" if count == 1 else f"{count:,} copies stay in their sources"
        return [
            f"{stay}; {name} names them by kept_doc_id, and a new {self.mixture.documents.name} may take them"
        ] * bool(count)

    def _sources(self, lake: Lake, ids: set[str]) -> Mapping[str, str]:
        name = self.mixture.documents.name
        if not lake.exists(name):
            return {}
        chosen = pc.field("doc_id").isin(pa.array(sorted(ids), pa.string()))
        rows = lake.table(name).to_pyarrow_dataset().to_table(columns=["doc_id", "source"], filter=chosen)
        return {row["doc_id"]: row["source"] for row in rows.to_pylist()}
