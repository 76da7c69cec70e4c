"""The contracts of a mixture's tables, which follow from its recipe and from the contracts of its sources.

A document of the mixture names its row in the source by a column for each column of that source's key, which is derived
from it. So lineage, removals, licences, cards and search know the mixture as any other table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from catalog.columns import column, integer, real, text
from catalog.contract import Column, Contract, between, matches, one_of, row_count
from catalog.errors import WatershedError
from catalog.names import close
from catalog.projects.mixture_file import MixtureRecipe, MixtureSource
from catalog.projects.mixture_models import ModelTables, model_tables_of
from catalog.shards import shards_contract, spans_contract
from catalog.view import View

HEX32, HEX64 = r"^[0-9a-f]{32}$", r"^[0-9a-f]{64}$"
FILE_KEY = (("source_file", pa.string()), ("source_row", pa.int64()))
"""The key of a row of files: the name of its file, and its number in it from 1."""
KEY_TYPES = (pa.types.is_string, pa.types.is_integer, pa.types.is_date)


@dataclass(frozen=True, kw_only=True)
class KeyColumn:
    """A column of a source that names its rows, and the column of the mixture that holds it."""

    name: str
    """In the source."""
    column: str
    """In the mixture: `papers_paper`."""
    type: pa.DataType
    derived_from: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A mixture as the catalog has it: its recipe, its tables, and the key columns of each source by its name."""

    recipe: MixtureRecipe
    keys: Mapping[str, tuple[KeyColumn, ...]]
    documents: Contract
    sources: Contract
    dropped: Contract
    contamination: Contract
    shards: Contract
    spans: Contract
    trained: ModelTables | None = None
    """The tables of the models that are trained on it; None if its recipe names none."""

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """The tables of its data in the order in which data flows."""
        return (self.documents, self.sources, self.dropped, self.contamination, self.spans, self.shards)

    @property
    def tables(self) -> tuple[Contract, ...]:
        """All its tables, those of models last."""
        return (*self.contracts, *(self.trained.contracts if self.trained else ()))


def mixture_of(recipe: MixtureRecipe, contracts: Mapping[str, Contract], views: Mapping[str, View]) -> Mixture:
    """The mixture of a recipe.

    Raises:
        WatershedError: a source or the tokenizer names a table that does not exist, a column that the table lacks, or a
            key that cannot name rows.
    """
    keys = {source.name: _key(recipe, source, contracts, views) for source in recipe.sources}
    columns = [each.column for some in keys.values() for each in some]
    if twice := {name for name in columns if columns.count(name) > 1}:
        raise WatershedError(
            f"{recipe.path}: two sources have key columns that would be called {min(twice)}",
            "give one of the sources another name",
        )
    upstream = tuple(dict.fromkeys(name for source in recipe.sources for name in _tables(source, views)))
    stated = tuple(dict.fromkeys(source.licence for source in recipe.sources if source.licence))
    files = "; ".join(", ".join(source.files) for source in recipe.sources if source.files)
    common: dict[str, Any] = {
        "upstream": upstream,
        "source": files or "derived",
        "owner": recipe.owner,
        "licence": ", ".join(stated) if stated else "as its upstream tables",
        "licences": stated,
    }
    documents = _documents(recipe, keys, common)
    below = common | {"upstream": (documents.name,), "source": "derived"}
    below |= {"licence": "as its upstream tables", "licences": ()}
    spans = _spans(recipe, below)
    shards = _shards(recipe, spans, below, _tokenizer(recipe, contracts))
    return Mixture(
        recipe=recipe,
        keys=keys,
        documents=documents,
        sources=_sources(recipe, below),
        dropped=_dropped(recipe, keys, below),
        contamination=_contamination(recipe, below),
        spans=spans,
        shards=shards,
        trained=model_tables_of(recipe.table, shards, recipe.train),
    )


def _tables(source: MixtureSource, views: Mapping[str, View]) -> tuple[str, ...]:
    """The tables that a source reads."""
    if not source.table:
        return ()
    return views[source.table].tables if source.table in views else (source.table,)


def _tokenizer(recipe: MixtureRecipe, contracts: Mapping[str, Contract]) -> tuple[str, ...]:
    """The table of tokenizers that the recipe names; none if it names a file."""
    found = contracts.get(recipe.tokenizer)
    if found is None:
        return ()
    if "path" not in found.schema.names:
        raise WatershedError(
            f"{recipe.path}: tokenizer = {recipe.tokenizer!r} is a table without the column path",
            "name a tokenizer.json, or a table of tokenizers",
        )
    return (found.name,)


def _key(
    recipe: MixtureRecipe, source: MixtureSource, contracts: Mapping[str, Contract], views: Mapping[str, View]
) -> tuple[KeyColumn, ...]:
    if source.files:
        return tuple(_key_column(source, name, type_) for name, type_ in FILE_KEY)
    where = f"{recipe.path}: source {source.name}"
    if source.table in views:
        return _key_of_view(where, source, contracts, views[source.table])
    contract = contracts.get(source.table)
    if contract is None:
        raise WatershedError(
            f"{where}: no table is called {source.table!r}{close(source.table, [*contracts, *views])}",
            "name a table or view of the lake, or add one with `watershed add`",
        )
    if source.key:
        raise WatershedError(f"{where}: {source.table} has a primary key", "leave out `key`, which is for views")
    types = {each.name: each.type for each in contract.columns}
    for name in (source.text, *(name for name, _ in source.where)):
        if name not in types:
            raise WatershedError(
                f"{where}: {source.table} has no column {name!r}{close(name, types)}",
                f"name one of {', '.join(types)}: `text` in the recipe is the column of the text",
            )
    if not pa.types.is_string(types[source.text]):
        raise WatershedError(f"{where}: the column {source.text} of {source.table} is no text", "name a column of text")
    return tuple(
        _checked(where, _key_column(source, name, types[name], (f"{contract.name}.{name}",)))
        for name in contract.primary_key
    )


def _key_of_view(
    where: str, source: MixtureSource, contracts: Mapping[str, Contract], view: View
) -> tuple[KeyColumn, ...]:
    """The key of a view's rows: a column that is the whole primary key of one of its tables."""
    single = {name: contracts[name].primary_key[0] for name in view.tables if len(contracts[name].primary_key) == 1}
    key = source.key or tuple(dict.fromkeys(single.values()))
    if len(key) != 1 or key[0] not in single.values():
        raise WatershedError(
            f"{where}: it is not known which column names a row of the view {source.table}",
            f"write `key` = one of {', '.join(sorted(set(single.values()))) or 'none: name a table instead'}",
        )
    derived = tuple(f"{name}.{key[0]}" for name, column_ in single.items() if column_ == key[0])
    table, _, name = derived[0].rpartition(".")
    return (_checked(where, _key_column(source, name, contracts[table].column(name).type, derived)),)


def _key_column(source: MixtureSource, name: str, type_: pa.DataType, derived: tuple[str, ...] = ()) -> KeyColumn:
    return KeyColumn(name=name, column=f"{source.name}_{name}", type=type_, derived_from=derived)


def _checked(where: str, key: KeyColumn) -> KeyColumn:
    if not any(check(key.type) for check in KEY_TYPES):
        raise WatershedError(
            f"{where}: its key column {key.name} is of type {key.type}, which names no row",
            "give the table a key of texts, whole numbers or dates",
        )
    return key


def _key_columns(keys: Mapping[str, tuple[KeyColumn, ...]]) -> tuple[Column, ...]:
    return tuple(
        column(
            each.column,
            each.type,
            f"{each.name} of the row in the source {source}; null in documents of other sources.",
            nullable=True,
            derived_from=each.derived_from,
        )
        for source, some in keys.items()
        for each in some
    )


DOC_ID = "32 hex digits of the SHA-256 of the source's name and the row's key."


def _documents(recipe: MixtureRecipe, keys: Mapping[str, tuple[KeyColumn, ...]], common: dict[str, Any]) -> Contract:
    return Contract(
        name=recipe.table,
        description=recipe.description,
        columns=(
            text("doc_id", DOC_ID),
            text("source", "The source by its name in the recipe."),
            *_key_columns(keys),
            text("licence", "The licence of the row, or those of its table joined by `and`."),
            text("split", "train or heldout, by a hash of the document."),
            integer("repeats", "How often one pass reads the document; held-out documents are read once.", bits=32),
            integer("tokens", "Tokens of its text, and the one that ends it."),
            integer("text_bytes", "UTF-8 bytes of its text."),
            real("weight", "Share of the tokens of a pass over the split: tokens x repeats over their sum."),
        ),
        primary_key=("doc_id",),
        licence_column="licence",
        selection=True,
        modalities=("text",),
        tags=("mixture",),
        expectations=(
            row_count(2),
            matches("doc_id", HEX32),
            one_of("source", tuple(source.name for source in recipe.sources)),
            one_of("split", ("train", "heldout")),
            between("repeats", 1, int(-(-recipe.most_repeats // 1))),
            between("tokens", 2, why="an empty text is dropped"),
            between("weight", 0, 1),
        ),
        **common,
    )


def _sources(recipe: MixtureRecipe, common: dict[str, Any]) -> Contract:
    counted = (
        ("rows", "Rows of the source that `where` selects."),
        ("empty", "Rows without text."),
        ("unlicensed", "Rows that were dropped for their licence."),
        ("filtered", "Rows that a filter dropped."),
        ("duplicates", "Copies that were dropped, of documents of this source or an earlier one."),
        ("contaminated", "Rows that were dropped because they hold an evaluation example."),
        ("heldout", "Documents that are held out."),
        ("available", "Documents for training that are left."),
        ("available_tokens", "Their tokens."),
        ("documents", "Documents that a pass reads, each counted once."),
        ("tokens", "Tokens that a pass reads, repeats counted."),
    )
    return Contract(
        name=f"{recipe.table}_sources",
        description=f"The proportions of the mixture {recipe.name}: what was asked of each source, and what it gives.",
        columns=(
            text("source", "The source by its name in the recipe."),
            integer("place", "Place in the recipe, from 1: a copy in an earlier source is kept.", bits=32),
            text("origin", "The table or view, or the patterns of the files."),
            column("licences", pa.list_(pa.string()), "Licences of its documents, by identifier."),
            text("asked_by", "What the recipe states: weight, tokens or repeats."),
            *(integer(name, description) for name, description in counted),
            real("asked_tokens", "Tokens that a pass should read, by the recipe."),
            real("asked_share", "Share of the pass that this is."),
            real("share", "Share of the tokens of a pass."),
            real("epochs", "How often a pass reads it: tokens over available_tokens."),
        ),
        primary_key=("source",),
        tags=("mixture",),
        expectations=(
            row_count(len(recipe.sources)),
            one_of("asked_by", ("weight", "tokens", "repeats")),
            between("asked_share", 0, 1),
            between("share", 0, 1),
            between("epochs", 0, recipe.most_repeats + 0.5, why="the recipe's `most_repeats`, to a document"),
            *(between(name, 0) for name, _ in counted),
        ),
        **common,
    )


def _dropped(recipe: MixtureRecipe, keys: Mapping[str, tuple[KeyColumn, ...]], common: dict[str, Any]) -> Contract:
    reasons = ("empty", "licence", "filter", "duplicate", "contaminated", "proportion")
    return Contract(
        name=f"{recipe.table}_dropped",
        description=f"Rows of the sources that the mixture {recipe.name} does not read, and why.",
        columns=(
            text("doc_id", DOC_ID),
            text("source", "The source by its name in the recipe."),
            *_key_columns(keys),
            text("reason", "Why, in a word. proportion: its source gives less than it has."),
            text("detail", "The licence, filter or evaluation; empty for other reasons."),
            text(
                "kept_doc_id",
                "The copy that is kept, of a duplicate; it may have been dropped for a later reason.",
                nullable=True,
            ),
            real("similarity", "Similarity to that copy, 0..1.", nullable=True),
        ),
        primary_key=("doc_id",),
        tags=("mixture",),
        expectations=(
            matches("doc_id", HEX32),
            one_of("reason", reasons),
            between("similarity", 0, 1),
        ),
        **common,
    )


def _contamination(recipe: MixtureRecipe, common: dict[str, Any]) -> Contract:
    counts = (
        ("examples", "Examples of the evaluation."),
        ("examples_not_searched", "Examples that cannot be found, such as those with too few words."),
        ("examples_overlapping", "Examples of which a document holds a part."),
        ("examples_hit", "Examples of which a document holds enough."),
        ("documents_overlapping", "Documents that hold a part of an example."),
        ("documents_to_drop", "Documents that hold enough of one, and were dropped."),
    )
    return Contract(
        name=f"{recipe.table}_contamination",
        description=f"How much of each evaluation the sources of the mixture {recipe.name} held: a row per evaluation.",
        columns=(
            text("evaluation", "The evaluation by the name of its file."),
            text("rule", "The rule by which documents are compared with examples."),
            *(integer(name, description) for name, description in counts),
            real("share_hit", "Share of the examples of which a document holds enough."),
        ),
        primary_key=("evaluation",),
        tags=("mixture",),
        expectations=(between("share_hit", 0, 1), *(between(name, 0) for name, _ in counts)),
        **common,
    )


def _spans(recipe: MixtureRecipe, common: dict[str, Any]) -> Contract:
    return spans_contract(
        f"{recipe.table}_spans",
        shards=f"{recipe.table}_shards",
        document=text("doc_id", f"The document, as in {recipe.table}.", derived_from=f"{recipe.table}.doc_id"),
        documents=recipe.table,
        tags=("mixture",),
        **common,
    )


def _shards(recipe: MixtureRecipe, spans: Contract, common: dict[str, Any], tokenizer: tuple[str, ...]) -> Contract:
    contract = shards_contract(
        f"{recipe.table}_shards",
        spans=spans.name,
        description=f"The mixture {recipe.name} as a trainer reads it: a row per WebDataset tar of token sequences.",
        tags=("mixture",),
        **common,
    )
    return replace(contract, upstream=(*contract.upstream, spans.name, *tokenizer))
