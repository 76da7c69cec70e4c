"""A recipe on plain files: the kept documents, the reasons for the others, and equal results for any split of work."""

from __future__ import annotations

import html
import json
import os
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.contamination.rules import RULES
from spark_jobs.curate.explain import explain_document
from spark_jobs.curate.inputs import Source, find_sources
from spark_jobs.curate.report import funnel, write_report
from spark_jobs.curate.results import claimed
from spark_jobs.curate.run import Outcome, curate, usual_workers
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import Recipe

RECIPE = """\
name: made
description: Prose of twenty words or more, without lines of one word.
source: made here
steps:
  - edit: remove_urls
    source: made here
  - rule: words_minimum
    statistic: words
    keep: ">="
    threshold: 20
    source: made here
  - edit: keep_lines_of_length
    min_words: 2
    source: made here
  - rule: words_removed_ratio_maximum
    statistic: words_removed_ratio
    since: keep_lines_of_length
    keep: "<="
    threshold: 0.2
    source: made here
deduplicate:
  - method: minhash
    source: made here
"""
PROSE = " ".join(f"word{number} of a sentence that goes on" for number in range(40))
OTHER = " ".join(f"thing{number} in another text of some length" for number in range(40))
DOCUMENTS = {
    "long": PROSE,
    "longer": f"{PROSE} with an end of its own",
    "other": OTHER,
    "again": OTHER,
    "linked": f"See https://www.example.com for more. {' '.join(f'item{n} is described at length' for n in range(30))}",
    "short": "Too few words.",
    "menu": "\n".join(["Home", "About", "Contact"] * 10),
    "empty": "",
    "urls": "https://www.example.com",
}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "made.yaml"
    path.write_text(RECIPE)
    return load_recipe(path)


def write(folder: Path, documents: dict[str, str], files: int = 3) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.jsonl" for number in range(files)]
    names = list(documents)
    for number, path in enumerate(paths):
        rows = [{"id": name, "text": documents[name]} for name in names[number::files]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(path) for path in paths]


def run(inputs: Sequence[str], recipe: Recipe, out: Path, **options: Any) -> Outcome:
    return curate(find_sources(inputs), recipe, out, workers=options.pop("workers", 1), **options)


def rows(path: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(path).to_pylist()}


def test_every_document_has_a_verdict_and_the_kept_ones_a_text(tmp_path: Path, recipe: Recipe) -> None:
    outcome = run(write(tmp_path / "in", DOCUMENTS), recipe, tmp_path / "out")
    verdicts, kept = rows(tmp_path / "out/verdicts.parquet"), rows(tmp_path / "out/kept.parquet")
    assert verdicts.keys() == DOCUMENTS.keys()
    broken = {name: [each["rule"] for each in row["broken"]] for name, row in verdicts.items() if not row["kept"]}
    assert broken == {
        "short": ["words_minimum"],
        "menu": ["empty_after_drop_short_lines"],
        "empty": ["state"],
        "urls": ["empty_after_remove_urls"],
    }
    assert verdicts["short"]["broken"] == [{"rule": "words_minimum", "value": 3.0, "threshold": 20.0}]
    assert verdicts["long"]["words"] == len(PROSE.split())
    assert kept.keys() == {"longer", "again", "linked"}
    assert "example.com" not in kept["linked"]["text"]
    assert kept["linked"]["text"].startswith("See")
    assert verdicts["linked"]["edited_bytes"] == len(kept["linked"]["text"]) < verdicts["linked"]["text_bytes"]
    duplicates = rows(tmp_path / "out/duplicates.parquet")
    assert {name: (row["kept"], row["kept_id"], row["cluster_size"]) for name, row in duplicates.items()} == {
        "long": (False, "longer", 2),
        "longer": (True, "longer", 2),
        "other": (False, "again", 2),
        "again": (True, "again", 2),
    }
    assert funnel(recipe, outcome)[-1] == ("kept", 3, 0, 0)
    assert not (tmp_path / "out/.curate").exists()


def test_workers_and_the_cut_into_files_change_nothing(tmp_path: Path, recipe: Recipe) -> None:
    one = write(tmp_path / "one", DOCUMENTS, files=3)
    run(one, recipe, tmp_path / "a", workers=1)
    run(one, recipe, tmp_path / "b", workers=2)
    for name in ("kept", "verdicts", "duplicates", "index"):
        assert (tmp_path / f"a/{name}.parquet").read_bytes() == (tmp_path / f"b/{name}.parquet").read_bytes()
    run(write(tmp_path / "whole", DOCUMENTS, files=1), recipe, tmp_path / "c")
    for name in ("kept", "verdicts", "duplicates"):
        assert rows(tmp_path / f"a/{name}.parquet") == rows(tmp_path / f"c/{name}.parquet")


def test_what_is_done_stays_done_when_an_input_is_damaged(tmp_path: Path, recipe: Recipe) -> None:
    inputs = write(tmp_path / "in", DOCUMENTS)
    whole = Path(inputs[2]).read_text()
    Path(inputs[2]).write_text(whole[:-10])
    with pytest.raises(WatershedError, match=r"2.jsonl:3: not valid JSON"):
        run(inputs, recipe, tmp_path / "out")
    assert not (tmp_path / "out/kept.parquet").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("tally.json")}
    assert len(done) == 2
    Path(inputs[2]).write_text(whole)
    # Where an input's part lies is known; that it is not made again shows in the file itself.
    for path in done:
        tally = json.loads(path.read_text())
        path.write_text(json.dumps({**tally, "bytes": 10**6}))
    outcome = run(inputs, recipe, tmp_path / "out")
    assert outcome.tally.bytes > 2 * 10**6
    assert rows(tmp_path / "out/verdicts.parquet").keys() == DOCUMENTS.keys()


def test_a_recipe_that_finds_no_copies_is_not_compared_with_an_earlier_run(tmp_path: Path, recipe: Recipe) -> None:
    inputs = write(tmp_path / "in", DOCUMENTS)
    with pytest.raises(WatershedError, match="recipe made finds no copies"):
        run(inputs, replace(recipe, deduplicate=()), tmp_path / "out", against=[tmp_path / "first"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("method", "key"), [("exact", "text"), ("url", "url")])
def test_equal_texts_and_urls_are_those_that_a_dictionary_finds(tmp_path: Path, method: str, key: str) -> None:
    draw = random.Random(1)
    documents = [
        {"id": f"d{id_:03d}", "text": f"said {draw.randrange(60)}" + " é" * draw.randrange(3)}
        | {"url": draw.choice([None, f"https://example.org/{draw.randrange(40)}"])}
        for id_ in draw.sample(range(1000), 200)
    ]
    groups: dict[str, list[tuple[int, str]]] = {}
    for document in documents:
        if document[key] is not None:
            groups.setdefault(str(document[key]), []).append(
                (-len(str(document["text"]).encode()), str(document["id"]))
            )
    expected = {id_: (min(group)[1], len(group)) for group in groups.values() for _, id_ in group if len(group) > 1}
    assert len(expected) > 50
    path = tmp_path / "made.yaml"
    path.write_text(RECIPE.replace("threshold: 20", "threshold: 0").replace("method: minhash", f"method: {method}"))
    for seed in (1, 2):
        random.Random(seed).shuffle(documents)
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
        out = tmp_path / str(seed)
        run([str(tmp_path / "in.jsonl")], load_recipe(path), out)
        found = rows(out / "duplicates.parquet")
        assert {id_: (row["kept_id"], row["cluster_size"]) for id_, row in found.items()} == expected
        assert all(row["kept"] == (id_ == row["kept_id"]) for id_, row in found.items())


def test_paragraphs_that_came_before_are_removed(tmp_path: Path) -> None:
    recipe_path = tmp_path / "made.yaml"
    recipe_path.write_text(RECIPE.replace("method: minhash", "method: paragraphs"))
    documents = {"first": f"{PROSE}\n{OTHER}", "copy": f"{PROSE}\n{OTHER}", "half": f"{OTHER}\n{PROSE[::-1]} at last"}
    run(write(tmp_path / "in", documents, files=1), load_recipe(recipe_path), tmp_path / "out")
    kept, duplicates = rows(tmp_path / "out/kept.parquet"), rows(tmp_path / "out/duplicates.parquet")
    assert kept.keys() == {"first", "half"}
    assert OTHER not in kept["half"]["text"]
    assert duplicates.keys() == {"copy", "half"}
    assert (duplicates["copy"]["kept"], duplicates["half"]["kept"]) == (False, True)
    assert duplicates["half"]["removed_bytes"] == len(documents["half"]) - len(kept["half"]["text"])


def test_two_documents_of_one_id_are_refused(tmp_path: Path, recipe: Recipe) -> None:
    inputs = [*write(tmp_path / "a", {"x": PROSE}, 1), *write(tmp_path / "b", {"x": OTHER}, 1)]
    with pytest.raises(WatershedError, match=r"ids are not unique: 'x' \(2 documents\); "):
        run(inputs, recipe, tmp_path / "out")


def test_steps_that_change_nothing_in_a_large_input_cause_a_warning(tmp_path: Path, recipe: Recipe) -> None:
    many = {f"d{number}": f"{number} {PROSE[:200]} {number * 7919}" for number in range(10_000)}
    outcome = run(write(tmp_path / "in", many, 1), recipe, tmp_path / "out")
    assert "edit remove_urls changed none of 10,000 documents" in outcome.warnings
    assert "rule words_minimum dropped none of 10,000 documents" in outcome.warnings


def test_the_report_shows_funnel_histograms_and_samples(tmp_path: Path, recipe: Recipe) -> None:
    documents = {**DOCUMENTS, "script": "<script>alert(1)</script>"}
    outcome = run(write(tmp_path / "in", documents), recipe, tmp_path / "out")
    page = write_report(tmp_path / "out", recipe, outcome).read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert len(re.findall("<svg", page)) == 2
    assert all(rule in page for rule in ("words_minimum", "empty_after_drop_short_lines", "copies: minhash"))


def test_a_document_is_explained_step_by_step(tmp_path: Path, recipe: Recipe) -> None:
    inputs = write(tmp_path / "in", DOCUMENTS)
    run(inputs, recipe, tmp_path / "out")
    explanation = "\n".join(explain_document(find_sources(inputs), recipe, "menu", tmp_path / "out"))
    assert re.search(r"keep_lines_of_length .* NOTHING LEFT", explanation)
    assert "-Contact" in explanation
    assert "verdict: dropped, breaks 1 rules, empty_after_drop_short_lines first" in explanation
    copy = "\n".join(explain_document(find_sources(inputs), recipe, "other", tmp_path / "out"))
    assert re.search(r"words_minimum +\d+ +kept >= 20 +ok", copy)
    assert "copies: exact, dropped: same text as the kept copy: again, similarity 1.000" in copy
    with pytest.raises(WatershedError, match="no document is called 'nobody'"):
        list(explain_document(find_sources(inputs), recipe, "nobody", tmp_path / "out"))


def test_stretches_that_stand_earlier_are_removed(tmp_path: Path) -> None:
    recipe_path = tmp_path / "made.yaml"
    recipe_path.write_text(RECIPE.replace("method: minhash", "method: substrings\n    length: 100"))
    middle = OTHER[200:500]
    documents = {"whole": OTHER, "quote": f"{PROSE} {middle} and so on", "copy": OTHER}
    run(write(tmp_path / "in", documents, files=1), load_recipe(recipe_path), tmp_path / "out")
    kept, duplicates = rows(tmp_path / "out/kept.parquet"), rows(tmp_path / "out/duplicates.parquet")
    assert kept["whole"]["text"] == OTHER
    assert "copy" not in kept
    assert middle not in kept["quote"]["text"]
    assert len(documents["quote"]) - len(kept["quote"]["text"]) == duplicates["quote"]["removed_bytes"] >= len(middle)


def test_documents_that_hold_evaluation_examples_are_dropped_and_counted(tmp_path: Path, recipe: Recipe) -> None:
    question = " ".join(OTHER.split()[30:50])
    evaluation = tmp_path / "quiz.jsonl"
    examples = [{"query": question, "choices": ["yes", "no"], "gold": 0}, {"query": "Nobody asks this " * 5}]
    evaluation.write_text("".join(json.dumps(example) + "\n" for example in examples))
    short = tmp_path / "sums.jsonl"
    short.write_text('{"query": "1 + 1 ="}\n')
    inputs = write(tmp_path / "in", DOCUMENTS)
    outcome = run(inputs, recipe, tmp_path / "out", evaluations=[evaluation, short])
    assert rows(tmp_path / "out/kept.parquet").keys() == {"longer", "linked"}
    (dropped,) = pq.read_table(tmp_path / "out/contaminated.parquet").to_pylist()
    assert dropped["id"] == "again"
    (match,) = dropped["matches"]
    assert (match["evaluation"], match["example_id"], match["field"], match["share"]) == ("quiz", "0", "question", 1)
    assert match["found"] in OTHER
    report = {row["evaluation"]: row for row in pq.read_table(tmp_path / "out/contamination.parquet").to_pylist()}
    assert (report["quiz"]["examples"], report["quiz"]["examples_hit"], report["sums"]["examples_hit"]) == (2, 1, 0)
    assert any("1 of 1 examples of sums cannot be found" in warning for warning in outcome.warnings)
    assert funnel(recipe, outcome)[-2:] == [("evaluation examples", 3, 1, 1), ("kept", 2, 0, 0)]
    report_page = write_report(tmp_path / "out", recipe, outcome).read_text()
    assert "<code>quiz</code>" in report_page
    assert f"<mark>{html.escape(match['found'])}</mark>" in report_page
    (tmp_path / "broken.jsonl").write_text("{")
    with pytest.raises(WatershedError, match=r"broken.jsonl:1: not valid JSON"):
        run(inputs, recipe, tmp_path / "again", evaluations=[tmp_path / "broken.jsonl"])
    # It is read before any document is judged.
    assert not (tmp_path / "again").exists()


def test_a_recipe_may_choose_the_published_rule_of_decontamination(tmp_path: Path) -> None:
    bar = " ".join(map(str, range(40)))
    (tmp_path / "code.jsonl").write_text(json.dumps({"prompt": f"Sort {OTHER[:200]}", "test": f"f([{bar}])"}) + "\n")
    inputs = write(tmp_path / "in", {"bar": f"{PROSE} {bar} {PROSE}"}, files=1)
    section = "decontaminate:\n  rule: ngram\n  source: GPT-3\n"
    for text, dropped in ((RECIPE, 0), (RECIPE + section, 1)):
        (tmp_path / "made.yaml").write_text(text)
        outcome = run(
            inputs, load_recipe(tmp_path / "made.yaml"), tmp_path / "out", evaluations=[tmp_path / "code.jsonl"]
        )
        assert outcome.contamination is not None
        assert outcome.contamination.dropped == dropped
    given = run(
        inputs, load_recipe(tmp_path / "made.yaml"), tmp_path / "out", evaluations=[tmp_path / "code.jsonl"],
        decontamination=RULES["fields"],
    )  # fmt: skip
    assert given.contamination is not None
    assert (given.contamination.rule, given.contamination.dropped) == ("fields", 0)


@pytest.mark.parametrize(
    ("section", "cause"),
    [
        ("rule: words", "unknown decontamination 'words'"),
        ("rule: ngram\n  n: 0", "n-grams of 0 words"),
        ("rule: ngram\n  n: many", "n 'many' is not a number"),
        ("rule: fields\n  passages: often", "passages 'often'"),
        ("rule: fields\n  width: 3", "unknown field 'width'"),
    ],
)
def test_a_decontamination_that_means_nothing_is_refused_with_its_line(
    tmp_path: Path, section: str, cause: str
) -> None:
    (tmp_path / "made.yaml").write_text(f"{RECIPE}decontaminate:\n  {section}\n  source: somewhere\n")
    with pytest.raises(WatershedError, match=rf"made.yaml:\d+: .*{cause}"):
        load_recipe(tmp_path / "made.yaml")


def test_a_run_without_evaluations_leaves_none_of_an_earlier_ones_files(tmp_path: Path, recipe: Recipe) -> None:
    evaluation = tmp_path / "quiz.jsonl"
    evaluation.write_text(json.dumps({"query": " ".join(OTHER.split()[30:50])}) + "\n")
    inputs, out = write(tmp_path / "in", DOCUMENTS), tmp_path / "out"
    run(inputs, recipe, out, evaluations=[evaluation])
    assert (out / "contaminated.parquet").exists()
    assert "contaminated.parquet" in json.loads((out / "manifest.json").read_text())["files"]
    run(inputs, recipe, out)
    made = json.loads((out / "manifest.json").read_text())
    assert sorted(path.name for path in out.iterdir()) == sorted([*made["files"], "manifest.json"])
    assert {name: (out / name).stat().st_size for name in made["files"]} == made["files"]
    assert [given["path"] for given in made["inputs"]] == inputs
    assert made["recipe"] == recipe.name


def test_a_file_that_no_run_wrote_is_not_overwritten(tmp_path: Path, recipe: Recipe) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "kept.parquet").write_bytes(b"somebody's")
    for _ in range(2):
        with pytest.raises(WatershedError, match=r"kept\.parquet is not from a run of curate"):
            run(write(tmp_path / "in", DOCUMENTS), recipe, out)
    assert [path.name for path in out.iterdir()] == ["kept.parquet"]
    assert (out / "kept.parquet").read_bytes() == b"somebody's"


@pytest.mark.parametrize("name", ["scores.parquet", "manifest.json"])
def test_a_file_that_somebody_put_beside_results_is_not_removed(tmp_path: Path, recipe: Recipe, name: str) -> None:
    inputs, out = write(tmp_path / "in", DOCUMENTS), tmp_path / "out"
    run(inputs, recipe, out)
    before = (out / "kept.parquet").read_bytes()
    (out / name).write_bytes(b'{"files": []}')
    with pytest.raises(WatershedError, match=f"{name} is not from a run of curate"):
        run(inputs, recipe, out)
    assert (out / name).read_bytes() == b'{"files": []}'
    assert (out / "kept.parquet").read_bytes() == before


def test_archives_without_a_record_are_refused_and_one_among_others_is_counted(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "a.warc").write_bytes(b"no archive " * 100)
    with pytest.raises(WatershedError, match=r"a\.warc: not a WARC file"):
        run([str(tmp_path / "a.warc")], recipe, tmp_path / "out")
    outcome = run([str(tmp_path / "a.warc"), *write(tmp_path / "in", DOCUMENTS)], recipe, tmp_path / "both")
    assert outcome.tally.documents == len(DOCUMENTS) + 1


def test_a_folder_that_cannot_be_written_or_is_in_use_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    inputs = write(tmp_path / "in", DOCUMENTS)
    with pytest.raises(WatershedError, match=r"0\.jsonl/out: Not a directory"):
        run(inputs, recipe, Path(inputs[0]) / "out")
    with claimed(tmp_path / "out"), pytest.raises(WatershedError, match="out: another run writes here"):
        run(inputs, recipe, tmp_path / "out")
    run(inputs, recipe, tmp_path / "out")


def test_worker_processes_are_started_for_inputs_that_are_worth_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    few, many = (
        [Source(path=Path(f"{number}.jsonl"), kind="jsonl", bytes=size) for number in range(3)] for size in (300, 10**6)
    )
    assert usual_workers(few) == 1
    assert usual_workers(many) == 4
