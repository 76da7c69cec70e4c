"""`watershed ask "QUESTION"`, from files of papers through the assets to an answer, its page, and its withdrawal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, CHROMIUM_FLAGS
from click.testing import CliRunner
from playwright.sync_api import sync_playwright
from scholar_prompts import PASSAGE, numbered

from benchmarks.model_server import Script, running
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from dagster_project.cli import main
from dagster_project.families.scholar.recipes import project_datastore, project_reranker
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make

QUESTION = "Why do glaciers move?"
RECORDS = [
    {"id": 1, "title": "On ice", "text": "Ice deforms under its own weight. So glaciers move downhill.", "year": 2001},
    {"id": 2, "title": "On <b>beds</b>", "text": "Glaciers slide over wet beds, as water lowers friction."},
    {"id": 3, "text": "Rivers of ice are slow and long, and few have seen one move."},
]


def careful(body: dict[str, Any], digest: str) -> str:
    """A model that quotes one passage, invents a quotation of another, and judges claims by a word."""
    del digest
    prompt = body["messages"][-1]["content"]
    if "one word" in prompt:
        return "yes" if "weight" in prompt.rsplit("<claim>", 1)[1] else "no"
    if "`Feedback:`" in prompt:
        return "none"
    ice, beds, rivers = (numbered(prompt, words) for words in ("own weight", "wet beds", "Rivers of ice"))
    return (
        f'They say "Ice deforms under its own weight" about that [{ice}]. Magnets pull them, as all know by now '
        f'[{beds}]. They say "glaciers are pulled by magnets at night" too [{rivers}].'
    )


@dataclass
class Asked:
    """A project whose question was answered."""

    folder: Path
    answer: dict[str, Any]
    page: Path


def run(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Generator[Asked]:
    folder = tmp_path_factory.mktemp("scholar")
    (folder / "papers").mkdir()
    (folder / "papers" / "papers.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    (folder / "papers" / "not.pdf").write_bytes(b"<html>Not found</html>")
    (folder / "watershed.toml").write_text(
        '[scholar]\npapers = ["papers"]\nwords = 40\n[models.judge]\nurl = "http://127.0.0.1:9/v1"\n'
    )
    before, os.environ["WATERSHED_PROJECT"] = os.environ.get("WATERSHED_PROJECT"), str(folder)
    try:
        made()
        page = folder / "answer.html"
        with running(Script(answer=careful)) as url:
            code, out, err = run("ask", QUESTION, "--model", url, "--json", "--page", str(page))
        assert code == 0, err
        yield Asked(folder, json.loads(out), page)
    finally:
        os.environ.pop("WATERSHED_PROJECT")
        if before is not None:
            os.environ["WATERSHED_PROJECT"] = before


def made() -> None:
    settings = load_settings()
    instance = open_instance(settings)
    try:
        make(settings, instance, TABLES["scholar"])
    finally:
        instance.dispose()


def rows(sql: str) -> list[tuple[Any, ...]]:
    return connect(load_settings()).execute(sql).fetchall()


def test_papers_become_passages_vectors_and_an_index(asked: Asked) -> None:
    assert rows("SELECT source, reason FROM scholar.rejected") == [
        ("not.pdf", "it is not a PDF: its first bytes lack %PDF-")
    ]
    assert rows("SELECT count(*), count(DISTINCT stamp) FROM scholar.embeddings") == [(3, 1)]
    assert rows("SELECT passages, kinds, recall FROM scholar.index") == [(3, ["exact"], 1.0)]
    assert rows("SELECT count(*) FROM scholar.passages p JOIN scholar.papers q USING (paper) "
                "WHERE substr(q.text, p.\"begin\" + 1, p.\"end\" - p.\"begin\") <> p.text") == [(0,)]  # fmt: skip


def test_the_answer_cites_what_stands_and_marks_what_does_not(asked: Asked) -> None:
    answer = asked.answer
    assert answer["status"] == "answered" and answer["quotations_removed"] == 1
    assert "magnets at night" not in json.dumps(answer) and "quotation removed" in answer["text"]
    assert (answer["supported"], answer["not_supported"]) == (1, 2)
    for each in answer["references"]:
        begin = each["quotation"]["begin"] - each["span"]["begin"]
        assert each["text"][begin : begin + len(each["quoted"])] == each["quoted"]
    code, out, _ = run("scholar", "verify")
    assert code == 0 and out.split()[:2] == [str(len(answer["references"]) + 1), "stands"]


def test_every_stage_is_rows_and_the_answer_can_be_scored(asked: Asked, tmp_path: Path) -> None:
    name = asked.answer["answer"]
    counts = {
        table: rows(f"SELECT count(*) FROM scholar.{table} WHERE answer = '{name}'")[0][0]
        for table in ("answers", "candidates", "drafts", "references", "citations", "quotations")
    }
    assert counts == {"answers": 1, "candidates": 3, "drafts": 2, "references": 3, "citations": 3, "quotations": 2}
    requests = rows("SELECT count(*) FROM scholar.drafts d JOIN models.requests r USING (request)")
    assert requests == [(2,)]
    scoring = asked.answer["scoring"]
    assert len(scoring["passages"]) == 3
    (tmp_path / "rows.jsonl").write_text(json.dumps(scoring))
    code, out, err = run("score", "citations", str(tmp_path / "rows.jsonl"))
    assert code == 0, err
    assert json.loads(out.splitlines()[0])["citation_recall"] == pytest.approx(1 / 3)


def test_a_citation_opens_its_passage_in_the_page(asked: Asked) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = browser.new_page()
        page.goto(asked.page.as_uri())
        assert page.title() == QUESTION
        assert page.locator("details[open]").count() == 0
        page.locator("a.cite").first.click()
        opened = page.locator("details[open]")
        assert opened.locator("mark").inner_text() == "Ice deforms under its own weight"
        # A title with marks of HTML is text.
        assert page.locator("summary", has_text="On <b>beds</b>").count() == 1
        assert page.locator("span.mark").count() == 3
        browser.close()


def test_without_a_model_passages_are_printed_and_with_one_that_fails_too(asked: Asked) -> None:
    code, out, _ = run("ask", QUESTION)
    assert code == 0 and "“" in out and "characters" in out
    code, out, err = run("ask", QUESTION, "--model", "http://127.0.0.1:9/v1", "--json")
    assert code == 2
    assert json.loads(out)["status"] == "model_failed" and len(json.loads(out)["references"]) == 3
    assert "error:" in err and "Traceback" not in err


@pytest.mark.parametrize(("score", "kept"), [(4, False), (5, True)])
def test_training_rows_pass_the_published_filters(
    score: int, kept: bool, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(body: dict[str, Any], digest: str) -> str:
        del digest
        prompt = body["messages"][-1]["content"]
        if "<second>" not in prompt:
            return json.dumps({"reason": "so", "score": score})
        # The final answer has marks that the draft has not.
        last = "[not supported]" in prompt.split("<second>")[1]
        return json.dumps({"reason": "so", "better": "second" if last else "first"})

    monkeypatch.setenv("WATERSHED_MODELS_JUDGE_MODEL", f"judge-{score}")
    with running(Script(answer=strict)) as url:
        monkeypatch.setenv("WATERSHED_MODELS_JUDGE_URL", url)
        code, _, err = run("scholar", "training", "--judge", "judge")
    assert code == 0, err
    found = rows("SELECT kind, papers, preferred, kept, dropped FROM scholar.training")
    why = None if kept else "organization is not at least 4.5"
    assert found == [("answer", ["1", "2", "3"], True, kept, why)]


def improving(body: dict[str, Any], digest: str) -> str:
    """A model whose draft names a passage that is not there and leaves a sentence without source; stages mend that."""
    del digest
    prompt = body["messages"][-1]["content"]
    if "`References:`" in prompt:
        return "Glaciers flow [1, 2].\n\nReferences:\n[1] On <b>beds</b>. Somebody, 2001.\n[2] On the magnets of ice."
    if "one word" in prompt:
        return "yes" if "weight" in prompt.rsplit("<claim>", 1)[1] else "no"
    if "`Feedback:`" in prompt:
        return "Feedback: Say nothing of magnets."
    ice = numbered(prompt, "own weight")
    if "word for word" in prompt:
        return prompt.split("<answer>\n")[1].split("\n</answer>")[0].removesuffix(".") + f" [{ice}]."
    second = (
        f"So their weight moves them downhill [{ice}]." if "<feedback>" in prompt else "Magnets do much of it [99]."
    )
    third = "Their own weight is what has moved them since the ice ages."
    return f"Ice deforms under its own weight [{ice}]. {second} {third}"


def made_reranker(folder: Path) -> Path:
    """Return the folder of a small cross-encoder with random weights, which orders passages in a way of its own."""
    from trainers.embedding.cross_encoder import open_cross_encoder
    from trainers.embedding.small import make_encoder

    make_encoder(folder / "encoder", [str(record["text"]) for record in RECORDS], seed=0)
    open_cross_encoder(folder / "encoder", seed=1).save(str(folder / "reranker"))
    return folder / "reranker"


@pytest.mark.slow
def test_each_stage_is_left_out_and_the_table_shows_what_it_is_worth(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = tmp_path / "questions.jsonl"
    row = {"question": QUESTION, "answer": "Ice deforms under its own weight."}
    questions.write_text(f"{json.dumps(row)}\n{json.dumps({'question': f' {QUESTION} '})}\n")
    monkeypatch.setenv("WATERSHED_MODELS_JUDGE_MODEL", "improving")
    drafted: list[list[str]] = []

    def seen(body: dict[str, Any], digest: str) -> str:
        prompt = body["messages"][-1]["content"]
        reply = improving(body, digest)
        if "Magnets do much of it" in reply and "word for word" not in prompt:
            drafted.append([text for _, text in PASSAGE.findall(prompt)])
        return reply

    with running(Script(answer=seen)) as url:
        monkeypatch.setenv("WATERSHED_MODELS_JUDGE_URL", url)
        monkeypatch.setenv("WATERSHED_SCHOLAR_RERANKER", str(made_reranker(tmp_path)))
        code, out, err = run("scholar", "ablate", str(questions), "--model", "judge", "--json")
        assert code == 0, err
        found = {each["variant"]: each for each in json.loads(out)["variants"]}
        # The passages stand in the order of the search, and then in that of the cross-encoder.
        store, score = project_datastore(load_settings()), project_reranker(load_settings())
        assert score is not None
        orders = [[each.passage for each in store.retrieve(QUESTION, 10, rerank=how)] for how in (None, score)]
        scores = score(QUESTION, [f"{each.title}. {each.text}" if each.title else each.text for each in orders[1]])
        assert list(scores) == sorted(scores, reverse=True) and orders[0] != orders[1]
        assert drafted == [[each.text for each in order] for order in orders]
        monkeypatch.delenv("WATERSHED_SCHOLAR_RERANKER")
        code, out, err = run("scholar", "ablate", str(questions), "--model", "judge", "--json")
    assert code == 0, err
    full, without = found.pop("full"), found.pop("no_reranking")
    assert {**without, "variant": "full"} == full, "the model answers alike from any order"
    found = {each["variant"]: each for each in json.loads(out)["variants"]}
    shown = {name: (each["supported"], each["not_cited"], each["missing"]) for name, each in found.items()}
    # The bare model names one paper that exists and one that does not.
    assert shown == {
        "bare": (None, None, 0.5),
        "retrieval": (pytest.approx(1 / 3), pytest.approx(1 / 3), 0.5),
        "full": (1.0, 0.0, 0.0),
        "no_feedback": (pytest.approx(2 / 3), 0.0, 0.5),
        "no_attribution": (pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0),
    }
    assert {each["questions"] for each in found.values()} == {1} and 0 < found["full"]["rouge"] < 1
    # Every reply is in the ledger, so that the same command asks for none.
    code, out, err = run("scholar", "ablate", str(questions), "--model", "judge")
    assert code == 0, err
    assert re.search(r"retrieval +1 of 1 +33% +33% +2 +50% +0", out), out
    assert "no variant leaves out reranking" in out
    assert rows("SELECT count(*), count(DISTINCT variant) FROM scholar.ablations") == [(5, 5)]
    for line in ("[]", "{", '{"question": 1}', '{"question": "a", "answer": 1}'):
        questions.write_text(f"{json.dumps(row)}\n{line}\n")
        code, _, err = run("scholar", "ablate", str(questions), "--model", "judge")
        assert code == 2 and "questions.jsonl, line 2" in err


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("ask", QUESTION, "--out", "x"), "belong to a file of prompts"),
        (("ask", " "), "the question is empty"),
        (("ask", QUESTION, "--judge", "x"), "no model writes one"),
        (("ask", QUESTION, "--model", "nobody"), "no model is called 'nobody'"),
        (("scholar", "withdraw", "nothing", "--kind", "retracted", "--reason", "x"), "no paper is called 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_said(asked: Asked, words: tuple[str, ...], cause: str) -> None:
    code, _, err = run(*words)
    assert code == 2 and cause in err


@pytest.mark.slow
def test_a_forgotten_paper_is_gone_at_once_and_its_answers_are_listed(asked: Asked) -> None:
    code, out, err = run("scholar", "withdraw", "1", "--kind", "forgotten", "--reason", "asked by its author")
    assert code == 0, err
    assert "1 passages were deleted" in out and "answers and 1 training rows rest on it" in out
    assert ("scholar.answers", asked.answer["answer"]) in rows(
        "SELECT \"table\", id FROM scholar.affected WHERE paper = '1' AND kind = 'forgotten'"
    )
    code, out, _ = run("ask", QUESTION, "--json")
    assert {each["paper"] for each in json.loads(out)["references"]} == {"2", "3"}
    with (asked.folder / "papers" / "more.jsonl").open("w") as file:
        file.write(json.dumps({"id": 4, "text": "Glaciers move in surges."}) + "\n")
    made()
    # The tables follow, and the index is changed and not built again.
    assert rows("SELECT paper FROM scholar.papers ORDER BY 1") == [("2",), ("3",), ("4",)]
    assert Lake.of(load_settings()).read("scholar.index")["passages"].to_pylist() == [3]
    code, out, _ = run("ask", QUESTION, "--json")
    assert {each["paper"] for each in json.loads(out)["references"]} == {"2", "3", "4"}
    code, out, _ = run("scholar", "verify", asked.answer["answer"])
    # A reference and a quotation rest on the forgotten paper.
    assert code == 0 and out.split()[:7] == ["2", "stands", "0", "another", "version", "2", "paper"]
