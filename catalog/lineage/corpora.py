"""The corpora of the lake: tables of documents and of the shards made of them, with the models that read the shards.

Families declare them (`catalog.family.Lineage`), those of a project's mixtures included. The tables of models and of
batches of a corpus are those that are made from its shards.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import duckdb

from catalog.errors import WatershedError
from catalog.family import Corpus, Decision
from catalog.sql.declare import DAMAGED, MADE, NOT_MADE, damaged_table
from catalog.sql.query import query
from catalog.tables import CONTRACTS, families, generation

Row = TypeVar("Row")


def corpora() -> tuple[Corpus, ...]:
    """Every corpus, those of the package first."""
    return tuple(corpus for family in families() for corpus in family.lineage.corpora)


def decisions() -> tuple[Decision, ...]:
    """Every table of what was decided about documents."""
    return tuple(decision for family in families() for decision in family.lineage.decisions)


def batch_tables() -> tuple[str, ...]:
    """Every table of what training steps read."""
    return tuple(table for family in families() for table in family.lineage.batches)


def model_tables() -> tuple[str, ...]:
    """Every table of models that were trained on a data set."""
    return tuple(table for family in families() for table in family.lineage.models)


def answers_of(models: str) -> str | None:
    """The table of the answers of a table of models; None if there is none."""
    return next((f.lineage.answers[models] for f in families() if models in f.lineage.answers), None)


def corpus_of_documents(table: str) -> Corpus | None:
    """The corpus whose documents a table holds."""
    return next((each for each in corpora() if each.documents == table), None)


def corpus_of_shards(table: str) -> Corpus | None:
    """The corpus whose shards a table holds."""
    return next((each for each in corpora() if each.shards == table), None)


def corpus_of_batches(table: str) -> Corpus:
    """The corpus from which the steps in a table of batches, or the models of a table, read.

    Raises:
        WatershedError: the table is not made from the shards of a corpus.
    """
    found = next((each for each in corpora() if each.shards in CONTRACTS[table].upstream), None)
    if found is None:
        raise WatershedError(f"{table} is made from no shards", "name the table of shards as upstream in its contract")
    return found


def batches_of(corpus: Corpus) -> tuple[str, ...]:
    """The tables of the training steps that read the shards of a corpus."""
    return tuple(table for table in batch_tables() if corpus.shards in CONTRACTS[table].upstream)


def first_corpus(connection: duckdb.DuckDBPyConnection) -> Corpus:
    """The corpus that a bare name such as `train/0/17` is of: the first whose shards are made, or else the first."""
    found = corpora()
    return next((each for each in found if made(connection, each.shards)), found[0])


def corpus_of_dataset(connection: duckdb.DuckDBPyConnection, dataset: str) -> Corpus | None:
    """The corpus whose shards have the fingerprint `dataset`; None if they were replaced, or never made."""
    for each in corpora():
        sql = "SELECT 1 AS found FROM {shards} WHERE dataset = $dataset LIMIT 1"
        if made(connection, each.shards) and dicts(connection, sql, each, dataset=dataset):
            return each
    return None


def made(connection: duckdb.DuckDBPyConnection, *names: str) -> bool:
    """Whether all of these tables are made and can be read."""
    return all(state == MADE for state in _states(connection, names).values())


def readable(connection: duckdb.DuckDBPyConnection, *names: str) -> bool:
    """Whether all of these tables are made, where what they hold has to be known.

    Raises:
        WatershedError: one is damaged.
    """
    states = _states(connection, names)
    for name, state in states.items():
        if state.startswith(DAMAGED):
            raise damaged_table(name, state)
    return all(state == MADE for state in states.values())


def _states(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> dict[str, str]:
    states = dict(connection.execute("SELECT name, state FROM watershed.tables").fetchall())
    return {name: states.get(name, NOT_MADE) for name in names}


def rows(
    connection: duckdb.DuckDBPyConnection,
    kind: type[Row],
    sql: str,
    corpus: Corpus,
    places: Mapping[str, str] | None = None,
    **parameters: Any,
) -> list[Row]:
    """The rows of `sql` as objects of `kind`; `places` fills its braces, beside the tables of the corpus."""
    return [kind(**row) for row in dicts(connection, sql, corpus, places, **parameters)]


def dicts(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    corpus: Corpus,
    places: Mapping[str, str] | None = None,
    **parameters: Any,
) -> list[dict[str, Any]]:
    """The rows of `sql` as mappings; see `rows`."""
    found = query(connection, filled(sql, corpus, places), parameters)
    assert found is not None
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def filled(sql: str, corpus: Corpus, places: Mapping[str, str] | None = None) -> str:
    """`sql` with the tables of the corpus, what names a document's origin, and `places`, in its braces."""
    return sql.format(**dataclasses.asdict(corpus), origin=_origin(corpus, generation()), **(places or {}))


@lru_cache(maxsize=128)
def _origin(corpus: Corpus, _generation: int) -> str:
    """The columns `row`, `url`, `warc` and `record_offset` of a document d, those that its table lacks as nulls."""
    there = CONTRACTS[corpus.documents].schema.names
    types = {"url": "VARCHAR", "warc": "VARCHAR", "record_offset": "BIGINT"}
    columns = [f"d.{name}" if name in there else f"NULL::{type_} AS {name}" for name, type_ in types.items()]
    return ", ".join([*columns, f"({corpus.row})::VARCHAR AS row"])
