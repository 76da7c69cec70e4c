"""The state of a table in the lake, and its data card."""

from __future__ import annotations

from pathlib import Path

import pytest
from deltalake import DeltaTable

from catalog.cards.card import card, statement
from catalog.contract import between, matches, mostly, one_of, references, row_count
from catalog.errors import WatershedError
from catalog.inventory import downstream, table_state
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables import CONTRACTS, contract
from tests.small_lake import CURATED, plant, write_lake


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """A lake with the tables from a crawl to a forecast."""
    return write_lake(tmp_path, CURATED)


def said_of(settings: Settings, name: str) -> str:
    """The state of a table in words."""
    return table_state(Lake.of(settings), contract(name)).summary


def test_every_table_as_the_project_writes_it_fits_its_contract(tmp_path: Path) -> None:
    settings = write_lake(tmp_path)
    for name in CONTRACTS:
        assert said_of(settings, name) == "fits its contract", name


def test_the_state_counts_rows_bytes_files_and_partitions(lake: Settings) -> None:
    state = table_state(Lake.of(lake), contract("dclm.documents"))
    stored = list(Path(state.path).rglob("*.parquet"))
    assert (state.rows, state.files, state.version) == (6, 2, 2)
    assert state.bytes == sum(file.stat().st_size for file in stored)
    assert state.partitions[""].fingerprint == "f" * 16
    assert state.written_at is not None
    assert state.written_at.timestamp() * 1000 == state.partitions[""].timestamp_ms


def test_a_table_that_is_not_made_is_reported_as_such(tmp_path: Path) -> None:
    state = table_state(Lake.of(write_lake(tmp_path, ("dclm.pool",))), contract("dclm.shards"))
    assert (state.made, state.summary, state.rows) == (False, "not made yet", 0)


def test_columns_that_differ_from_the_contract_are_named(lake: Settings) -> None:
    plant(lake, "dclm.scores", {}, drop=("bucket",))
    assert "bucket is missing" in said_of(lake, "dclm.scores")
    DeltaTable(Lake.of(lake).path("ladder.fits")).alter.add_columns([_field("note", "string")])
    assert said_of(lake, "ladder.fits") == "note is not in the contract"


def _field(name: str, type_: str):
    from deltalake.schema import Field, PrimitiveType

    return Field(name, PrimitiveType(type_))


def test_a_table_whose_constraints_were_dropped_is_reported_as_unguarded(lake: Settings) -> None:
    DeltaTable(Lake.of(lake).path("dclm.scores")).alter.drop_constraint("score__be_between")
    state = table_state(Lake.of(lake), contract("dclm.scores"))
    assert state.unguarded == ("score out of bounds",)
    assert state.summary == "1 constraint is not enforced"


def test_a_table_with_a_broken_log_is_an_error_that_names_it(lake: Settings) -> None:
    path = Path(Lake.of(lake).path("dclm.scores"))
    for commit in (path / "_delta_log").glob("*.json"):
        commit.write_text("{nonsense")
    with pytest.raises(WatershedError, match=r"dclm\.scores is damaged: "):
        table_state(Lake.of(lake), contract("dclm.scores"))


def test_downstream_is_the_reverse_of_upstream() -> None:
    for name in CONTRACTS:
        assert downstream(name) == tuple(other for other, c in CONTRACTS.items() if name in c.upstream)
    assert "dclm.spans" in downstream("dclm.mixture")


def test_the_card_holds_the_contract_and_the_state_in_the_lake(lake: Settings) -> None:
    scores = contract("dclm.scores")
    text = card(scores, table_state(Lake.of(lake), scores))
    for part in (
        "# dclm.scores\n",
        scores.description,
        "| made from | dclm.documents, dclm.measurements, dclm.paragraphs, dclm.quality_model |",
        "| read by | dclm.mixture, dclm.mixture_buckets, ladder.comparison_runs |",
        "| rows | 3 |",
        "| `score` | `double` | Probability of being good text, 0..1. |",
        "- `score` is at least 0 and at most 1\n",
        "- `model_id` is in `dclm.quality_model.model_id`\n",
    ):
        assert part in text
    assert "| rows |" not in card(scores)


def test_every_contract_has_a_card_whose_tables_are_well_formed() -> None:
    for name, each in CONTRACTS.items():
        for line in card(each).splitlines():
            cells = line.replace("\\|", "").count("|")
            assert cells in (0, 3, 4), f"{name}: {line}"


@pytest.mark.parametrize(
    ("expectation", "sentence"),
    [
        (between("score", 0, 1), "score is at least 0 and at most 1"),
        (between("score", high=1), "score is at most 1"),
        (row_count(1), "there is at least 1 row"),
        (row_count(2), "there are at least 2 rows"),
        (one_of("split", ("train", "heldout")), "split is one of train, heldout"),
        (one_of("code", tuple(range(40))), "code is one of 40 values"),
        (matches("id", "^a$"), "id matches ^a$"),
        (references("run", "models.checkpoints.run"), "run is in models.checkpoints.run"),
        (mostly(between("score", 0, 1), 0.99), "score is at least 0 and at most 1, in at least 99.0% of the rows"),
    ],
)
def test_expectations_read_as_sentences(expectation, sentence: str) -> None:
    assert statement(expectation) == sentence
