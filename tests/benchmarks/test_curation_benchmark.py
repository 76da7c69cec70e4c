"""The benchmark on a few pages: the files it writes, and agreements that are computed from outputs."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.corpus import Source, package_names, write_archives
from benchmarks.curation import named_stages
from benchmarks.curation_stages.contest import Agreement, Contest, equal_share, run
from benchmarks.curation_stages.near_copies import found_alike, shingle_set, truly_alike
from benchmarks.curation_stages.pages import SEED, changed, made_documents, read_pages, with_near_copies
from benchmarks.curation_stages.paragraphs import removed_by, same_paragraphs
from benchmarks.curation_stages.rules import same_decisions, same_values
from catalog.errors import WatershedError
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo

ROOT = Path(__file__).parents[2]
KEYS = {"stage", "peer", "peer_mb_s", "ours_mb_s", "ratio", "agreement"}
WORDS = "the river and a mill that have stood with their wheel of oak to be seen by those who walk".split()


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(8, 30))).capitalize() + "."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two archives of twelve pages each, one of them empty, and a record that is not a page."""
    folder, draw = tmp_path_factory.mktemp("corpus"), random.Random(1)
    for number in range(2):
        name = f"made-{number}.warc.gz"
        members = [gzip_member(warcinfo(name, "made here"))]
        for page in range(12):
            paragraphs = [f"<p>{' '.join(sentence(draw) for _ in range(4))}</p>" for _ in range(8 if page else 0)]
            payload = f"<html><body><main>{''.join(paragraphs)}</main></body></html>".encode()
            message = http_message("200 OK", (("Content-Type", "text/html; charset=utf-8"),), payload)
            url = f"https://made.example/{number}/{page}"
            members.append(gzip_member(response(url, message, payload, file_name=name, index=page + 1)))
        (folder / name).write_bytes(b"".join(members))
    return folder


@pytest.mark.slow
def test_the_command_writes_a_row_a_comparison(corpus: Path, tmp_path: Path) -> None:
    stages = "language,minhash,tokens"
    rows = tmp_path / "rows.json"
    command = [sys.executable, "-m", "benchmarks.curation", "--corpus", str(corpus), "--pages", "15"]
    done = subprocess.run(
        [*command, "--stages", stages, "--rounds", "1", "--json", str(rows)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(rows.read_text())
    peers = {(row["stage"], row["peer"]) for row in found}
    assert {("language", "fasttext"), ("minhash", "rensa")} <= peers
    assert {("minhash", "datasketch"), ("tokens", "tiktoken"), ("tokens", "tokenizers")} <= peers
    for row in found:
        assert row.keys() >= KEYS
        assert row["ours_mb_s"] > 0 and row["peer_mb_s"] > 0
        assert row["ratio"] == pytest.approx(row["ours_mb_s"] / row["peer_mb_s"])
        assert 0 <= row["agreement"] <= 1
        assert row["stage"] in done.stdout
    same = {row["peer"]: row["agreement"] for row in found if row["stage"] in ("language", "tokens")}
    assert {same[peer] for peer in ("fasttext", "tiktoken", "tokenizers")} == {1.0}


def test_an_unknown_stage_is_refused_with_the_known_ones() -> None:
    with pytest.raises(WatershedError, match=r"no stage 'rulez'.*known: extraction"):
        named_stages("language,rulez")
    assert named_stages(" tokens, language,") == ["tokens", "language"]


def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.curation", "--corpus", str(corpus)]
    command += ["--json", str(tmp_path / "nothing" / "rows.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "name a file in an existing folder" in done.stderr and "Traceback" not in done.stderr


def test_a_contest_computes_agreement_from_what_both_sides_returned() -> None:
    calls: list[str] = []

    def work(side: str, result: list[int]) -> list[int]:
        calls.append(side)
        return result

    def agree(ours: list[int], theirs: list[int]) -> Agreement:
        return Agreement(equal_share(ours, theirs), "numbers")

    contest = Contest(
        stage="made",
        peer="another",
        ours=lambda: work("ours", [1, 2, 3, 4]),
        theirs=lambda: work("theirs", [1, 2, 3, 5]),
        bytes=1_000_000,
        documents=10,
        agree=agree,
    )
    row = run(contest, 2, lambda line: None)
    assert row.agreement == 0.75
    # One after the other; what is quickly done is done several times in a round.
    assert calls[:3] == ["theirs", "ours", "theirs"] and calls[-1] == "ours"
    assert row.ratio == pytest.approx(row.ours_mb_s / row.peer_mb_s)
    assert row.ours_documents_s == pytest.approx(10 * row.ours_mb_s)


def test_outputs_of_two_lengths_are_not_compared() -> None:
    with pytest.raises(ValueError, match="3 outputs of ours cannot be compared with 2"):
        equal_share([1, 2, 3], [1, 2])


def test_decisions_and_values_that_differ_are_counted() -> None:
    assert same_decisions(np.array([True, False, True, True]), np.array([True, True, True, True])).share == 0.75
    ours: dict[str, Any] = {"words": np.array([3.0, 4.0]), "has_brace": np.array([2.0, 0.0])}
    theirs = [{"words": 3.0, "has_brace": 1.0}, {"words": 5.0}]
    assert same_values(dict, ours, theirs).share == 0.75


def test_removed_paragraphs_are_read_from_attributes(tmp_path: Path) -> None:
    import gzip

    long = " ".join(WORDS)
    texts = [f"é short\n{long}\n{long} once more", long]
    start = texts[0].index(long)
    # A span may begin at the newline before its paragraph, or at the paragraph.
    lines = [{"attributes": {"met": [[start - 1, start + 5, 1.0]]}}, {"attributes": {"met": [[0, 5, 1.0]]}}]
    path = tmp_path / "attributes.json.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert removed_by(path, texts) == {(0, 1), (1, 0)}
    assert same_paragraphs({(0, 1)}, {(0, 1), (1, 0)}, texts, "").share == pytest.approx(2 / 3)


def test_pairs_that_are_truly_alike_are_those_of_every_two_sets() -> None:
    draw = random.Random(3)
    texts = [" ".join(f"w{draw.randrange(300)}" for _ in range(60)) for _ in range(12)]
    texts += [changed(text, share, draw) for text in texts for share in (0.0, 0.02, 0.2)]
    sets = [shingle_set(text) for text in texts]
    expected = {
        (one, other)
        for other in range(len(sets))
        for one in range(other)
        if len(sets[one] & sets[other]) / len(sets[one] | sets[other]) >= 0.8
    }
    assert 12 <= len(expected) < 66
    assert truly_alike(sets) == expected
    assert found_alike(expected, expected, expected).share == 1
    assert found_alike(set(), expected, expected).share == 0


def test_pages_are_those_with_text_in_the_crawls_order(corpus: Path, tmp_path: Path) -> None:
    from spark_jobs.archives.records import read_records

    pages = read_pages(corpus, 14, tmp_path)
    assert len(pages.texts) == len(pages.payloads) == 14
    urls = [record.url for record in read_records(str(pages.archive))]
    # The first page of each archive has no text; it is a record of the archive all the same.
    assert urls == [f"https://made.example/0/{n}" for n in range(12)] + [
        f"https://made.example/1/{n}" for n in range(4)
    ]
    with pytest.raises(WatershedError, match="no page with text"):
        read_pages(tmp_path / "nothing", 5, tmp_path)


def test_made_documents_are_the_same_every_time_and_all_different() -> None:
    draw = random.Random(SEED)
    texts = ["\n".join(sentence(draw) for _ in range(30)) for _ in range(3)]
    made = list(made_documents(texts, 50, 400))
    assert made == list(made_documents(texts, 50, 400))
    assert len(set(made)) == 50
    copies = with_near_copies(texts)
    assert copies[:3] == texts and len(copies) == 6 and not set(copies[3:]) & set(texts)


def test_a_corpus_is_dealt_to_archives_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import corpus as module

    monkeypatch.setattr(module, "PAGES_PER_FILE", 3)
    package = tmp_path / "some-doc"
    package.mkdir()
    for number in range(8):
        (package / f"page{number}.html").write_text(f"<html><body>Page {number}</body></html>")
    found = [Source("some-doc", path, path.name) for path in sorted(package.iterdir())]
    files = write_archives(found, tmp_path / "warc", 7)
    assert len(files) == 3
    first = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    files[1].unlink()
    assert write_archives(found, tmp_path / "warc", 7) == files
    assert {path: path.read_bytes() for path in files} == {path: data for path, (data, _) in first.items()}
    assert files[0].stat().st_mtime_ns == first[files[0]][1]
    # A smaller corpus leaves no archive of a larger one behind.
    assert write_archives(found, tmp_path / "warc", 3) == files[:1]
    assert sorted(path.name for path in (tmp_path / "warc").glob("*.warc.gz")) == [files[0].name]


def test_the_corpus_names_its_packages_and_needs_debian(tmp_path: Path) -> None:
    names = package_names()
    assert {"debian-faq", "debian-faq-ja", "aptitude-doc-en", "python3.11-doc", "rust-doc"} <= set(names)
    assert len(names) == len(set(names)) > 80 and not any(name.endswith("-") for name in names)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "apt-get is not on this machine" in done.stderr
