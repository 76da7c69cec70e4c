"""Papers of every source, merged; and what is not a paper, with its reason."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.scholar import papers as papers_module
from spark_jobs.scholar.papers import Paper, read_papers, source_digests

PESO = {
    "id": "123",
    "text": "Ice flows.\n\nGlaciers move downhill.",
    "source": "s2orc",
    "metadata": {"year": 2001, "title": "On the flow of ice", "external_ids": {"DOI": "10.1234/ICE"}},
}
SEMANTIC_SCHOLAR = {
    "corpusid": 123,
    "externalids": {"DOI": "10.1234/ice"},
    "title": "On the flow of ice",
    "abstract": "Ice flows.",
    "citationcount": 7,
    "authors": [{"name": "A. Person"}],
    "isRetracted": True,
}


def written(folder: Path, name: str, *records: object) -> Path:
    lines = "".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records)
    path = folder / name
    path.write_bytes(gzip.compress(lines.encode()) if name.endswith(".gz") else lines.encode())
    return path


def pdf_of(text: str, title: str = "") -> bytes:
    """Return a PDF of one page, with its table of offsets."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (%s) >>" % title.encode(),
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, start=1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer\n<< /Size 7 /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + b"xref\n0 7\n0000000000 65535 f \n" + table + end


def test_records_of_one_paper_are_merged(tmp_path: Path) -> None:
    written(tmp_path, "a.jsonl.gz", PESO)
    written(tmp_path, "b.jsonl", SEMANTIC_SCHOLAR)
    (paper,), rejected = read_papers([str(tmp_path)])
    assert rejected == []
    assert paper == Paper(
        paper="123",
        title="On the flow of ice",
        text=str(PESO["text"]),
        source="a.jsonl.gz",
        year=2001,
        citations=7,
        authors=("A. Person",),
        doi="10.1234/ice",
        retracted=True,
    )
    assert paper.version != Paper(paper="123", title="On the flow of ice", text="Ice flows.", source="b").version


@pytest.mark.parametrize(
    "record",
    [
        {"publicationTypes": ["Retraction"]},
        {"is_retracted": True},
        {"updated-by": [{"type": "retraction", "DOI": "10.1/x"}]},
        {"title": "RETRACTED: On ice"},
        {"title": "Retraction Note: On ice"},
    ],
)
def test_a_retraction_is_seen_as_each_source_writes_it(record: dict[str, object], tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", {"id": 1, "text": "Ice.", **record}, {"id": 2, "text": "Retracted ice sheets."})
    papers, _ = read_papers([str(path)])
    assert [paper.retracted for paper in papers] == [True, False]


def test_texts_pdfs_and_passages_of_the_benchmark_are_papers(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# On rivers\n\nRivers flow to the sea.")
    (tmp_path / "ice.pdf").write_bytes(pdf_of("Ice floats on water.", "On floating ice"))
    context = {"title": "On seas", "text": "Seas are salty."}
    written(tmp_path, "bench.jsonl", {"input": "Why?", "ctxs": [context, context, {"text": ""}]})
    papers, rejected = read_papers([str(tmp_path)])
    assert {(paper.title, paper.text) for paper in papers} == {
        ("On rivers", "# On rivers\n\nRivers flow to the sea."),
        ("On floating ice", "Ice floats on water."),
        ("On seas", "Seas are salty."),
    }
    assert rejected == []


def test_what_is_no_paper_is_a_row_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "not.pdf").write_bytes(b"<html>Not found</html>")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\n" + b"\x00garbage" * 50)
    (tmp_path / "empty.txt").write_text(" \n")
    lines = ("{", "[1]", '{"text": "no id"}', '{"id": 1, "text": ""}', "[" * 100_000, '{"id": 2, "text": "Ice."}')
    written(tmp_path, "lines.jsonl", *lines)
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"id": 3, "text": "Sea."}\n' * 100)[:-20])
    papers, rejected = read_papers([str(tmp_path)])
    assert {paper.paper for paper in papers} >= {"2"}
    reasons = {(each.source, each.place): each.reason for each in rejected}
    assert reasons["not.pdf", 0] == "it is not a PDF: its first bytes lack %PDF-"
    assert "pypdfium2 cannot read it" in reasons["broken.pdf", 0]
    assert reasons["empty.txt", 0] == "it is empty"
    assert reasons["lines.jsonl", 1] == reasons["lines.jsonl", 5] == "the line is not JSON"
    assert reasons["lines.jsonl", 2] == "the line is not a JSON object"
    assert "neither an id nor a DOI" in reasons["lines.jsonl", 3]
    assert reasons["lines.jsonl: 1", 0] == "it has neither text nor abstract"
    assert "cannot be read" in reasons["cut.jsonl.gz", 0]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        written(tmp_path / folder, "papers.jsonl", {"id": folder, "text": folder})
    with pytest.raises(WatershedError, match=r"two files .* called papers\.jsonl"):
        source_digests([str(tmp_path)])


def test_a_large_file_is_known_by_its_size_and_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(papers_module, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(papers_module, "PIECE_BYTES", 10)
    path = tmp_path / "large.jsonl"
    path.write_bytes(b"x" * 5000)
    first = source_digests([str(path)])
    path.write_bytes(b"x" * 4999 + b"y")
    changed = source_digests([str(path)])
    path.write_bytes(b"x" * 5001)
    assert len({each["large.jsonl"] for each in (first, changed, source_digests([str(path)]))}) == 3
