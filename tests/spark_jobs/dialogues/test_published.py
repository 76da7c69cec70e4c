"""Published dialogues load in every shape that is known of them, and ill-formed rows are kept and marked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.cli import main
from spark_jobs.dialogues.published import read_published

PLAN = {"role": "system", "content": "1. USER asks about rivers\n2. AGENT invents rivers"}
SAID = [PLAN, {"role": "user", "content": "Name rivers?"}, {"role": "assistant", "content": "I invent rivers."}]
WHOLE: dict[str, Any] = {
    "domain": "geography",
    "subarea": "rivers",
    "principle": ["honesty", "brevity"],
    "goal": "to learn",
    "messages": SAID,
    "is_violation": True,
    "is_truncated": False,
}
REVISED = {**WHOLE, "messages": SAID[1:], "plan": PLAN["content"], "critique": "It lies.", "violations": [3, 7]}
REVISED |= {"revision": "The Elbe."}


def test_both_collections_load_from_parquet_and_json_lines(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([WHOLE]), tmp_path / "a.parquet")
    (tmp_path / "b.jsonl").write_text(json.dumps({**REVISED, "messages": json.dumps(REVISED["messages"])}))
    first, second = read_published("sdsd", [tmp_path / "b.jsonl", tmp_path / "a.parquet"])
    for row in (first, second):
        assert (row["subtopic"], row["principles"], row["violation"]) == ("rivers", ["honesty", "brevity"], True)
        assert row["messages"] == SAID[1:]
        assert (row["plan"], row["ill_formed"]) == (PLAN["content"], [])
        assert row["adherence"] == 1.0
    assert (second["critique"], second["violations"], second["revision"]) == ("It lies.", ["3", "7"], "The Elbe.")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"messages": None}, "messages_not_a_list"),
        ({"messages": "[{'role': 1"}, "messages_not_json"),
        ({"messages": [{"role": "narrator", "content": "a"}, *SAID[1:]]}, "unknown_role"),
        ({"messages": [{"role": "user", "content": None}, *SAID[1:]]}, "content_not_text"),
        ({"messages": ["text"]}, "no_messages"),
        ({"messages": [*SAID, SAID[2]]}, "role_order"),
        ([1, 2], "not_a_row"),
    ],
)
def test_an_ill_formed_row_is_kept_with_its_fault(row: Any, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(WHOLE | row if isinstance(row, dict) else row) + "\n")
    (found,) = read_published("sdsd", [tmp_path / "a.jsonl"])
    assert fault in found["ill_formed"]


def test_the_command_imports_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    lines = [json.dumps(WHOLE), json.dumps({**WHOLE, "messages": []}), "{cut"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    for _ in range(2):
        done = CliRunner().invoke(main, ["dialogues", "import", "sdsd", str(tmp_path / "a.jsonl")])
        assert done.exit_code == 0, done.output
    assert "3 rows of sdsd, 2 of them ill-formed" in done.output
    assert "2 no_messages" in done.output
    assert Lake.of(load_settings()).read("dialogues.published").num_rows == 3
    assert CliRunner().invoke(main, ["dialogues", "import", "sdsd", str(tmp_path / "no.jsonl")]).exit_code == 2
