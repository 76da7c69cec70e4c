"""Statistics are those of dolma's installed taggers, and so are the decisions of rules on them."""

from __future__ import annotations

import pyarrow as pa
import pytest
from peer_texts import EDGE_CASES, pages, random_texts

from benchmarks.agreement import compare_decisions, compare_statistics
from spark_jobs.measures.dolma import PASSES

PAGES = pytest.mark.parametrize("count", [80, pytest.param(300, marks=pytest.mark.campaign)])
"""Pages of documentation to agree on."""


@pytest.mark.slow
@PAGES
@pytest.mark.parametrize("name", [each.name for each in PASSES])
def test_statistics_equal_dolmas(name: str, count: int) -> None:
    found = compare_statistics(name, [*EDGE_CASES, *random_texts(count // 2, seed=1), *pages(count)])
    assert found.differences == {}, found.examples


@PAGES
def test_decisions_equal_those_on_dolmas_numbers(count: int) -> None:
    found = compare_decisions("dolma", [*EDGE_CASES, *random_texts(count // 2, seed=2), *pages(count)])
    assert found.differences == {}, found.examples


@pytest.mark.parametrize(
    ("text", "column", "value"),
    [
        ("a bb ccc dddd", "median_word_length_dolma", 2.5),
        ("#tag no… # x", "symbol_word_ratio_dolma", 3 / 4),
        ("- x\n* y\n\n\n  - z", "bullet_line_ratio_dolma", 2 / 5),
        ("- x\n* y\n\n\n  - z", "bullet_line_ratio_dolma_v2", 2 / 3),
        ("a\n\n\nb", "duplicate_line_ratio_dolma", 2 / 4),
        ("a\n\n\nb", "duplicate_line_ratio_dolma_v2", 0.0),
        ("a b a b c d", "top_2gram_character_ratio_dolma", 4 / 6),
        ("aa b c", "top_2gram_character_ratio_dolma", 3 / 4),
        ("a b c d e x a b c d e", "duplicate_5gram_character_ratio_dolma", 10 / 35),
        ("", "duplicate_line_ratio_dolma", 0.0),
        ("One two.\nThree four five\n\n", "unpunctuated_lines", 3),
        ("One two.\nThree four five\n\n", "short_lines", 3),
        ("JavaScript javascript. xjavascriptx", "javascript_dolma", 1),
        ("JavaScript javascript. xjavascriptx", "javascript_dolma_v2", 3),
    ],
)
def test_each_statistic_by_hand(text: str, column: str, value: float) -> None:
    row = {name: cell for each in PASSES for name, cell in each.compute(pa.array([text])).to_pylist()[0].items()}
    assert row[column] == value


def test_layout_and_neighbours_do_not_matter_and_a_null_text_has_no_statistics() -> None:
    texts = [None, *EDGE_CASES, None, *random_texts(40, seed=4)]
    for each in PASSES:
        expected = each.compute(pa.array(texts)).to_pylist()
        assert set(expected[0].values()) == {None}
        assert each.compute(pa.array(texts, pa.large_string())[3:50]).to_pylist() == expected[3:50]
        assert each.compute(pa.array(texts[::-1])).to_pylist() == expected[::-1]
        assert each.compute(pa.array([], pa.string())).num_rows == 0
