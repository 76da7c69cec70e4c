"""What agents are offered: to search the lake, to describe a table, to follow lineage, and to query in SQL.

Each function returns JSON values. Nothing is written, and personal data are masked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from catalog.agents.reader import Limits, Reader
from catalog.cards.card import facts, statement, type_name
from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.names import close, find
from catalog.search.index import Filters, SearchIndex
from catalog.settings import Settings
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS

MOST_HITS = 100
SAMPLE_ROWS = 3
MOST_TRACED = 200
"""Documents, sequences and models of a trace that are returned."""
PERSONAL_FIELDS = ("url",)
"""Fields of lineage that may name a person."""


class Tools:
    """The functions that agents call, over one project."""

    def __init__(self, settings: Settings, limits: Limits | None = None, *, texts: bool = False) -> None:
        self.settings = settings
        self.reader = Reader(settings, limits or Limits(), texts)
        self._index: SearchIndex | None = None

    def search(  # noqa: PLR0917
        self, words: str, kind: str | None, family: str | None, licence: str | None, modality: str | None, limit: int
    ) -> dict[str, Any]:
        """The entries about `words`, best first; see `catalog.search.index`."""
        self._index = self._index or SearchIndex(self.settings)
        filters = Filters(kind=kind, family=family, licence=licence, modality=modality)
        found = self._index.search(words, limit=max(1, min(limit, MOST_HITS)), filters=filters)
        return asdict(found)

    def describe(self, table: str) -> dict[str, Any]:
        """The contract of a table or view, its state, and a few rows."""
        if (view := find(table, VIEWS)) is not None:
            return {
                "name": view,
                "kind": "view",
                "description": VIEWS[view].description,
                "reads": list(VIEWS[view].tables),
                "sql": VIEWS[view].sql,
            }
        name = find(table, CONTRACTS)
        if name is None:
            known = (*CONTRACTS, *VIEWS)
            raise WatershedError(f"no table is called {table!r}{close(table, known)}", "search for the table by words")
        contract = CONTRACTS[name]
        state = table_state(self.reader.lake, contract)
        return {
            "name": name,
            "kind": "table",
            "description": contract.description,
            "facts": dict(facts(contract, state)),
            "columns": _columns(contract),
            "expectations": [statement(each) for each in contract.all_expectations()],
            "rows": asdict(self.reader.query(f"FROM {name} LIMIT {SAMPLE_ROWS}")) if state.made else None,
        }

    def sql(self, query: str) -> dict[str, Any]:
        """The rows of a query within the limits."""
        return asdict(self.reader.query(query))

    def trace(self, thing: str) -> dict[str, Any]:
        """What a document became, or what a training sequence or step was made of.

        Args:
            thing: a document's id or its beginning; SPLIT/SHARD/SEQUENCE; or RUN@STEP.
        """
        from catalog.lineage import documents as lineage
        from catalog.lineage.readings import readings_of_documents
        from catalog.sql.query import connect

        with connect(self.settings) as connection:
            if sequence := re.fullmatch(r"(\w+)/(?:shard_)?(\d+)/(\d+)", thing):
                shard = f"shard_{int(sequence[2]):08}"
                held = lineage.shard_of(connection, sequence[1], shard)
                pieces = lineage.documents_of_sequence(connection, sequence[1], shard, int(sequence[3]))
                readers = lineage.models_of_dataset(connection, held.dataset)
                return _json({"shard": held, "documents": pieces, "models": readers})
            if step := re.fullmatch(r"(.+)@(\d+)", thing):
                batch, documents = lineage.documents_of_step(connection, step[1], int(step[2]))
                return _json({"step": batch, "documents": documents})
            corpus, doc_id = lineage.find_document(connection, thing)
            places = lineage.sequences_of_document(connection, doc_id, corpus)
            datasets = dict.fromkeys(place.dataset for place in places)
            archived = bool(corpus.archives)
            return _json(
                {
                    "document": lineage.origin(connection, doc_id, corpus) if archived else doc_id,
                    "decisions": lineage.decisions_about(connection, doc_id) if archived else [],
                    "sequences": places,
                    "readings": readings_of_documents(connection, [doc_id], corpus),
                    "models": [
                        model for dataset in datasets for model in lineage.models_of_dataset(connection, dataset)
                    ],
                }
            )


def _columns(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "name": column.name,
            "type": type_name(column),
            "description": column.description,
            "derived_from": list(column.derived_from),
            "personal_data": column.personal_data,
        }
        for column in contract.columns
    ]


def _json(found: Mapping[str, Any]) -> dict[str, Any]:
    """Lineage as JSON values, without what may name a person."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            fields = {**asdict(value), **({"name": value.name} if hasattr(value, "name") else {})}
            return {key: plain(each) for key, each in fields.items() if key not in PERSONAL_FIELDS}
        if isinstance(value, (list, tuple)):
            return [plain(each) for each in value[:MOST_TRACED]]
        return value if value is None or isinstance(value, (bool, int, float)) else str(value)

    return {key: plain(value) for key, value in found.items()}
