"""The assets of the family `tulu` through Dagster: what they make, what is due after a change, and what is sealed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from demo_project import ROOT

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("tulu_project.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    project = tmp_path_factory.mktemp("tulu")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(project)],
        cwd=ROOT,
        env={**os.environ, "WATERSHED_PROJECT": str(project), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


SOURCES = ["a", "b", "dialogues"]
MIXTURES = ["one", "pairs", "two"]
PROPORTIONS = {"tulu.proportions": MIXTURES}
DUE = {
    "at once": {},
    "workers": {},
    "at the end": {},
    "chat template": {"tulu.tokens": SOURCES, **PROPORTIONS},
    "tokenizer": {"tulu.tokens": SOURCES, **PROPORTIONS},
    "file of a source": {
        **{key: ["b"] for key in ("tulu.rows", "tulu.tokens", "tulu.contamination")},
        **{key: ["one", "two"] for key in ("tulu.mixture", "tulu.proportions")},
    },
    "revision of a source": {
        **{key: ["a"] for key in ("tulu.rows", "tulu.tokens", "tulu.contamination")},
        **{key: ["one"] for key in ("tulu.mixture", "tulu.proportions")},
    },
    "evaluation": {
        "tulu.contamination": SOURCES,
        **dict.fromkeys(("tulu.mixture", "tulu.proportions"), MIXTURES),
    },
    "replies of a model": {"tulu.results": ["tuned"], "tulu.comparisons": [""], "tulu.selections": [""]},
}


@pytest.mark.parametrize("change", DUE)
def test_a_change_makes_due_what_depends_on_it_and_nothing_else(made: dict[str, Any], change: str) -> None:
    assert made["due"][change] == DUE[change]


def test_a_mixture_takes_what_filters_and_decontamination_leave(made: dict[str, Any]) -> None:
    facts = {(row["mixture"], row["source"]): row for row in made["tulu.sources"]}
    # Six of the twelve rows of `b` are instances of GSM8K, and one row of `a` has an empty reply.
    counts = {key: (row["rows"], row["dropped"], row["taken"], row["missing"]) for key, row in facts.items()}
    assert counts == {
        ("one", "a"): (20, 1, 19, 1),
        ("one", "b"): (12, 6, 6, 4),
        ("two", "b"): (12, 6, 5, 0),
        ("pairs", "dialogues"): (1, 0, 1, 0),
    }
    reasons = {(row["mixture"], row["source"], row["reason"]) for row in made["tulu.drops"]}
    assert reasons == {("one", "a", "empty_message"), ("one", "b", "contaminated"), ("two", "b", "contaminated")}
    decided = {(r["source"], r["evaluation"], r["rule"]): r["decision"] for r in made["tulu.contamination"]}
    assert len(decided) == 3 * 2 * 2
    assert {key[:2] for key, decision in decided.items() if decision != "keep"} == {("b", "gsm8k")}
    pair = next(row for row in made["tulu.rows"] if row["source"] == "dialogues")
    assert (pair["chosen"], pair["rejected"], pair["repository"]) == (
        "text",
        "In the sea.",
        "dialogues.preferences",
    )


def test_every_row_has_its_provenance_and_effective_shares_are_those_of_its_tokens(made: dict[str, Any]) -> None:
    assert {(row["revision"], row["licence"], row["file"]) for row in made["tulu.rows"]} == {
        ("main", "MIT", "train.jsonl"),
        ("main", "MIT", "dialogues.preferences"),
    }
    tokens = {row["row_id"]: row for row in made["tulu.tokens"]}
    shares = {row["source"]: row for row in made["tulu.proportions"] if row["mixture"] == "one"}
    taken = [row for row in made["tulu.mixture"] if row["mixture"] == "one"]
    trained = {name: sum(tokens[r["row_id"]]["trained_tokens"] for r in taken if r["source"] == name) for name in "ab"}
    assert shares["a"]["row_share"] == 19 / 25
    share = shares["a"]["trained_share"]
    assert share == pytest.approx(trained["a"] / sum(trained.values())) and share > shares["a"]["row_share"]
    assert all(0 < row["trained_tokens"] < row["tokens"] for row in tokens.values() if row["failure"] is None)


def test_models_are_compared_instance_by_instance_without_sealed_results(made: dict[str, Any]) -> None:
    (compared,) = made["tulu.comparisons"]
    assert (compared["model"], compared["baseline"], compared["task"], compared["pairs"]) == (
        "tuned",
        "base",
        "gsm8k",
        40,
    )
    assert compared["difference"] == pytest.approx(15 / 40) and compared["clear"]
    assert compared["low"] < compared["difference"] < compared["high"] and 0 < compared["seen"] < 0.3
    assert {row["task"] for row in made["tulu.results"]} == {"gsm8k"}
    assert {(row["model"], row["task"], row["score"]) for row in made["tulu.sealed_results"]} == {
        ("base", "href", 0.0),
        ("tuned", "href", 1.0),
    }
    chosen = {row["model"]: row["chosen"] for row in made["tulu.selections"]}
    assert chosen == {"base": False, "tuned": True}


def test_a_selection_that_reads_an_unseen_result_fails_and_the_look_is_recorded(made: dict[str, Any]) -> None:
    assert made["selection"] != "passed" and "tulu.selections" in made["selection"]
    assert {(row["model"], row["task"], row["command"]) for row in made["looks"]} == {
        ("base", "href", "tulu.selections"),
        ("tuned", "href", "tulu.selections"),
    }


def test_a_data_set_whose_commit_is_not_known_can_be_refused(made: dict[str, Any]) -> None:
    # By default it is warned of: all tables of the project were made.
    assert "no commit of org/a is declared or recorded" in made["unpinned"]
    assert "declare the commit as `revision` of a" in made["unpinned"]
