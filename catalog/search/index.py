"""The index of what the lake holds: SQLite's full-text search, brought up to date before every search.

Entries belong to groups: a table with its columns and its source, a view, the rows of one declaration. A group is
indexed again when its sign changes, in one transaction: the digest of what a contract says, or the last commit of the
tables that rows come from. So a table is found by the first search after its commit, and never after it was removed.

Entries are ranked by BM25 (Robertson and Zaragoza, 2009, section 3) with a weight for each field, as SQLite computes
it, and then by their kind. The index is a file in the project, or in memory where the project cannot be written; it can
be deleted at any time.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from operator import is_
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.family import Searchable
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.projects.contract_file import OwnTable
from catalog.projects.registry import own_tables, register
from catalog.projects.types import quoted
from catalog.search.entries import Entry, row_entries, table_entries, view_entry
from catalog.search.made import MadeTables
from catalog.search.words import Vocabulary, parse, typed_words
from catalog.settings import Settings
from catalog.sql.engine import open_engine
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS, families

if TYPE_CHECKING:
    import duckdb

FILE = "search.sqlite"
FORMAT = "1"
"""Changes with the tables of the index and with what entries hold, so that an index of another release is made anew."""

FIELDS = {"names": 8.0, "keywords": 3.0, "description": 2.0, "detail": 1.0}
"""Fields of an entry and their weights: a name counts more than a description."""
KINDS = {"table": 2.0, "view": 1.7, "model": 1.3, "evaluation": 1.3, "data set": 1.3, "source": 1.2}
"""Factors of scores by kind of entry; 1 for columns and rows of other kinds."""
CALLED = 4.0
"""Factor of an entry whose name, or the last part of it, is what was typed."""
NOT_WORDS = re.compile(r"[\W_]+")
RANKED = 400
"""Entries that SQLite ranks before kinds count."""

SCHEMA = f"""
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE groups (name TEXT PRIMARY KEY, sign TEXT);
CREATE TABLE entries (id INTEGER PRIMARY KEY, "group" TEXT, kind TEXT, name TEXT, "table" TEXT, family TEXT,
                      description TEXT, licence TEXT, tags TEXT, modalities TEXT);
CREATE INDEX by_group ON entries ("group");
CREATE VIRTUAL TABLE words USING fts5({", ".join(FIELDS)}, prefix = '3 4', tokenize = 'porter unicode61');
INSERT INTO words (words, rank) VALUES ('rank', 'bm25({", ".join(map(str, FIELDS.values()))})');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row);
CREATE TABLE spellings (word TEXT PRIMARY KEY, stem TEXT) WITHOUT ROWID;
"""
OF_CONNECTION = """
CREATE VIRTUAL TABLE temp.one_word USING fts5(word, tokenize = 'porter unicode61');
CREATE VIRTUAL TABLE temp.one_stem USING fts5vocab(temp, one_word, row);
CREATE VIRTUAL TABLE temp.every_stem USING fts5vocab(temp, one_word, instance);
"""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """An entry that was found; higher scores are better. `made` is whether its table is in the lake."""

    kind: str
    name: str
    table: str
    family: str
    description: str
    licence: str
    tags: tuple[str, ...]
    modalities: tuple[str, ...]
    made: bool
    score: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """The hits of a search, best first, and what became of words that no entry has."""

    hits: tuple[Hit, ...]
    corrected: dict[str, list[str]]
    """Words that were taken for typing errors, and what was searched instead."""
    unknown: tuple[str, ...]
    """Words that were left out."""
    problems: tuple[str, ...] = ()
    """Why rows of a table could not be searched."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What hits must be: of this family, with this tag and modality, under a licence whose name holds these letters."""

    family: str | None = None
    tag: str | None = None
    licence: str | None = None
    modality: str | None = None
    kind: str | None = None

    def sql(self) -> tuple[str, list[str]]:
        """The conditions on `entries`, and their parameters."""
        conditions, parameters = [], []
        for column, value in (("family", self.family), ("kind", self.kind)):
            if value is not None:
                conditions.append(f"entries.{column} = ? COLLATE NOCASE")
                parameters.append(value)
        for column, value in (("tags", self.tag), ("modalities", self.modality)):
            if value is not None:
                each = f"EXISTS (SELECT 1 FROM json_each(entries.{column}) WHERE value = ? COLLATE NOCASE)"
                conditions.append(each)
                parameters.append(value)
        if self.licence is not None:
            conditions.append("instr(lower(entries.licence), lower(?)) > 0")
            parameters.append(self.licence)
        return " AND ".join(conditions), parameters


class SearchIndex:
    """The index of one project's lake. Threads may share it; each search is made alone.

    Example:
        >>> from catalog import load_settings
        >>> from catalog.search.index import SearchIndex
        >>> with SearchIndex(load_settings()) as index:
        ...     [hit.name for hit in index.search("payload digets", limit=1).hits]
        ['dclm.documents.payload_digest']
    """

    def __init__(self, settings: Settings) -> None:
        self.lake = Lake.of(settings)
        self._project = settings.project
        self._lock = threading.Lock()
        self._made = MadeTables(self.lake)
        self._digests: dict[str, tuple[Contract, str]] = {}
        self._signs: dict[str, str] = {}
        self._data_version = -1
        self._generation = 0
        self._problems: list[str] = []
        self._contracts: tuple[Contract, ...] = ()
        self._declared: list[str] = []
        self._seen: tuple[set[str], dict[str, str], int] = (set(), {}, -1)
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._connection = _opened(settings.dagster_home / FILE, self.lake.root)
        self._vocabulary = Vocabulary(self._connection)

    def __enter__(self) -> SearchIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file of the index."""
        self._connection.close()

    def search(self, text: str, *, limit: int = 20, filters: Filters | None = None, declared: bool = False) -> Found:
        """The entries that are about the words of `text`, best first, in the lake as it is now.

        Entries with all words come before those with some of them.

        Args:
            text: words in any case; parts of names, their beginnings and typing errors are accepted.
            limit: the most hits.
            filters: what hits must be.
            declared: also find tables that are declared and not made.

        Raises:
            WatershedError: `text` holds no word, or the object store does not answer.
        """
        if not typed_words(text):
            raise WatershedError("nothing is searched for", 'write words, as in `watershed search "web documents"`')
        with self._lock:
            for _ in range(3):
                self._refresh()
                found = self._search(text, limit, filters or Filters(), declared)
                # A table may be removed between the look and the answer.
                if all(not hit.made or hit.kind == "view" or self._made.exists(hit.table) for hit in found.hits):
                    break
                self._made.forget()
            return found

    def _search(self, text: str, limit: int, filters: Filters, declared: bool) -> Found:
        parsed = parse(text, self._vocabulary, self._generation)
        hits: dict[tuple[str, str], Hit] = {}
        queries = (parsed.all_words, parsed.any_word) if len(parsed.alternatives) > 1 else (parsed.all_words,)
        for query in queries if parsed.alternatives else ():
            for hit in self._ranked(query, text, limit, filters, declared):
                hits.setdefault((hit.kind, hit.name), hit)
            if len(hits) >= limit:
                break
        return Found(
            hits=tuple(hits.values())[:limit],
            corrected=parsed.corrected,
            unknown=parsed.unknown,
            problems=tuple(self._problems),
        )

    def _ranked(self, query: str, text: str, limit: int, filters: Filters, declared: bool) -> list[Hit]:
        conditions, parameters = filters.sql()
        side = "" if declared else "AND words.rowid > 0"
        joined = f"JOIN entries ON entries.id = words.rowid AND {conditions}" if conditions else ""
        ranked = (
            f"SELECT words.rowid AS id, words.rank AS score FROM words {joined} WHERE words MATCH ? {side} "
            f"ORDER BY words.rank LIMIT {max(RANKED, 2 * limit)}"
        )
        found = self._connection.execute(
            f"SELECT entries.id, kind, name, score FROM ({ranked}) JOIN entries USING (id)", (*parameters, query)
        ).fetchall()
        typed = "".join(typed_words(text))
        scored = sorted((-_score(kind, name, rank, typed), name, kind, number) for number, kind, name, rank in found)
        # Two entries of one kind and name are one hit.
        best: dict[tuple[str, str], tuple[int, float]] = {}
        for score, name, kind, number in scored:
            best.setdefault((kind, name), (number, -score))
            if len(best) == limit:
                break
        select = "SELECT * FROM entries WHERE id = ?"
        return [_hit(self._connection.execute(select, (number,)).fetchone(), score) for number, score in best.values()]

    def _refresh(self) -> None:
        """Bring the index up to date."""
        ((version,),) = self._connection.execute("PRAGMA data_version").fetchall()
        if version != self._data_version:
            # Another process has changed the file.
            self._signs = dict(self._connection.execute("SELECT name, sign FROM groups").fetchall())
            self._data_version = version
            self._generation += 1
        register(self._project)
        contracts = tuple(CONTRACTS.values())
        same = len(contracts) == len(self._contracts) and all(map(is_, contracts, self._contracts))
        if not same:
            self._declared = list(CONTRACTS)
        made = self._made.look(self._declared)
        signs = self._row_signs(made)
        seen = (made, signs, self._generation)
        if same and seen == self._seen:
            return
        wanted, entries_of = self._groups(made)
        changed = [name for name, sign in wanted.items() if self._signs.get(name) != sign]
        gone = [name for name in self._signs if name not in wanted]
        self._problems = []
        if changed or gone:
            self._write(changed, gone, wanted, entries_of)
        # What could not be read is tried again by the next search.
        self._contracts = () if self._problems else contracts
        self._seen = (made, signs, self._generation)

    def _groups(self, made: set[str]) -> tuple[dict[str, str], dict[str, Callable[[], Iterable[Entry]]]]:
        """The sign of every group that the index is to hold, and what makes its entries."""
        wanted: dict[str, str] = {}
        entries_of: dict[str, Callable[[], Iterable[Entry]]] = {}
        for name, contract in CONTRACTS.items():
            group = f"table {name}"
            wanted[group] = f"{'made' if name in made else 'declared'} {self._digest(contract)}"
            entries_of[group] = partial(table_entries, contract)
        for name, view in VIEWS.items():
            if made.issuperset(view.tables):
                wanted[f"view {name}"] = f"made {fingerprint(view.description, view.tables)}"
                entries_of[f"view {name}"] = lambda name=name, view=view: [view_entry(name, view)]
        for searchable in _searchable(made):
            group = f"rows {searchable.kind} {searchable.tables[0]} {fingerprint(searchable.sql)}"
            wanted[group] = "made " + "; ".join(map(self._made.sign, searchable.tables))
            entries_of[group] = partial(self._rows, searchable)
        return wanted, entries_of

    def _row_signs(self, made: set[str]) -> dict[str, str]:
        """The last commit of every table that rows are searched of."""
        return {name: self._made.sign(name) for each in _searchable(made) for name in each.tables}

    def _rows(self, searchable: Searchable) -> list[Entry]:
        # One engine for all declarations that have changed: to open it takes as long as to read a small table.
        self._engine = self._engine or open_engine(self.lake)
        contracts = [CONTRACTS[name] for name in searchable.tables]
        return row_entries(self.lake, searchable, contracts, self._engine)

    def _digest(self, contract: Contract) -> str:
        known = self._digests.get(contract.name)
        if known is None or known[0] is not contract:
            known = contract, fingerprint([repr(entry) for entry in table_entries(contract)])
            self._digests[contract.name] = known
        return known[1]

    def _write(
        self,
        changed: list[str],
        gone: list[str],
        wanted: dict[str, str],
        entries_of: dict[str, Callable[[], Iterable[Entry]]],
    ) -> None:
        fresh: dict[str, list[Entry]] = {}
        for group in changed:
            try:
                fresh[group] = list(entries_of[group]())
            except WatershedError as error:
                # The other entries can be searched; this group is tried again by the next search.
                self._problems.append(error.cause)
                wanted = {name: sign for name, sign in wanted.items() if name != group}
        if self._engine:
            self._engine.close()
            self._engine = None
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            dropped = [group for group in (*changed, *gone) if group in self._signs]
            for group in dropped:
                run('DELETE FROM words WHERE rowid IN (SELECT id FROM entries WHERE "group" = ?)', (group,))
                run('DELETE FROM entries WHERE "group" = ?', (group,))
                run("DELETE FROM groups WHERE name = ?", (group,))
            ((low, high),) = run("SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM entries").fetchall()
            for group, entries in fresh.items():
                # Entries of tables that are not made have ids below 0, which a search leaves out at no cost.
                there = wanted[group].startswith("made")
                for entry in entries:
                    low, high = (low, high + 1) if there else (min(low, 0) - 1, high)
                    _insert(self._connection, group, high if there else low, entry)
                run("INSERT INTO groups VALUES (?, ?)", (group, wanted[group]))
            self._vocabulary.learn(text for entries in fresh.values() for each in entries for text in each.spelled)
            if dropped:
                self._vocabulary.prune()
            if any(group.startswith("rows ") for group in dropped):
                # Rows may have been removed because somebody asked for it: their words leave the file too.
                run("INSERT INTO words (words) VALUES ('optimize')")
            run("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                run("ROLLBACK")
            raise
        self._signs = {name: sign for name, sign in wanted.items() if name in fresh or name in self._signs}
        self._generation += 1


def _searchable(made: set[str]) -> list[Searchable]:
    """The declarations of rows whose tables are all made: those of families, and of the project's own tables."""
    declared = [each for family in families() for each in family.searchable]
    own = [_own_rows(table) for table in own_tables().values() if table.search_name]
    return [each for each in (*declared, *own) if made.issuperset(each.tables)]


def _own_rows(table: OwnTable) -> Searchable:
    """What the contract of a project's own table says that its rows are found by."""
    described = [f"{quoted(column)}::VARCHAR" for column in table.search_text]
    detail = f"concat_ws(' ', {', '.join(described)})" if described else "''"
    sql = (
        f"SELECT {quoted(table.search_name)}::VARCHAR AS name, {described[0] if described else 'NULL'} AS description, "
        f"{detail} AS detail FROM {table.contract.name}"
    )
    return Searchable(kind="row", tables=(table.contract.name,), sql=sql)


def _insert(connection: sqlite3.Connection, group: str, number: int, entry: Entry) -> None:
    connection.execute(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(number, group, entry.kind, entry.name, entry.table, entry.family, entry.description, entry.licence),
            *(json.dumps(entry.tags), json.dumps(entry.modalities)),
        ),
    )
    connection.execute(
        "INSERT INTO words (rowid, names, keywords, description, detail) VALUES (?, ?, ?, ?, ?)",
        (number, *entry.texts),
    )


def _score(kind: str, name: str, rank: float, typed: str) -> float:
    """The score of an entry by SQLite's rank, which is lower the better the entry is."""
    # Words that say nothing are left out of what was typed, so that they are left out of a name that may be it.
    called = NOT_WORDS.sub("", name).casefold().endswith(typed) and typed in (
        "".join(typed_words(name)),
        "".join(typed_words(name.rsplit(".", maxsplit=1)[-1])),
    )
    return round(-rank * KINDS.get(kind, 1.0) * (CALLED if called else 1.0), 6)


def _hit(row: tuple[Any, ...], score: float) -> Hit:
    number, _, kind, name, table, family, description, licence, tags, modalities = row
    return Hit(
        kind=kind,
        name=name,
        table=table,
        family=family,
        description=description,
        licence=licence,
        tags=tuple(json.loads(tags)),
        modalities=tuple(json.loads(modalities)),
        made=number > 0,
        score=score,
    )


def _opened(path: Path, root: str) -> sqlite3.Connection:
    """The index in the file `path`, made anew if it is of another lake or release, or damaged."""
    about = {"format": FORMAT, "lake": root, "sqlite": sqlite3.sqlite_version}
    with suppress(sqlite3.Error, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            connection = _connected(str(path))
            if _about(connection) == about:
                return connection
            connection.close()
        except sqlite3.OperationalError:
            # The file cannot be opened or written, or another process has locked it; it may be sound.
            raise
        except sqlite3.DatabaseError:
            pass
        for each in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            each.unlink(missing_ok=True)
        connection = _connected(str(path))
        _create(connection, about)
        return connection
    connection = _connected(":memory:")
    _create(connection, about)
    return connection


def _connected(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(OF_CONNECTION)
    return connection


def _about(connection: sqlite3.Connection) -> dict[str, str]:
    try:
        return dict(connection.execute("SELECT key, value FROM about").fetchall())
    except sqlite3.Error:
        return {}


def _create(connection: sqlite3.Connection, about: dict[str, str]) -> None:
    connection.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    connection.executemany("INSERT INTO about VALUES (?, ?)", about.items())
