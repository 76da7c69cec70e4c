"""What is forgotten is gone from tables, earlier versions, logs and shards, and does not come back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from benchmarks.removal_campaign import STEPS, campaign
from catalog.cards.card import card
from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.lineage.removal.orders import Removals, all_carriers, kept_rows, new_order
from catalog.lineage.removal.run import carry_out, order_removal, plan_removal, proof_sql, unfinished
from catalog.lineage.removal.tables import left_in_table
from catalog.settings import Settings
from catalog.sql.query import connect, query
from catalog.storage.verify import verify
from catalog.tables import CONTRACTS
from dagster_project.cli import main
from spark_jobs.dclm.removal import Shards
from spark_jobs.shards.format import read_shard
from spark_jobs.shards.writer import MADE, ShardRecipe, ShardWriter, lay_out
from tests.small_lake import RUNS, doc_id, good_rows, write_lake, write_rows

GONE = doc_id(2)
URL = "https://lake.example/2"


@pytest.fixture(scope="module")
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of every table, two versions each, from which a document was removed."""
    settings = write_lake(tmp_path_factory.mktemp("forgotten"))
    write_rows(settings, {"dclm.documents": good_rows()["dclm.documents"]})
    lake = Lake.of(settings)
    plan = plan_removal(lake, connect(settings), [GONE], [], [])
    order, left = carry_out(lake, order_removal(lake, plan, "asked for by its author"), [])
    assert left == []
    assert order.done_at
    return settings


@pytest.fixture
def watershed(monkeypatch: pytest.MonkeyPatch):
    """The command line, on a lake."""

    def run(settings: Settings, *arguments: str) -> Result:
        monkeypatch.setenv("WATERSHED_PROJECT", str(settings.project))
        return CliRunner().invoke(main, arguments)

    return run


def files_with(root: Path, text: str) -> list[Path]:
    """The files of a lake that quote a text, in their bytes or in a column of Parquet."""
    found = []
    for path in root.rglob("*"):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            columns = pq.read_table(path, partitioning=None)
            if any(text in str(value) for column in columns.columns for value in column.to_pylist()):
                found.append(path)
        elif text.encode() in path.read_bytes():
            found.append(path)
    return found


def test_the_columns_that_name_a_document_follow_from_the_contracts() -> None:
    carriers = all_carriers()
    assert carriers["dclm.spans"] == {"doc_id": "dclm.documents.doc_id"}
    assert carriers["scholar.embeddings"] == {"passage": "scholar.passages.passage"}
    assert carriers["evals.results"] == {"question_id": "evals.examples.question_id"}
    # Models, shards and archives are not removed with a document.
    assert not {"models.checkpoints", "dclm.shards", "dclm.pool", "models.batches"} & carriers.keys()


def test_a_document_is_gone_from_every_table_and_file(forgotten: Settings) -> None:
    root = Path(forgotten.lake_root)
    assert files_with(root, GONE) == []
    assert files_with(root, URL) == []
    connection = connect(forgotten)
    for table, columns in all_carriers().items():
        for column in columns:
            found = connection.execute(f"SELECT count(*) FROM {table} WHERE {column}::VARCHAR = '{GONE}'").fetchall()
            assert found == [(0,)], table
    ((left,),) = connection.execute("SELECT count(*) FROM dclm.documents").fetchall()
    assert left == 5


def test_the_proof_counts_by_the_digests_of_the_list(forgotten: Settings) -> None:
    (order,) = Lake.of(forgotten).removals().orders
    connection, counts = connect(forgotten), []
    for sql in proof_sql(order):
        found = query(connection, sql)
        assert found
        counts += found.fetchall()
    assert len(counts) >= 8
    assert set(counts) == {(0,)}
    listed = connection.execute("SELECT count(*) FROM watershed.removals WHERE digest = "
                                f"sha256('dclm.documents.doc_id' || chr(10) || '{GONE}')").fetchall()  # fmt: skip
    assert listed == [(1,)]


def test_the_models_that_had_read_it_are_recorded(forgotten: Settings) -> None:
    (order,) = Lake.of(forgotten).removals().orders
    assert {each["run"]: each["sequences"] for each in order.seen_by} == dict.fromkeys(
        (*RUNS, "80k-4xC", "10k-1xC-moe"), 2
    )


def test_versions_that_held_it_are_refused_and_the_card_says_so(forgotten: Settings) -> None:
    lake, contract = Lake.of(forgotten), CONTRACTS["dclm.documents"]
    with pytest.raises(WatershedError, match=r"version 2 of dclm\.documents held rows that were removed by order"):
        lake.table(contract.name, 2)
    connection = connect(forgotten)
    with pytest.raises(WatershedError, match="removed by order"):
        query(connection, "SELECT count(*) FROM dclm.documents AT (VERSION => 2)")
    latest = query(connection, f"SELECT count(*) FROM dclm.documents AT (VERSION => {lake.version(contract.name)})")
    assert latest
    assert latest.fetchall() == [(5,)]
    shown = card(contract, table_state(lake, contract))
    assert "versions that cannot be read any more: 2 to 3" in shown
    # A table that never held it is as it was.
    assert lake.table("dclm.pool", lake.version("dclm.pool")).to_pyarrow_table().num_rows == 1


def test_the_storage_is_sound_and_nothing_is_due_because_of_it(forgotten: Settings) -> None:
    lake = Lake.of(forgotten)
    for name in ("dclm.documents", "dclm.spans", "evals.examples"):
        assert verify(lake, CONTRACTS[name]).faults == ()
        assert lake.written(name)[""].fingerprint == "f" * 16


def test_a_run_again_an_append_and_maintenance_bring_nothing_back(forgotten: Settings) -> None:
    lake = Lake.of(forgotten)
    write_rows(forgotten, {name: good_rows()[name] for name in ("dclm.documents", "dclm.verdicts", "dclm.spans")})
    table = lake.table("dclm.documents")
    table.optimize.compact()
    lake.record("dclm.documents")
    lake.table("dclm.documents").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    lake.record("dclm.documents")
    assert files_with(Path(lake.root), GONE) == []
    assert lake.read("dclm.documents", ["doc_id"]).num_rows == 5


def test_addresses_below_a_prefix_go_and_later_ones_never_come(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents", "dclm.verdicts"))
    lake = Lake.of(settings)
    plan = plan_removal(lake, connect(settings), [], ["https://lake.example/1"], [])
    assert plan.keys == {"dclm.documents.doc_id": (doc_id(1),)}
    carry_out(lake, order_removal(lake, plan, ""), [])
    rows = good_rows()["dclm.documents"]
    fresh = [
        {**rows[0], "doc_id": doc_id(50 + n), "url": url} for n, url in enumerate((None, f"{URL}1", f"{URL[:-1]}17"))
    ]
    lake.append(CONTRACTS["dclm.documents"], pa.Table.from_pylist(fresh, CONTRACTS["dclm.documents"].schema), "a" * 16)
    ids = set(lake.read("dclm.documents", ["doc_id"])["doc_id"].to_pylist())
    assert {doc_id(50), doc_id(51)} <= ids
    assert not {doc_id(1), doc_id(52)} & ids
    assert lake.read("dclm.verdicts").num_rows == 5
    for prefix in ("lake.example", "https://", "https:///people"):
        with pytest.raises(WatershedError, match="not the beginning of a web address"):
            plan_removal(lake, connect(settings), [], [prefix], [])


def test_an_order_that_cannot_be_read_stops_every_write(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake = Lake.of(settings)
    order_removal(lake, plan_removal(lake, connect(settings), [GONE], [], []), "")
    (path,) = Path(lake.root, "_removals").glob("*.json")
    path.write_text(path.read_text()[:50])
    with pytest.raises(WatershedError, match="cannot be read"):
        write_rows(settings, {"dclm.documents": good_rows()["dclm.documents"]})


def test_a_writer_that_began_before_the_order_removes_its_rows_itself(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake = Lake.of(settings)
    before = lake.removals()
    plan = plan_removal(lake, connect(settings), [GONE], [], [])
    order, _ = carry_out(lake, order_removal(lake, plan, ""), [])
    # What a commit of such a writer leaves behind, which compared its rows with the list before the order.
    from deltalake import write_deltalake

    contract = CONTRACTS["dclm.documents"]
    rows = pa.Table.from_pylist([good_rows()[contract.name][2]], schema=contract.schema)
    plain = rows.cast(pa.schema([field.remove_metadata() for field in rows.schema]))
    write_deltalake(lake.path(contract.name), plain, mode="append")
    lake.record(contract.name)
    assert left_in_table(lake, contract, Removals.of([order]))
    lake.clear_again(contract, before)
    assert left_in_table(lake, contract, Removals.of([order])) == []
    assert files_with(Path(lake.root), URL) == []


def test_a_file_that_may_be_about_to_be_committed_is_left_and_reported(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake, contract = Lake.of(settings), CONTRACTS["dclm.documents"]
    stray = Path(lake.path(contract.name), "global_shard=0", "local_shard=0", "part-stray.parquet")
    pq.write_table(pa.table({"doc_id": [GONE]}), stray)
    plan = plan_removal(lake, connect(settings), [GONE], [], [])
    order, left = carry_out(lake, order_removal(lake, plan, ""), [])
    assert (order.done_at, len(left)) == (None, 1)
    assert stray.exists()
    day_before = stray.stat().st_mtime - 2 * 86_400
    os.utime(stray, (day_before, day_before))
    (again,) = unfinished(lake)
    order, left = carry_out(lake, again, [])
    assert (left, stray.exists(), bool(order.done_at)) == ([], False, True)


def test_rows_of_answers_stay_without_the_words_of_the_paper() -> None:
    contract = CONTRACTS["scholar.references"]
    rows = pa.Table.from_pylist(
        [{**row, "quoted": "Water runs"} for row in good_rows()[contract.name]], contract.schema
    )
    order = new_order(0, "", {"scholar.passages.passage": ["5" * 32]}, {})
    kept = kept_rows(contract, rows, Removals.of([order])).to_pylist()
    assert [(row["quoted"], row["title"], row["paper"]) for row in kept] == [("", None, "water")]


def test_a_paper_is_removed_with_its_passages_and_vectors(tmp_path: Path) -> None:
    names = tuple(name for name in CONTRACTS if name.startswith("scholar."))
    settings = write_lake(tmp_path, names)
    lake = Lake.of(settings)
    plan = plan_removal(lake, connect(settings), ["water"], [], [])
    assert plan.keys["scholar.passages.passage"] == ("5" * 32,)
    _, left = carry_out(lake, order_removal(lake, plan, ""), [])
    assert left == []
    assert [lake.read(name).num_rows for name in ("scholar.papers", "scholar.passages", "scholar.embeddings")] == [
        0
    ] * 3
    assert files_with(Path(lake.root), "Water runs downhill.") == []
    assert lake.read("scholar.answers").num_rows == 1


def written_shards(settings: Settings) -> Path:
    """Write the training shard of the small lake as its writer does, and return the folder of the data set."""
    lake = Lake.of(settings)
    folder = lake.folder("dclm.shards", "da7a5e7")
    from spark_jobs.shards.tokenizer import TokenizerRecipe, tokenizer_bytes, train_tokenizer

    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(["water runs down the hill"] * 50, TokenizerRecipe().vocab_size)
    (folder / "tokenizer.json").write_bytes(tokenizer_bytes(tokenizer))
    writer = ShardWriter(folder, folder / "tokenizer.json", ShardRecipe(sequence_length=9, shard_tokens=64))
    import numpy as np

    from spark_jobs.shards.format import parse_line, write_manifest
    from spark_jobs.shards.publish import shard_row

    tokens = [np.full(count, 1 + n, np.uint32) for n, count in ((0, 5), (2, 6), (2, 6))]
    stream = lay_out([doc_id(0), GONE, GONE], ["lake.example"] * 3, tokens, 9, np.dtype("<u2"))
    note = writer.keep("train", 0, stream, 100)
    line = parse_line(json.loads(json.dumps(note["line"])))
    write_manifest(folder / "train", [line])
    rows = [shard_row(note, writer.folder, lake, "da7a5e7"), good_rows()["dclm.shards"][1]]
    write_rows(settings, {"dclm.shards": rows})
    return folder


@pytest.mark.slow
def test_the_tokens_of_a_document_go_from_its_shard_and_those_of_others_stay(tmp_path: Path) -> None:
    settings = write_lake(tmp_path)
    folder = written_shards(settings)
    lake, holders = Lake.of(settings), [Shards()]
    plan = plan_removal(lake, connect(settings), [GONE], [], holders)
    assert plan.held == ("dclm/shards/da7a5e7/train/shard_00000000.tar: tokens of 2 spans",)
    assert any("1 nearly equal copy stays" in words for words in plan_removal(
        lake, connect(settings), [doc_id(0)], [], holders).advice)  # fmt: skip
    _, left = carry_out(lake, order_removal(lake, plan, ""), holders)
    assert left == []
    tokens = read_shard(folder / "train" / "shard_00000000.tar").reshape(-1).tolist()
    assert tokens == [1] * 5 + [0] * 15
    row = next(row for row in lake.read("dclm.shards").to_pylist() if row["split"] == "train")
    manifest = json.loads((folder / "train" / "manifest.jsonl").read_text())
    assert row["sha256"] == manifest["sha256"] == digest_of_file(folder / "train" / "shard_00000000.tar")
    assert {each["source"]: each["tokens"] for each in row["sources"]} == {"lake.example": 6, "removed": 14}
    writer = ShardWriter(folder, folder / "tokenizer.json", ShardRecipe(sequence_length=9, shard_tokens=64))
    assert writer.is_finished("train", 0)
    assert pq.read_table(folder / MADE / "train" / "shard_00000000.parquet")["doc_id"].to_pylist() == [doc_id(0)]
    assert lake.written("dclm.shards")[""].fingerprint == "f" * 16


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a file."""
    from catalog.files import sha256_of

    return sha256_of(path)


def test_the_command_plans_carries_out_and_verifies(tmp_path: Path, watershed) -> None:
    settings = write_lake(tmp_path, ("dclm.pool", "dclm.documents", "dclm.verdicts"))
    planned = watershed(settings, "forget", GONE)
    assert planned.exit_code == 0, planned.output
    assert "would: dclm.verdicts: 1 rows are deleted" in planned.stdout
    assert "Nothing was changed" in planned.stdout
    assert Lake.of(settings).read("dclm.documents").num_rows == 6
    done = watershed(settings, "forget", GONE, "--yes")
    assert done.exit_code == 0, done.output
    assert "proof: 0 = SELECT count(*) FROM dclm.documents" in done.stdout
    assert watershed(settings, "forget", "--verify").exit_code == 0
    again = watershed(settings, "forget", GONE)
    assert again.exit_code == 2
    assert "was removed already" in again.stderr
    assert "was removed from the lake" in watershed(settings, "trace", GONE).stderr
    assert watershed(settings, "forget", "no such id").exit_code == 2
    assert watershed(settings, "forget").exit_code == 2


def test_random_sequences_agree_with_a_model_in_memory() -> None:
    """The small form of `python -m benchmarks.removal_campaign`."""
    found = campaign(4, 6)
    assert found.wrong == []
    assert found.steps.total() == 4 * 8
    assert found.steps.keys() <= {*STEPS}


@pytest.mark.campaign
def test_a_thousand_random_sequences_agree_with_a_model_in_memory() -> None:
    found = campaign(1000, 10, workers=2)
    assert found.wrong == []
    assert found.refused > 1000
