"""Domains in BEIR's layout: read as they are published, and refused by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.router.beir import Document, Domain, digest_of, read_domain, write_domain
from spark_jobs.router.documentation import Amount, Entry, domain_of

DOMAIN = Domain(
    "rivers",
    (Document("d1", "Rhine", "It begins in the Alps."), Document("d2", "", "Line\nbreaks, “quotes” and a tab\t.")),
    {"q1": "where does it begin?", "q2": "which one?"},
    {"train": {"q1": {"d1": 2, "d2": 0}}, "test": {"q2": {"d2": 1}}},
)


def test_a_domain_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_domain(tmp_path / "rivers", DOMAIN)
    assert read_domain(tmp_path / "rivers") == DOMAIN


def test_files_as_published_are_read(tmp_path: Path) -> None:
    """Numbers as ids, a field `metadata`, no header, a title that is missing, and a judged query without a text."""
    folder = tmp_path / "scifact"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": 4983, "text": "White matter", "metadata": {"url": "x"}}\n')
    (folder / "queries.jsonl").write_text('\ufeff{"_id": "1", "text": "Is it white?", "metadata": {}}\n\n')
    (folder / "qrels" / "test.tsv").write_text("1\t4983\t1\r\n2\t4983\t1\r\n")
    found = read_domain(folder)
    assert found.documents == (Document("4983", "", "White matter"),)
    assert found.judgements == {"test": {"1": {"4983": 1}, "2": {"4983": 1}}}
    assert found.queries == {"1": "Is it white?"}


@pytest.mark.parametrize(
    ("file", "text", "cause"),
    [
        ("corpus.jsonl", '{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}\n', ":2: the document 'a' stands twice"),
        ("corpus.jsonl", '{"_id": "a"}\n', ":1: text is not a string"),
        ("corpus.jsonl", "[1]\n", ":1: it is not a JSON object"),
        ("queries.jsonl", '{"_id": "", "text": "x"}\n', ":1: _id is not a string"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq\td\tnan\n", ":2: the score 'nan' is not a whole number"),
        ("qrels/test.tsv", "q\td\t1\nq\td\t2\n", ":2: the document 'd' stands twice for the query 'q'"),
        ("qrels/test.tsv", "q d 1\n", ":1: 1 columns, not 3"),
    ],
)
def test_a_malformed_file_is_refused_by_its_line(tmp_path: Path, file: str, text: str, cause: str) -> None:
    write_domain(tmp_path / "rivers", DOMAIN)
    (tmp_path / "rivers" / file).write_text(text)
    with pytest.raises(WatershedError) as error:
        read_domain(tmp_path / "rivers")
    assert cause in error.value.cause


def test_a_folder_without_judgements_is_named(tmp_path: Path) -> None:
    write_domain(tmp_path / "rivers", DOMAIN)
    before = digest_of(tmp_path / "rivers")
    (tmp_path / "rivers" / "qrels" / "train.tsv").unlink()
    assert digest_of(tmp_path / "rivers") != before
    (tmp_path / "rivers" / "qrels" / "test.tsv").unlink()
    with pytest.raises(WatershedError, match="has no judgements"):
        read_domain(tmp_path / "rivers")


def test_a_domain_of_docstrings_holds_no_query_twice_and_splits_it_once() -> None:
    entries = [Entry(f"f{n}", f"Sentence number {n // 2}.", f"text {n} " * 30) for n in range(20)]
    found = domain_of("made", iter(entries), Amount(documents=8, train=3, test=2, words=10), trained=True)
    assert len(found.documents) == 8 and len(set(found.queries.values())) == 5
    assert all(len(document.text.split()) == 10 for document in found.documents)
    assert not set(found.judgements["train"]) & set(found.judgements["test"])
    with pytest.raises(WatershedError, match="has 10 docstrings, and 12 are needed"):
        domain_of("made", iter(entries), Amount(documents=20, train=6, test=6), trained=True)
