"""Statistics, decisions and rewritten texts are those of datatrove's installed filters."""

from __future__ import annotations

import pyarrow as pa
import pytest
from peer_texts import EDGE_CASES, pages, random_texts

from benchmarks.agreement import compare_decisions, compare_statistics
from benchmarks.mutated_pages import mutated_pages
from spark_jobs import measures
from spark_jobs.edits import EDITS
from spark_jobs.measures.datatrove import PASSES

pytestmark = pytest.mark.slow

NAMES = [each.name for each in PASSES]
RECIPES = ["gopher-quality", "gopher-repetition", "c4", "fineweb-quality", "fineweb"]
LEAST_SHARE = 0.995
"""Of pages on which both sides agree in everything; on those of this machine it is all of them."""
PAGES = pytest.mark.parametrize("count", [80, pytest.param(300, marks=pytest.mark.campaign)])
"""Pages of documentation to agree on."""


@pytest.mark.slow
@PAGES
@pytest.mark.parametrize("name", NAMES)
def test_statistics_equal_datatroves(name: str, count: int) -> None:
    found = compare_statistics(name, [*EDGE_CASES, *random_texts(60, seed=1)])
    assert found.differences == {}, found.examples
    on_pages = compare_statistics(name, pages(count))
    assert on_pages.equal >= LEAST_SHARE * on_pages.texts, on_pages


@PAGES
@pytest.mark.parametrize("name", RECIPES)
def test_decisions_reasons_and_texts_equal_datatroves(name: str, count: int) -> None:
    found = compare_decisions(name, [*EDGE_CASES, *random_texts(60, seed=2)])
    assert found.differences == {}, found.examples
    on_pages = compare_decisions(name, pages(count))
    assert on_pages.equal >= LEAST_SHARE * on_pages.texts, on_pages


DOTTED = "\n".join(f"The river of part {n} flows past the old town." for n in range(5))


@pytest.mark.parametrize("name", RECIPES)
def test_decisions_equal_datatroves_where_addresses_dashes_and_letters_beyond_ascii_meet(name: str) -> None:
    odd = [
        f"{DOTTED}\nThe JAVASCR\u0130PT runtime is an exception here.",
        f"{DOTTED}\nThey use coo\u212aies here.",
    ]
    words = "the of and to be with that have " * 8
    odd += [words + "see—http://example.com/a/b/c/d?q=1 or—http://example.org/x/y/z " * count for count in (1, 4, 16)]
    found = compare_decisions(name, [*odd, *mutated_pages(pages(40), 60)])
    assert found.differences == {}, found.examples


def test_pages_are_kept_and_dropped_so_that_agreement_says_something() -> None:
    from benchmarks.peer_filters import datatrove_decision

    for name in RECIPES:
        kept = [datatrove_decision(name, text).kept for text in pages(300)[:60]]
        assert len(set(kept)) == 2, name


@pytest.mark.parametrize(
    ("options", "text", "left"),
    [
        ({}, "A line that ends.\nA line that does not\n\nAnother one, too!", "A line that ends.\nAnother one, too!"),
        ({}, "  It is known.[1]  \r\nIt ends [2] here.", "It is known.\nIt ends  here."),
        ({}, "It is known. [1]\nIt goes on...\nTwo words.\n", ""),
        ({"citations": False}, "It is known.[1]\nThis one [1] stays.", "This one [1] stays."),
        ({"terminal_punctuation": False}, "No end here [edit]\nGoes on so...", "No end here \nGoes on so..."),
        ({"min_words": -1}, "One.\n\nTwo.", "One.\nTwo."),
        ({"max_word_length": 4}, "Four four four.\nSeven is five.", ""),
        ({"max_word_length": 5}, "Four four four.\nSeven is five.", "Four four four.\nSeven is five."),
        ({"max_word_length": -1}, f"{'w' * 5000} is long.", f"{'w' * 5000} is long."),
    ],
)
def test_c4_lines_by_hand(options: dict[str, object], text: str, left: str) -> None:
    assert EDITS["c4_lines"].apply(pa.array([text]), **options).to_pylist() == [left]


def test_c4_lines_equal_datatroves_with_every_option() -> None:
    from datatrove.data import Document
    from datatrove.pipeline.filters import C4QualityFilter

    texts = [*EDGE_CASES, *random_texts(100, seed=3)]
    for citations, terminal, words, longest in [(True, True, 3, 5), (False, True, -1, -1), (True, False, 2, 1000)]:
        peer = C4QualityFilter(
            filter_lorem_ipsum=False,
            filter_javascript=False,
            filter_curly_bracket=False,
            filter_policy=False,
            min_num_sentences=-1,
            remove_citations=citations,
            filter_no_terminal_punct=terminal,
            min_words_per_line=words,
            max_word_length=longest,
        )
        expected = [Document(text=text, id="") for text in texts]
        assert all(peer.filter(document) is True for document in expected)
        options = {"citations": citations, "terminal_punctuation": terminal, "min_words": words}
        found = EDITS["c4_lines"].apply(pa.array(texts), max_word_length=longest, **options).to_pylist()
        assert found == [document.text for document in expected]


def test_layout_and_neighbours_do_not_matter_and_a_null_text_has_no_statistics() -> None:
    texts = [None, *EDGE_CASES, None, *random_texts(40, seed=4)]
    for each in PASSES:
        expected = each.compute(pa.array(texts)).to_pylist()
        assert set(expected[0].values()) == {None}
        for type_ in (pa.large_string(), pa.string_view()):
            assert each.compute(pa.array(texts, type_)[3:50]).to_pylist() == expected[3:50]
        assert each.compute(pa.array(texts[::-1])).to_pylist() == expected[::-1]
        assert each.compute(pa.array([], pa.string())).num_rows == 0
    expected = EDITS["c4_lines"].apply(pa.array(texts)).to_pylist()
    for type_ in (pa.large_string(), pa.string()):
        array = pa.array(texts, type_)[5:60]
        found = EDITS["c4_lines"].apply(array)
        assert found.type == array.type
        assert found.to_pylist() == expected[5:60]


def test_passes_give_the_same_values_for_words_split_for_another_pass() -> None:
    texts = pa.array([None, *EDGE_CASES, *random_texts(40, seed=5)])
    shared = [each for each in PASSES if each.prepare]
    assert len({each.prepare for each in shared}) == 1
    words = shared[0].prepare(texts) if shared[0].prepare else None
    for each in shared:
        assert each.compute(texts, words).equals(each.compute(texts)), each.name


def test_columns_are_the_named_statistics_and_each_belongs_to_its_pass() -> None:
    for each in PASSES:
        batch = each.compute(pa.array(["a b."]))
        assert batch.schema.names == [statistic.column for statistic in each.statistics]
        for statistic in each.statistics:
            found = measures.fixed(statistic.name, statistic.options)
            assert found.by is each, statistic


def test_bytes_that_are_not_utf8_are_counted_without_a_crash() -> None:
    broken = [b"ok then\xe4", b"\xff\xfe\x80\xf0\x9f", b"\xc3", b"a\xe2\x80", b"\xf4\xbf\xbf\xbf x.", b"\x80" * 200]
    texts = pa.array(broken, pa.binary()).view(pa.string())
    for each in PASSES:
        assert each.compute(texts).num_rows == len(broken)
        assert each.compute(texts[::-1]).num_rows == len(broken)
    assert len(EDITS["c4_lines"].apply(texts)) == len(broken)
