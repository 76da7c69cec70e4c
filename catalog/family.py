"""A family of tables: what it declares to the engines of the catalog, which know no family by name.

`catalog/tables/__init__.py` lists the families, and those that a project declares. SQL, lineage, cards and the quality
gate gather what each family declares here from that list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from catalog.contract import Contract
from catalog.view import View


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The tables that hold documents and the training shards made of them; lineage joins them.

    The columns of documents and archives are those of `dclm.documents` and `dclm.pool`, or, of a corpus without
    archives, at least `doc_id`. Those of shards and spans are those of `dclm.shards` and `dclm.spans`.
    """

    documents: str
    """A row per document, by `doc_id`."""
    shards: str
    """A row per shard of token sequences, by `split` and `shard`. Tables of models and batches are made from it."""
    spans: str
    """A row per document, or part of one, in a shard's token stream."""
    archives: str = ""
    """A row per file that documents were read from, by `warc`; empty if documents are rows of other tables."""
    row: str = "NULL"
    """SQL over `documents`, called d: the row that a document was made from, as `watershed trace` takes it."""
    counted_by: str = "domain"
    """What the column `sources` of shards counts tokens by, in a word: domain, source."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A table of what was decided about documents.

    `sql` selects the row of the document `$doc_id`. Its columns are fields of
    `catalog.lineage.documents.DocumentDecisions`.
    """

    table: str
    sql: str
    by_recipe: bool = False
    """Whether `sql` gives a row per recipe, rather than at most one."""


@dataclass(frozen=True)
class Link:
    """How rows of one table name rows of another that they were made from.

    A column that is `derived_from` a primary key, and an expectation `references`, are such links without being
    declared (`catalog.lineage.links`).
    """

    table: str
    columns: tuple[str, ...]
    """Columns of `table`; a list stands for each of its values."""
    upstream: str
    theirs: tuple[str, ...]
    """The columns of `upstream` with the same values."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A table whose rows people may order to forget, with all that names them in other tables."""

    table: str
    key: str
    """The column that names a row, and from which the columns of other tables are derived."""
    url: str | None = None
    """The column with the web address of a row, for orders by the beginning of an address."""


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The tables of a family that lineage follows."""

    corpora: tuple[Corpus, ...] = ()
    """The bare name of a shard, `train/0/17`, is one of the first corpus that is made."""
    decisions: tuple[Decision, ...] = ()
    batches: tuple[str, ...] = ()
    """Tables of what training steps read, with the columns of `models.batches`."""
    models: tuple[str, ...] = ()
    """Tables of models that were trained on a data set, with the columns of `models.checkpoints`."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """For a table of models, the table of their answers, with the columns of `evals.results`."""
    identities: tuple[str, ...] = ()
    """Columns `family.table.column` beside the primary keys by which other tables name rows."""
    links: tuple[Link, ...] = ()
    """Links between rows that no column of a contract declares."""
    origins: tuple[Origin, ...] = ()
    """Tables whose rows people may order to forget."""
    blanked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Tables whose rows stay when what they name is forgotten: the columns that are then emptied."""


@dataclass(frozen=True, kw_only=True)
class Searchable:
    """Rows that `watershed search` finds.

    `sql` selects them. Its columns are `name` (required), `description`, `licence`, `tags` and `modalities` (lists of
    texts), and `detail` (more words to be found by). It selects no column that the contract tags as personal data.
    """

    kind: str
    """What a row is, in one word or two: model, evaluation, paper."""
    tables: tuple[str, ...]
    """The tables that `sql` reads. Rows belong to the first one."""
    sql: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a table says of one model, for the page of the model.

    `sql` selects it by the name of the model, `$model`. Its rows become a table with the columns of `sql`. If `x` is
    not empty, they become a chart instead, with a line for each `series`: the columns are `series`, `x` and `y`.
    """

    title: str
    tables: tuple[str, ...]
    """The tables that `sql` reads; without one of them there is no report."""
    sql: str
    x: str = ""
    """What the horizontal axis measures, with its unit."""
    y: str = ""
    """The same of the vertical axis."""


@dataclass(frozen=True, kw_only=True)
class Models:
    """A table that records models that were trained: each of them has a page on the site.

    The page shows what the table has of the columns of `models.checkpoints`, and every other column that holds a number
    or a short text. `dataset` names shards, by source, and `config` is shown setting by setting.
    """

    table: str
    name: str = "run"
    """The column that names a model."""
    sql: str = ""
    """Selects a row a model, where the table has several rows of each."""
    trained_on: tuple[str, ...] = ()
    """Tables whose licences the models inherit; by default `table`, with all that it is made from."""
    reports: tuple[Report, ...] = ()
    intended: tuple[str, ...] = ()
    """Sentences on the intended use of the models, and on its limits."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """The tables of one system: `dclm`, `models`, `evals` and so on."""

    name: str
    """The first part of its tables' names: `dclm` of `dclm.documents`."""
    contracts: tuple[Contract, ...]
    """Its tables, in the order in which data flows."""
    views: Mapping[str, View] = field(default_factory=dict)
    """Its SQL views, by name: `dclm.funnel`."""
    lineage: Lineage = Lineage()
    searchable: tuple[Searchable, ...] = ()
    """Rows that search finds beside tables and columns."""
    models: tuple[Models, ...] = ()
    """Its tables of trained models, which have a page each on the site."""
    site: str = ""
    """The module of the pages and sections that the family adds to the site, which is imported when the site is built:
    `pages(site)` yields pages of `catalog.cards.site.page`, `model_sections(site, table, row)` sections of a model's
    page, and `table_sections(site, contract)` sections of a table's page. Each may be missing."""
