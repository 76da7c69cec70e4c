"""The cheatsheet's rows: read with bounds, repaired by rules with reasons, merged, and checked for contributors."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WatershedError
from catalog.tables.cheatsheet import QUESTIONS
from catalog.tables.cheatsheet.taxonomy import CATEGORIES, STAGES
from spark_jobs.cheatsheet.checking import faults
from spark_jobs.cheatsheet.merging import merged, slug
from spark_jobs.cheatsheet.reading import LARGEST_ENTRY_BYTES, Entry, read_bytes, read_entries
from spark_jobs.cheatsheet.repairing import Draft, category_of, repaired
from spark_jobs.cheatsheet.tables import STARTER, codings, own_file, tables

SHARED = os.environ.get("WATERSHED_SHARED")
GOOD = {
    "name": "Lake",
    "description": "A store of tables for data sets.",
    "modalities": ["Text"],
    "categories": ["Data Governance"],
    "date": "5-2024",
    "primary_link": "GitHub",
    "paper_link": "",
    "website_link": "",
    "github_link": "https://github.com/lake/lake",
    "huggingface_link": "",
    "added_by": "Original Authors",
}


def entries(*changes: dict[str, Any] | Any) -> list[Entry]:
    """Rows that differ from a good one by `changes`; what is not an object stands for the whole row."""
    rows = [GOOD | change if isinstance(change, dict) else change for change in changes]
    return read_entries(json.dumps(rows).encode(), "published", "test.json")


def draft(**changes: Any) -> Draft:
    (entry,) = entries(changes)
    return repaired(entry)


def test_a_good_row_is_kept_as_it_is() -> None:
    kept = draft()
    assert kept.repairs == []
    assert (kept.year, kept.month, kept.primary_link) == (2024, 5, "https://github.com/lake/lake")
    assert faults(entries({})) == []


ARXIV = "https://arxiv.org/abs/1909.01285"


@pytest.mark.parametrize(
    ("changes", "rule", "expected"),
    [
        ({"name": " Lake "}, "spaces", {"name": "Lake"}),
        ({"date": "2020"}, "date_without_month", {"year": 2020, "month": None}),
        ({"date": "7-1905"}, "date_serial", {"year": None, "month": None}),
        ({"date": "7-1905", "paper_link": ARXIV}, "date_serial", {"year": 2019, "month": 9}),
        ({"date": "9-2929", "paper_link": ARXIV}, "date_impossible", {"year": 2019, "month": 9}),
        ({"date": "13-2020"}, "date_prose", {"year": None}),
        ({"date": "A taxonomy of harms."}, "date_prose", {"year": None}),
        ({"date": ""}, "date_empty", {"year": None}),
        ({"modalities": ["Any kind of modality"]}, "modality_any", {"modalities": ["Text", "Speech", "Vision"]}),
        ({"modalities": ["Text", "Smell"]}, "modality_unknown", {"modalities": ["Text"]}),
        ({"modalities": "Text"}, "not_list", {"modalities": ["Text"]}),
        ({"modalities": [1, 2]}, "not_list", {"modalities": []}),
        (
            {"categories": ["Model Evaluation: Risks & Harms"]},
            "category_alias",
            {"categories": ["Risks & Harms Evaluation"]},
        ),
        ({"categories": ["LLM GPU energy consumption"]}, "category_unknown", {"categories": []}),
        ({"description": 7}, "not_text", {"description": ""}),
        ({"primary_link": "Paper"}, "primary_empty", {"primary_link": "https://github.com/lake/lake"}),
        ({"primary_link": "A standard"}, "primary_unknown", {"primary_link": "https://github.com/lake/lake"}),
        ({"website_link": "javascript:alert(1)"}, "not_a_link", {}),
        ({"website_link": "http://[bad"}, "not_a_link", {}),
        ({"added_by": "Apache 2"}, "added_by_shifted", {"added_by": None}),
        ({"huggingFace_link": ""}, "key_misspelt", {}),
        ({"licence": "MIT"}, "key_unknown", {}),
    ],
)
def test_a_fault_is_repaired_with_a_reason(changes: dict[str, Any], rule: str, expected: dict[str, Any]) -> None:
    found = draft(**changes)
    assert [repair.rule for repair in found.repairs] == [rule]
    assert found.repairs[0].reason
    assert {name: getattr(found, name) for name in expected} == expected
    assert len(faults(entries(changes))) >= 1


def test_a_missing_field_is_reported() -> None:
    row = {key: value for key, value in GOOD.items() if key != "date"}
    (entry,) = read_entries(json.dumps([row]).encode(), "published", "test.json")
    assert [(repair.field, repair.rule) for repair in repaired(entry).repairs] == [
        ("date", "key_missing"),
        ("date", "date_empty"),
    ]


@pytest.mark.parametrize(
    ("links", "primary", "expected"),
    [
        # The host of the address says which field it belongs to.
        ({"github_link": "https://huggingface.co/lake"}, "GitHub", ("huggingface_link", "https://huggingface.co/lake")),
        (
            {"github_link": "", "website_link": "https://github.com/a/b"},
            "GitHub",
            ("github_link", "https://github.com/a/b"),
        ),
        # The row states which kind its only link is.
        (
            {"github_link": "", "paper_link": "https://cnil.example/how"},
            "Webpage",
            ("website_link", "https://cnil.example/how"),
        ),
        (
            {"github_link": "", "website_link": "https://doi.example/1"},
            "Paper",
            ("paper_link", "https://doi.example/1"),
        ),
    ],
)
def test_a_link_in_the_wrong_field_is_moved(links: dict[str, str], primary: str, expected: tuple[str, str]) -> None:
    found = draft(primary_link=primary, **links)
    field, link = expected
    assert [found.links[name] for name in found.links if found.links[name]] == [link]
    assert found.links[field] == link == found.primary_link
    assert "link_in_wrong_field" in {repair.rule for repair in found.repairs}


def test_a_page_of_a_hub_remains_a_web_page() -> None:
    found = draft(github_link="", website_link="https://huggingface.co/blog/lake", primary_link="Webpage")
    assert found.repairs == []
    assert found.links["website_link"] == "https://huggingface.co/blog/lake"


def test_every_category_is_known_by_its_name_its_aliases_and_with_its_stage_in_front() -> None:
    for category in CATEGORIES:
        for name in (category.name, *category.aliases):
            assert category_of(name) == category.name
            assert category_of(f"{category.stage}: {name}") == category.name
    assert {category.stage for category in CATEGORIES} == set(STAGES)


PAPER = "https://arxiv.org/abs/2310.20707"


@pytest.mark.parametrize(
    ("first", "other", "reason"),
    [
        ({}, {}, "an exact duplicate"),
        ({"name": "LLaMA-Factory"}, {"name": "LLaMA Factory", "date": "6-2023"}, "the same name"),
        (
            {"name": "What's In My Big Data?", "paper_link": PAPER},
            {"name": "WIMBD", "paper_link": PAPER},
            "the same paper, and WIMBD abbreviates the name",
        ),
        (
            {"name": "Training Compute-Optimal Large Language Models", "paper_link": PAPER},
            {"name": "Training Compute-Optimal Language Models", "paper_link": PAPER},
            "the same paper, and nearly the same name",
        ),
        ({"name": "C4", "paper_link": PAPER}, {"name": "mC4", "paper_link": PAPER}, None),
        ({"name": "HELM classic"}, {"name": "HELM lite"}, None),
    ],
)
def test_rows_of_one_resource_are_merged_and_others_are_not(
    first: dict[str, Any], other: dict[str, Any], reason: str | None
) -> None:
    resources = merged([repaired(entry) for entry in entries(first, other)])
    assert [why for resource in resources for _, why in resource.rows] == (["", reason] if reason else ["", ""])
    assert len(resources) == (1 if reason else 2)


def test_a_merged_resource_has_what_its_rows_have_together() -> None:
    one = {"date": "7-2023", "modalities": ["Vision"], "description": "Short text."}
    two = {
        "date": "4-2023",
        "categories": ["Data Auditing"],
        "paper_link": PAPER,
        "description": "A longer description.",
    }
    (resource,) = merged([repaired(entry) for entry in entries(one, two)])
    found = resource.draft
    assert (found.year, found.month) == (2023, 4)
    assert found.modalities == ["Text", "Vision"]
    assert found.categories == ["Data Auditing", "Data Governance"]
    assert found.links["paper_link"] == PAPER
    assert found.description == "A longer description."


def test_identifiers_are_unique_and_readable() -> None:
    assert slug("AI4Bhārat: Indic NLP ") == "ai4bharat-indic-nlp"
    assert slug("The People’s Speech") == slug("The People's Speech") == "the-peoples-speech"
    resources = merged([repaired(entry) for entry in entries({"name": "湖"}, {"name": "河"}, {"name": "!湖"})])
    names = [resource.resource for resource in resources]
    assert len(set(names)) == len(names) >= 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "a text, not an object"),
        (None, "null, not an object"),
        ({"name": "  "}, "no name"),
        ({"name": 5}, "no name"),
        ({"description": "x" * LARGEST_ENTRY_BYTES}, "more than"),
    ],
)
def test_a_row_that_cannot_be_used_is_kept_and_rejected(row: Any, reason: str) -> None:
    made = tables(json.dumps([GOOD, GOOD | row if isinstance(row, dict) else row]).encode())
    (rejected,) = (row for row in made["cheatsheet.raw"].to_pylist() if row["outcome"] == "rejected")
    assert reason in rejected["reason"]
    assert rejected["resource"] is None
    assert len(rejected["entry"]) <= LARGEST_ENTRY_BYTES


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "not JSON"),
        (b"{}", "an object, not a list"),
        (b"[1,", "not JSON"),
        (b'["\xff"]', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_list_is_refused(content: bytes, cause: str) -> None:
    with pytest.raises(WatershedError, match=cause):
        tables(content)


def test_half_a_surrogate_pair_becomes_text_that_can_be_stored() -> None:
    made = tables(json.dumps([GOOD | {"name": "Lake \ud800"}]).encode())
    assert "Lake \\ud800" in made["cheatsheet.resources"]["name"].to_pylist()


def test_every_row_is_accounted_for() -> None:
    content = json.dumps([GOOD, GOOD, GOOD | {"name": "River", "date": "7-1905"}, 5]).encode()
    made = tables(content)
    raw = [row for row in made["cheatsheet.raw"].to_pylist() if row["source"] == "published"]
    assert [row["outcome"] for row in raw] == ["kept", "merged", "repaired", "rejected"]
    assert [bool(row["reason"]) for row in raw] == [False, True, True, True]
    assert [json.loads(row["entry"]) for row in raw] == json.loads(content)


def test_only_new_rows_of_a_contribution_are_checked() -> None:
    old = entries({"name": "Old", "date": "7-1905"})
    new = entries({"name": "Old", "date": "7-1905"}, {"name": "OLD!"}, {"name": "River", "date": "may 2024"})
    found = faults(new, old)
    assert [(fault.position, fault.field) for fault in found] == [(1, "name"), (2, "date")]
    assert "the same resource" in found[0].cause
    assert "7-2023" in found[1].mend


def test_a_row_that_is_added_a_second_time_is_a_fault() -> None:
    (fault,) = faults(entries({}, {}), entries({}))
    assert (fault.position, fault.field) == (1, "name")
    assert "an exact duplicate" in fault.cause


def test_the_starter_set_has_no_fault_and_every_coding_answers_its_question() -> None:
    assert faults(read_entries(own_file(STARTER), "starter", STARTER)) == []
    for coding in codings():
        assert coding["value"] in QUESTIONS[coding["question"]]
        assert coding["reason"]
    keys = [(coding["resource"], coding["question"]) for coding in codings()]
    assert len(set(keys)) == len(keys)


@pytest.mark.skipif(not SHARED, reason="the published file is not here")
def test_every_row_of_the_published_file_is_accounted_for() -> None:
    content = read_bytes(str(Path(str(SHARED)) / "data" / "cheatsheet" / "cheatsheet_resources.json"))
    made = tables(content)
    raw = [row for row in made["cheatsheet.raw"].to_pylist() if row["source"] == "published"]
    assert Counter(row["outcome"] for row in raw) == {"kept": 225, "repaired": 48, "merged": 8}
    assert [json.loads(row["entry"]) for row in raw] == json.loads(content)
    assert {coding["resource"] for coding in codings()} <= {row["resource"] for row in raw}
    # No row is hidden by an alias: all rows but those of the one label without a category are in all their categories.
    unknown = [row for row in made["cheatsheet.repairs"].to_pylist() if row["rule"] == "category_unknown"]
    assert [row["before"] for row in unknown] == ["LLM GPU energy consumption"]
    assert all(row["categories"] and row["modalities"] for row in made["cheatsheet.resources"].to_pylist())
