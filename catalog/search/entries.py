"""What search finds: an entry for each table, view, column and source, and for each row that a family declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.family import Searchable
from catalog.lake import Lake
from catalog.literals import sql_literal
from catalog.view import View

if TYPE_CHECKING:
    import duckdb

LONGEST_NAME, LONGEST_TEXT = 300, 4000
"""Characters of a name and of a description that are indexed: rows may hold whole documents."""
MOST_ROWS = 200_000
"""Rows that are indexed for one declaration."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that search finds.

    `table` is the table that holds it, or the view itself, and `detail` holds words that are searched and not shown.
    """

    kind: str
    name: str
    table: str
    description: str = ""
    licence: str = ""
    tags: tuple[str, ...] = ()
    modalities: tuple[str, ...] = ()
    detail: str = ""

    @property
    def family(self) -> str:
        """The family of the table."""
        return self.table.split(".", maxsplit=1)[0]

    @property
    def names(self) -> str:
        """The name as words; a name of several parts is also found when it is typed as one word.

        A column's name is the last part alone, so that a table is found before its columns.
        """
        joined = re.sub(r"[\W_]+", "", self._own_name) if len(self._own_name) < 64 else ""
        return f"{words_of(self._own_name)} {joined}"

    @property
    def _own_name(self) -> str:
        return self.name.rsplit(".", maxsplit=1)[-1] if self.kind == "column" else self.name

    @property
    def spelled(self) -> tuple[str, str, str, str]:
        """The texts whose words a typing error is compared with: those that are indexed, without joined names."""
        return words_of(self._own_name), self.keywords, self.description, self.detail

    @property
    def texts(self) -> tuple[str, str, str, str]:
        """What is indexed: the fields names, keywords, description and detail."""
        return self.names, self.keywords, self.description, self.detail

    @property
    def keywords(self) -> str:
        """Words that say what kind of thing it is and where it is."""
        return " ".join((self.kind, words_of(self.table), *map(words_of, self.tags), *self.modalities))


def words_of(name: str) -> str:
    """A name as separate words: `dclm.docId` is "dclm doc Id"."""
    return _CAMEL.sub(" ", re.sub(r"[\W_]+", " ", name)).strip()


def table_entries(contract: Contract) -> Iterator[Entry]:
    """The entries of a table: itself, its columns, and its source.

    Example:
        >>> from catalog import CONTRACTS
        >>> from catalog.search.entries import table_entries
        >>> [(entry.kind, entry.name) for entry in table_entries(CONTRACTS["evals.registry_scores"])][:2]
        [('table', 'evals.registry_scores'), ('column', 'evals.registry_scores.evaluation')]
    """
    blank = Entry(
        kind="table",
        name=contract.name,
        table=contract.name,
        description=contract.description,
        licence=contract.licence,
        tags=contract.tags,
        modalities=contract.modalities,
    )
    columns = " ".join(words_of(column.name) for column in contract.columns)
    yield replace(blank, detail=f"{columns} {contract.source} {contract.licence} {contract.owner}")
    for column in contract.columns:
        personal = ("personal data",) if column.personal_data else ()
        yield replace(
            blank,
            kind="column",
            name=f"{contract.name}.{column.name}",
            description=column.description,
            tags=(*contract.tags, *personal),
            detail=f"{column.type} {column.personal_data or ''}",
        )
    if contract.source != "derived":
        source = f"A source of {contract.name}: {contract.description}"
        yield replace(blank, kind="source", name=contract.source, description=source)


def view_entry(name: str, view: View) -> Entry:
    """The entry of a SQL view."""
    return Entry(kind="view", name=name, table=name, description=view.description, detail=" ".join(view.tables))


def row_entries(
    lake: Lake, searchable: Searchable, contracts: Iterable[Contract], connection: duckdb.DuckDBPyConnection
) -> list[Entry]:
    """The entries of the rows that `searchable` selects from the latest versions of its tables.

    Args:
        connection: a connection of `catalog.sql.engine.open_engine`, in which views of the tables are declared.
        contracts: the contracts of the tables that it reads; the first one gives licence and modalities to rows that
            state none.

    Raises:
        WatershedError: a table cannot be read.
    """
    first, *others = contracts
    try:
        for contract in (first, *others):
            if damage := lake.damage(contract.name):
                raise damage
            connection.execute(
                f"CREATE SCHEMA IF NOT EXISTS {contract.family}; "
                f"CREATE OR REPLACE VIEW {contract.name} AS FROM delta_scan({sql_literal(lake.path(contract.name))})"
            )
        relation = connection.sql(f"FROM ({searchable.sql}) LIMIT {MOST_ROWS}")
        columns = relation.columns
        rows = [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]
    except WatershedError:
        raise
    except Exception as error:
        raise WatershedError(
            f"rows of {first.name} cannot be searched: {str(error).splitlines()[0]}",
            f"check the table with `watershed check {first.name}`",
        ) from error
    return [
        Entry(
            kind=searchable.kind,
            name=str(row["name"])[:LONGEST_NAME],
            table=first.name,
            description=str(row.get("description") or "")[:LONGEST_TEXT],
            licence=str(row.get("licence") or first.licence),
            tags=tuple(row.get("tags") or ()),
            modalities=tuple(row.get("modalities") or first.modalities),
            detail=str(row.get("detail") or "")[:LONGEST_TEXT],
        )
        for row in rows
        if row.get("name")
    ]
