"""Reports of the gate have the same content in every format."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest

from catalog.tables import contract
from quality.outcome import Outcome
from quality.report import FORMATS, report

OUTCOMES = [
    Outcome(
        table="dclm.pool", label="bytes__be_between", column="bytes", statement="bytes is at least 0", passed=True,
        observed="1 to 9", rows=3, seconds=0.25,
    ),
    Outcome(
        table="dclm.scores", label="score__be_between", column="score", statement="score is at most 1", passed=False,
        observed="0.1 to 2.0, 2 of 9 values outside", violations=2, rows=9, seconds=0.5, why="a probability",
        examples=({"doc_id": "a\n<&>%,:", "score": 2.0}, {"doc_id": "\x01", "score": math.nan}),
    ),
]  # fmt: skip
MISSING = [contract("dclm.shards")]


def test_text_has_a_line_per_table_a_line_per_failure_and_a_summary() -> None:
    lines = report(OUTCOMES, "text", MISSING).splitlines()
    assert lines[0].split() == ["dclm.pool", "ok", "1", "expectations", "3", "rows", "0.25", "s"]
    assert lines[1].split()[:6] == ["dclm.scores", "FAILED", "1", "of", "1", "expectations"]
    assert lines[2] == (
        "FAILED dclm.scores: expected score is at most 1; observed 0.1 to 2.0, 2 of 9 values outside; "
        "e.g. doc_id='a\\n<&>%,:', score=2.0 | doc_id='\\x01', score=nan  (a probability)"
    )
    assert lines[3:] == ["not made yet: dclm.shards", "2 tables: 1 expectations hold, 1 fails"]


def test_tables_of_families_of_which_none_is_made_are_counted() -> None:
    missing = [contract(name) for name in ("dclm.shards", "moe.models", "moe.metrics", "tulu.rows")]
    line = report(OUTCOMES, "text", missing).splitlines()[3]
    assert line == "not made yet: dclm.shards, all tables of moe (2), tulu (1)"


def test_json_is_strict_and_complete() -> None:
    document = json.loads(
        report(OUTCOMES, "json", MISSING), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert document["passed"] is False
    assert document["not_made"] == ["dclm.shards"]
    assert [outcome["label"] for outcome in document["outcomes"]] == ["bytes__be_between", "score__be_between"]
    assert document["outcomes"][1]["examples"][0] == {"doc_id": "a\n<&>%,:", "score": 2.0}


def test_junit_is_well_formed_with_a_case_per_expectation() -> None:
    root = ElementTree.fromstring(report(OUTCOMES, "junit", MISSING))
    assert (root.get("tests"), root.get("failures")) == ("3", "1")
    (failure,) = root.iter("failure")
    assert "score is at most 1" in (failure.text or "")
    assert [case.get("classname") for case in root.iter("testcase")] == ["dclm.pool", "dclm.scores", "dclm.shards"]
    assert len(list(root.iter("skipped"))) == 1


def test_github_annotations_are_one_line_each_and_escaped() -> None:
    lines = report(OUTCOMES, "github", MISSING).splitlines()
    assert lines[0].startswith("::error title=dclm.scores score__be_between::dclm.scores: expected")
    assert "%25" in lines[0]
    assert lines[1] == "::notice title=dclm.shards::not made yet, not checked"
    assert len(lines) == 3


@pytest.mark.parametrize("format_", FORMATS)
def test_a_report_of_success_mentions_no_failure(format_: str) -> None:
    text = report(OUTCOMES[:1], format_)
    assert "FAILED" not in text
    assert "::error" not in text
    assert "<failure" not in text


WARNED = Outcome(
    table="models.registry", label="dataset__references", column="dataset", statement="dataset is in dclm.pool",
    passed=False, severity="warn", observed="3 of 9 values not found there", violations=3, rows=9,
    examples=({"uuid": "a", "dataset": ""}, {"uuid": "b", "dataset": "x"}),
)  # fmt: skip


def test_a_warning_is_reported_with_its_rows_and_fails_nothing() -> None:
    lines = report([OUTCOMES[0], WARNED], "text").splitlines()
    assert lines[1].split()[:6] == ["models.registry", "ok", "0", "expectations,", "1", "warned"]
    assert lines[2:] == [
        "WARNED models.registry: expected dataset is in dclm.pool; observed 3 of 9 values not found there",
        "  uuid='a', dataset=''",
        "  uuid='b', dataset='x'",
        "  and 1 more",
        "2 tables: 1 expectations hold, 1 warns",
    ]
    document = json.loads(report([WARNED], "json"))
    assert (document["passed"], document["outcomes"][0]["severity"]) == (True, "warn")
    root = ElementTree.fromstring(report([WARNED], "junit"))
    assert (root.get("failures"), len(list(root.iter("failure")))) == ("0", 0)
    assert "uuid='b'" in "".join(element.text or "" for element in root.iter("system-out"))
    assert report([WARNED], "github").startswith("::warning title=models.registry dataset__references::")
