"""Passages tile a text; BM25 finds words, in memory and on the disk; a question is never a program."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.retrieval.bm25 import DiskBm25, MemoryBm25
from spark_jobs.retrieval.fusion import reciprocal_ranks
from spark_jobs.retrieval.passages import LONGEST_WORD, Cut, passage_id, spans

TEXTS = {
    "0" * 32: "Glaciers move because ice deforms under its own weight.",
    "1" * 32: "Rivers carry sediment to the sea.",
    "2" * 32: "Ice cores record the climate of the past.",
}


def test_passages_have_every_word_once_and_begin_and_end_with_one() -> None:
    draw = random.Random(5)
    for _ in range(50):
        text = "".join(draw.choice("ab \n\t\u2003é") for _ in range(draw.randrange(400)))
        words = draw.randrange(1, 9)
        blocks = [text[begin:end] for begin, end in spans(text, Cut(words=words))]
        assert [word for block in blocks for word in block.split()] == text.split()
        assert all(block == block.strip() and len(block.split()) <= words for block in blocks)


def test_overlapping_passages_begin_a_stride_apart_and_the_last_one_ends_the_text() -> None:
    text = " ".join(map(str, range(10)))
    blocks = [text[begin:end] for begin, end in spans(text, Cut(words=4, stride=2))]
    assert [block.split()[0] for block in blocks] == ["0", "2", "4", "6"]
    assert blocks[-1].endswith("9")


def test_a_text_without_white_space_gives_bounded_passages() -> None:
    blocks = [end - begin for begin, end in spans("x" * 100_000, Cut(words=10))]
    assert max(blocks) == 10 * LONGEST_WORD and sum(blocks) == 100_000


def test_a_cut_that_leaves_words_out_is_refused() -> None:
    with pytest.raises(WatershedError, match="leave words out"):
        Cut(words=3, stride=4)


def test_a_passage_is_known_by_its_version_and_place() -> None:
    assert len({passage_id("p", "1", 0, 5), passage_id("p", "2", 0, 5), passage_id("p", "1", 0, 6)}) == 3


HOSTILE = (
    'ice" OR title:x',
    "NOT -ice +river (a AND",
    "response to a 10 km run",
    "*:* /.*/ ^5 ~",
    "id:" + "0" * 32,
    "",
    "\ud800",
    "ice " * 5000,
)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> DiskBm25:
    index = DiskBm25(tmp_path_factory.mktemp("words"))
    index.change(add=((name, "", text, f"stored {text}") for name, text in TEXTS.items()), every=True)
    return index


def test_both_find_the_passage_with_the_words(disk: DiskBm25) -> None:
    memory = MemoryBm25(list(TEXTS), TEXTS.values())
    for search in (memory.search, disk.search):
        (found,) = search(["why do glaciers deform?"], 10)
        assert found[0][0] == "0" * 32 and all(score > 0 for _, score in found)
        assert search(["quasar"], 10) == [[]]


@pytest.mark.parametrize("question", HOSTILE)
def test_no_question_is_a_program(question: str, disk: DiskBm25) -> None:
    memory = MemoryBm25(list(TEXTS), TEXTS.values())
    for search in (memory.search, disk.search):
        (found,) = search([question], 10)
        assert {name for name, _ in found} <= set(TEXTS)


def test_an_index_on_the_disk_changes_and_keeps_what_is_stored(tmp_path: Path) -> None:
    index = DiskBm25(tmp_path)
    index.change(add=((name, "title", text, text) for name, text in TEXTS.items()), every=True)
    index.change(add=[("1" * 32, "", "Rivers of ice.", "new")], delete=["0" * 32])
    assert len(index) == 2 and len(DiskBm25(tmp_path)) == 2
    assert index.stored(["0" * 32, "1" * 32]) == {"1" * 32: "new"}
    assert {name for name, _ in index.search(["ice"], 10)[0]} == {"1" * 32, "2" * 32}
    assert index.search(["glaciers"], 10) == [[]]


def test_ranks_are_fused_by_their_reciprocals() -> None:
    fused = reciprocal_ranks([["a", "b"], ["b", "c"]], weights=[1, 2])
    assert fused == [
        ("b", pytest.approx(1 / 62 + 2 / 61)),
        ("c", pytest.approx(2 / 62)),
        ("a", pytest.approx(1 / 61)),
    ]


def test_a_merged_index_holds_no_text_of_deleted_passages(tmp_path: Path) -> None:
    def passage(id_: str, text: str) -> tuple[str, str, str, str]:
        return id_, "", text, json.dumps({"title": None, "text": text})

    def files() -> list[Path]:
        return [path for path in tmp_path.iterdir() if path.is_file() and b"glacier" in path.read_bytes()]

    index = DiskBm25(tmp_path)
    index.change(add=[passage("a", "glacier"), passage("b", "rivers run"), passage("c", "lakes lie")])
    index.change(delete=["a"])
    # A deletion alone only marks the passage.
    assert (index.deleted, bool(files())) == (1, True)
    index.merge(lambda stored: ("", json.loads(stored)["text"]))
    assert (index.deleted, files()) == (0, [])
    assert [name for name, _ in index.search(["rivers"])[0]] == ["b"]
    assert json.loads(index.stored(["c"])["c"])["text"] == "lakes lie"
