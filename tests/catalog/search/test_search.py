"""Search over a lake of every table: what is found, in which order, and how soon."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.search.index import FILE, Filters, SearchIndex
from catalog.settings import Settings
from catalog.tables import CONTRACTS, FAMILIES
from catalog.tables.router import DOMAINS
from dagster_project.cli.search import search_command
from tests.small_lake import write_lake

TABLES = (
    *("dclm.documents", "dclm.spans", "dclm.mixture", "dclm.tokenizer", "dclm.contamination"),
    *("models.checkpoints", "models.registry", "evals.tasks", "evals.registry", "evals.registry_scores"),
    *("ladder.fits", "ladder.predictions", "moe.models", "moe.saturation", "router.domains", "router.experts"),
    *(
        "scholar.papers",
        "cheatsheet.resources",
        "mathfish.standards",
        "mathfish.problems",
        "tulu.sources",
        "tulu.tasks",
    ),
)
"""Every table of whose rows some can be searched, and a few others."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project with a lake of every table. Tests that change it change it back."""
    folder = tmp_path_factory.mktemp("search")
    return write_lake(folder, TABLES)


@pytest.fixture(scope="module")
def index(project: Settings) -> Iterator[SearchIndex]:
    """Its index, open for all tests."""
    with SearchIndex(project) as found:
        yield found


def names(index: SearchIndex, text: str, **options: object) -> list[str]:
    """The names of the hits, best first."""
    return [hit.name for hit in index.search(text, **options).hits]  # ty: ignore[invalid-argument-type]


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("dclm.documents", "dclm.documents"),
        ("Payload Digest", "dclm.documents.payload_digest"),
        ("payloadDigest", "dclm.documents.payload_digest"),
        ("scaling law fitted", "ladder.fits"),
        ("spans", "dclm.spans"),
    ],
)
def test_the_entry_that_is_meant_comes_first(index: SearchIndex, typed: str, first: str) -> None:
    assert names(index, typed)[0] == first


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("documnets", "dclm.documents"),
        ("decontamintaion contaminated", "dclm.contamination"),
        ("saturaton", "moe.saturation"),
        ("predictons", "ladder.predictions"),
        ("docum", "dclm.documents"),
        ("dlcm.mixture", "dclm.mixture"),
    ],
)
def test_a_typing_error_or_a_beginning_still_finds_it(index: SearchIndex, typed: str, meant: str) -> None:
    assert meant in names(index, typed, limit=5)


def test_a_word_that_is_near_to_none_is_left_out_and_named(index: SearchIndex) -> None:
    found = index.search("documents qqqqzzzz")
    assert found.unknown == ("qqqqzzzz",)
    assert "dclm.documents" in [hit.name for hit in found.hits]
    assert index.search("documnets").corrected == {"documnets": ["documents"]}


def test_a_name_counts_more_than_a_description(index: SearchIndex) -> None:
    found = names(index, "tokenizer", limit=50)
    assert found[0] == "dclm.tokenizer"
    described = [name for name in found if "tokenizer" not in name]
    assert described, "some entries have the word in their descriptions alone"
    assert found.index("dclm.tokenizer") < min(map(found.index, described))


def test_rows_that_families_declare_are_found_by_kind(index: SearchIndex) -> None:
    kinds = {
        hit.kind: hit for word in ("rivers", "water", "10k", "resource") for hit in index.search(word, limit=200).hits
    }
    assert kinds["data set"].table == "router.domains"
    assert kinds["paper"].table == "scholar.papers"
    assert kinds["model"].table in ("models.checkpoints", "models.targets", "moe.models", "models.registry")


def test_every_declaration_is_searched_and_selects_no_personal_data(index: SearchIndex) -> None:
    assert index.search("water").problems == ()
    declared = [each for family in FAMILIES for each in family.searchable]
    assert {name for each in declared for name in each.tables} - set(TABLES) <= {
        *("models.targets", "models.registry_datasets")
    }
    for each in declared:
        for table in each.tables:
            for column in CONTRACTS[table].personal_data:
                assert not re.search(rf"\b{column}\b", each.sql), f"{table}.{column}"


@pytest.mark.parametrize(
    ("filters", "holds"),
    [
        (Filters(family="evals"), lambda hit: hit.family == "evals"),
        (Filters(kind="column"), lambda hit: hit.kind == "column"),
        (Filters(modality="TEXT"), lambda hit: "text" in hit.modalities),
        (Filters(licence="mit"), lambda hit: "mit" in hit.licence.lower()),
        (Filters(tag="personal data"), lambda hit: "personal data" in hit.tags),
    ],
)
def test_filters_leave_the_rest_out(index: SearchIndex, filters: Filters, holds: object) -> None:
    hits = index.search("name task text model registry", limit=900, filters=filters).hits
    assert hits
    assert all(holds(hit) for hit in hits)  # ty: ignore[not-callable]
    assert len(index.search("name task text model registry", limit=900).hits) > len(hits)


def test_a_new_table_is_found_at_once_and_a_removed_one_never(project: Settings, index: SearchIndex) -> None:
    lake = Lake.of(project)
    rows = lake.read(DOMAINS.name)
    folder = Path(lake.path(DOMAINS.name))
    shutil.move(folder, folder.with_name("aside"))
    try:
        assert DOMAINS.name not in names(index, "router domains", limit=100)
        assert "rivers" not in names(index, "rivers", limit=100)
        assert DOMAINS.name in names(index, "router domains", limit=100, declared=True)
    finally:
        shutil.move(folder.with_name("aside"), folder)
    assert DOMAINS.name in names(index, "router domains")
    assert "rivers" in names(index, "rivers")
    renamed = rows.set_column(0, rows.schema.field("domain"), pa.array(["glaciers"] * rows.num_rows))
    lake.replace(DOMAINS, renamed, "f" * 16)
    assert "glaciers" in names(index, "glaciers")
    assert "rivers" not in names(index, "rivers", limit=100)
    lake.replace(DOMAINS, rows, "e" * 16)


def test_the_words_of_a_removed_row_leave_the_file(tmp_path: Path) -> None:
    copied = write_lake(tmp_path, (DOMAINS.name,))
    lake = Lake.of(copied)
    rows = lake.read(DOMAINS.name)
    secret = rows.set_column(0, rows.schema.field("domain"), pa.array(["xylophonist"] * rows.num_rows))
    lake.replace(DOMAINS, secret, "f" * 16)
    with SearchIndex(copied) as index:
        assert names(index, "xylophonist")
        lake.replace(DOMAINS, rows, "e" * 16)
        assert not names(index, "xylophonist")
    files = list(copied.dagster_home.glob(f"{FILE}*"))
    assert files
    assert not [file for file in files if b"xylophonist" in file.read_bytes()]


def test_two_processes_share_the_file(project: Settings, index: SearchIndex) -> None:
    lake = Lake.of(project)
    rows = lake.read(DOMAINS.name)
    with SearchIndex(project) as other:
        lake.replace(
            DOMAINS, rows.set_column(0, rows.schema.field("domain"), pa.array(["fjords"] * rows.num_rows)), "a"
        )
        assert names(other, "fjords")
        assert names(index, "fjords")
        lake.replace(DOMAINS, rows, "e" * 16)
        assert not names(index, "fjords")
        assert not names(other, "fjords")


def test_a_changed_contract_is_indexed_again(index: SearchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dclm.spans" not in names(index, "zebras", limit=100)
    changed = replace(CONTRACTS["dclm.spans"], description="Zebras of the token streams.", tags=("striped",))
    monkeypatch.setitem(CONTRACTS, "dclm.spans", changed)
    assert names(index, "zebras")[0] == "dclm.spans"
    assert index.search("zebras", filters=Filters(tag="STRIPED")).hits
    monkeypatch.undo()
    assert "dclm.spans" not in names(index, "zebras", limit=100)


def test_a_file_that_is_no_index_is_made_anew(tmp_path: Path) -> None:
    copied = write_lake(tmp_path, (DOMAINS.name,))
    copied.dagster_home.mkdir(exist_ok=True)
    (copied.dagster_home / FILE).write_bytes(b"not a database" * 1000)
    with SearchIndex(copied) as index:
        assert names(index, "domains")
    sqlite3.connect(copied.dagster_home / FILE).execute("SELECT count(*) FROM entries")


@pytest.mark.parametrize("text", ["", "  ", '"', "***", "?!"])
def test_a_search_without_words_is_refused(index: SearchIndex, text: str) -> None:
    with pytest.raises(WatershedError, match="nothing is searched for"):
        index.search(text)


@pytest.mark.parametrize(
    "text", ['documents" OR 1=1 --', "NEAR(a b) AND NOT (", "names:documents*", "\x00documents", "ß" * 5000]
)
def test_what_is_typed_is_words_and_never_a_query(index: SearchIndex, text: str) -> None:
    index.search(text)


def test_the_command_prints_lines_or_json(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(project.project))
    done = CliRunner().invoke(search_command, ["payload", "digest", "--kind", "column"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "column  dclm.documents.payload_digest"
    done = CliRunner().invoke(search_command, ["documents", "--json", "--limit", "3"])
    found = json.loads(done.stdout)
    assert len(found["hits"]) == 3
    assert {"kind", "name", "table", "licence", "score"} <= found["hits"][0].keys()
