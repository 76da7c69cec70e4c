"""A table is replaced as a whole or not at all, and records the fingerprint of what it was made from."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.inventory import table_state
from catalog.lake import WHOLE, Lake, Part, partition_key
from catalog.literals import partition_sql
from catalog.tables import contract
from tests.small_lake import doc_id, good_rows, row, settings_in

DOCUMENTS, SCORES, RESULTS = contract("dclm.documents"), contract("dclm.scores"), contract("evals.results")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """An empty lake."""
    return Lake.of(settings_in(tmp_path))


def scores(*values: float) -> pa.Table:
    """A score for each of as many documents."""
    return pa.Table.from_pylist(
        [row(SCORES, doc_id=doc_id(n), score=value) for n, value in enumerate(values)], schema=SCORES.schema
    )


def answers(run: str, count: int) -> pa.Table:
    """`count` answers of a run."""
    rows = [row(RESULTS, run=run, question_id=f"q{number}") for number in range(count)]
    return pa.Table.from_pylist(rows, schema=RESULTS.schema)


def test_what_is_written_is_read_back(lake: Lake) -> None:
    lake.replace(SCORES, scores(0.25, 0.5), "a" * 16)
    assert lake.read("dclm.scores").select(SCORES.schema.names).to_pylist() == scores(0.25, 0.5).to_pylist()


def test_a_missing_table_is_an_error_that_says_what_to_do(lake: Lake) -> None:
    assert lake.version("dclm.scores") is None
    assert lake.written("dclm.scores") == {}
    with pytest.raises(WatershedError, match="no Delta table here"):
        lake.read("dclm.scores")


def test_a_write_records_its_fingerprint(lake: Lake) -> None:
    version = lake.replace(SCORES, scores(0.5), "a" * 16)
    assert lake.written("dclm.scores")[WHOLE].fingerprint == "a" * 16
    lake.replace(SCORES, scores(0.5), "b" * 16)
    now = lake.written("dclm.scores")[WHOLE]
    assert (now.fingerprint, now.version) == ("b" * 16, version + 1)


def test_replacing_a_partition_leaves_the_others_and_their_fingerprints(lake: Lake) -> None:
    lake.replace(RESULTS, answers("small", 3), "a" * 16, {"run": "small"})
    lake.replace(RESULTS, answers("large", 2), "b" * 16, {"run": "large"})
    lake.replace(RESULTS, answers("small", 1), "c" * 16, {"run": "small"})
    runs = lake.read("evals.results")["run"].to_pylist()
    assert sorted(runs) == ["large", "large", "small"]
    fingerprints = {key: written.fingerprint for key, written in lake.written("evals.results").items()}
    assert fingerprints == {"run=small": "c" * 16, "run=large": "b" * 16}


def test_several_partitions_are_replaced_in_one_commit_that_keeps_a_fingerprint_of_each(lake: Lake) -> None:
    for number, run in enumerate(("small", "middle", "large")):
        first = lake.replace(RESULTS, answers(run, 3), f"{number}" * 16, {"run": run})
    parts = [Part({"run": "small"}, "a" * 16), Part({"run": "large"}, "b" * 16), Part({"run": "empty"}, "c" * 16)]
    version = lake.replace_parts(RESULTS, pa.concat_tables([answers("small", 1), answers("large", 2)]), parts)
    assert version == first + 1
    assert sorted(lake.read("evals.results")["run"].to_pylist()) == ["large"] * 2 + ["middle"] * 3 + ["small"]
    written = lake.written("evals.results")
    assert {key: (one.fingerprint, one.version) for key, one in written.items()} == {
        "run=small": ("a" * 16, version),
        "run=middle": ("1" * 16, first - 1),
        "run=large": ("b" * 16, version),
        "run=empty": ("c" * 16, version),
    }


def test_rows_outside_the_replaced_partitions_are_refused(lake: Lake) -> None:
    parts = [Part({"run": "small"}, "a" * 16), Part({"run": "large"}, "b" * 16)]
    with pytest.raises(WatershedError, match="was not written"):
        lake.replace_parts(RESULTS, pa.concat_tables([answers("small", 1), answers("middle", 2)]), parts)
    assert lake.written("evals.results") == {}


def test_writers_of_different_partitions_do_not_conflict_even_at_the_first_write(lake: Lake) -> None:
    runs = [f"run-{number}" for number in range(6)]
    with ThreadPoolExecutor(len(runs)) as pool:
        list(pool.map(lambda run: lake.replace(RESULTS, answers(run, 2), run, {"run": run}), runs))
    assert sorted(lake.read("evals.results")["run"].to_pylist()) == sorted(runs * 2)
    assert {key: written.fingerprint for key, written in lake.written("evals.results").items()} == {
        partition_key({"run": run}): run for run in runs
    }


def test_rows_of_another_partition_are_refused(lake: Lake) -> None:
    lake.replace(RESULTS, answers("small", 3), "a" * 16, {"run": "small"})
    with pytest.raises(WatershedError, match="was not written"):
        lake.replace(RESULTS, answers("large", 1), "b" * 16, {"run": "small"})
    assert lake.read("evals.results").num_rows == 3


def test_a_row_that_breaks_a_constraint_is_refused_and_the_previous_version_stays(lake: Lake) -> None:
    version = lake.replace(SCORES, scores(0.5), "a" * 16)
    with pytest.raises(WatershedError, match=r"dclm\.scores was not written") as refused:
        lake.replace(SCORES, scores(0.5, 2.0), "b" * 16)
    assert "\n" not in str(refused.value)
    assert lake.version("dclm.scores") == version
    assert lake.read("dclm.scores").num_rows == 1


def test_a_language_that_does_not_exist_is_refused_by_delta_itself(lake: Lake) -> None:
    rows = good_rows()["dclm.documents"]
    rows[0]["language"] = "xx"
    with pytest.raises(WatershedError, match="was not written"):
        lake.replace(DOCUMENTS, pa.Table.from_pylist(rows, schema=DOCUMENTS.schema), "a" * 16)


def test_a_table_whose_descriptions_have_changed_opens_and_is_written_as_before(lake: Lake) -> None:
    """A contract may be worded anew: its text is neither part of the identity of a table nor of its schema."""

    def worded(contract: Contract, text: str) -> Contract:
        columns = tuple(replace(column, description=f"{text} {column.name}.") for column in contract.columns)
        return replace(contract, description=f"{text} table.", columns=columns)

    old, new = worded(RESULTS, "Old"), worded(RESULTS, "New")
    version = lake.replace(old, answers("small", 2), "a" * 16, {"run": "small"})
    lake.create(new)
    assert lake.version("evals.results") == version, "no commit is made for another comment"
    assert table_state(lake, new).drift == ()
    lake.replace(new, answers("large", 3), "b" * 16, {"run": "large"})
    lake.replace(old, answers("small", 1), "c" * 16, {"run": "small"})
    assert lake.read("evals.results").num_rows == 4
    lake.replace(new, answers("whole", 1), "d" * 16)
    assert lake.read("evals.results").num_rows == 1
    stored = {field.name: field.metadata["comment"] for field in lake.table("evals.results").schema().fields}
    assert stored == {column.name: column.description for column in old.columns}, "the table keeps its comments"


def test_partitions_have_the_names_that_hive_gives_them() -> None:
    assert partition_key(None) == WHOLE == ""
    assert partition_key({"global_shard": 3, "local_shard": 7}) == "global_shard=3/local_shard=7"
    assert partition_sql({"run": "it's", "step": 3}) == "run = 'it''s' AND step = 3"


def test_a_fingerprint_is_computed_from_literals_only(tmp_path: Path) -> None:
    assert fingerprint({"a": 1, "b": (1, 2)}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint(1) != fingerprint("1")
    assert len(fingerprint()) == 16
    with pytest.raises(TypeError, match="not a literal"):
        fingerprint(tmp_path)


def test_an_error_crosses_processes_with_its_cause_and_mend() -> None:
    back = pickle.loads(pickle.dumps(WatershedError("cause", "mend")))
    assert (back.cause, back.mend, str(back)) == ("cause", "mend", "cause; mend")
