"""Every family is registered in one line, and the engines of catalog and quality name none of them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from catalog.lineage.documents import DocumentDecisions
from catalog.sql.views import VIEWS
from catalog.tables import CONTRACTS, FAMILIES

ROOT = Path(__file__).parent.parent.parent
TABLES = ROOT / "catalog" / "tables"
NAMES = [family.name for family in FAMILIES]
ENGINES = sorted(
    path for room in ("catalog", "quality") for path in (ROOT / room).rglob("*.py") if TABLES not in path.parents
)


def code_strings(tree: ast.Module) -> list[str]:
    """The string constants of a module that are neither docstrings nor notes below a constant."""
    notes = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in notes
    ]


@pytest.mark.parametrize("path", ENGINES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_an_engine_names_no_table_of_a_family_and_imports_none(path: Path) -> None:
    tree = ast.parse(path.read_text())
    table = re.compile(rf"\b({'|'.join(NAMES)})\.[a-z]|dclm-baseline")
    assert [text for text in code_strings(tree) if table.search(text)] == []
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    assert [module for module in imported if module.startswith("catalog.tables.")] == []


def test_every_file_or_folder_of_tables_is_a_registered_family_in_its_own_name() -> None:
    places = {path.stem for path in TABLES.iterdir() if not path.name.startswith("__")} - {"languages"}
    assert sorted(NAMES) == sorted(places)
    for family in FAMILIES:
        assert {contract.family for contract in family.contracts} == {family.name}
        assert all(name.startswith(f"{family.name}.") for name in family.views)
    assert len(CONTRACTS) == sum(len(family.contracts) for family in FAMILIES), "no name is used twice"
    assert len(VIEWS) == sum(len(family.views) for family in FAMILIES)
    assert not VIEWS.keys() & CONTRACTS.keys()


def test_what_lineage_follows_exists_with_the_columns_that_it_joins() -> None:
    columns = {name: set(contract.schema.names) for name, contract in CONTRACTS.items()}
    for family in FAMILIES:
        lineage = family.lineage
        for corpus in lineage.corpora:
            assert {"doc_id", "warc", "record_offset", "url", "text"} <= columns[corpus.documents]
            assert {"warc", "uri"} <= columns[corpus.archives]
            assert {"split", "shard", "dataset", "sequences", "sequence_length"} <= columns[corpus.shards]
            assert {"split", "shard", "start", "stop", "doc_id"} <= columns[corpus.spans]
        for batches in lineage.batches:
            assert {"run", "step", "dataset", "split", "shard", "sequences"} <= columns[batches]
        for models in lineage.models:
            assert {"run", "dataset", "parameters", "tokens", "heldout_bits_per_byte"} <= columns[models]
        for models, answers in lineage.answers.items():
            assert models in columns
            assert {"run", "correct"} <= columns[answers]
        for decision in lineage.decisions:
            assert decision.table in decision.sql
            assert columns[decision.table] & set(DocumentDecisions.__dataclass_fields__)
    assert all(table in CONTRACTS for view in VIEWS.values() for table in view.tables)


def test_one_family_of_the_package_declares_a_corpus_and_every_table_of_batches_is_made_from_its_shards() -> None:
    ((name, corpus),) = [(family.name, each) for family in FAMILIES for each in family.lineage.corpora]
    assert name == "dclm"
    for family in FAMILIES:
        for table in (*family.lineage.batches, *family.lineage.models):
            assert corpus.shards in CONTRACTS[table].upstream
