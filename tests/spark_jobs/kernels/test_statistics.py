"""Statistics equal DCLM's definitions: recorded cases, a plain reference, every layout of Arrow strings."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import dclm_reference
import fasttext
import pyarrow as pa
import pytest
from made_texts import EDGE_CASES, random_texts

from catalog.tables import dclm
from spark_jobs.kernels.columns import STATISTICS
from spark_jobs.kernels.statistics import statistics
from spark_jobs.recipes.reader import load_recipe

CASES = Path(os.environ.get("WATERSHED_SHARED", "/nowhere")) / "data/cases/dclm"


def measure(text: str | None) -> dict[str, Any]:
    return statistics(pa.array([text], pa.string())).to_pylist()[0]


def assert_equal_to_reference(texts: list[str]) -> None:
    for text, measured in zip(texts, statistics(pa.array(texts)).to_pylist(), strict=True):
        expected = dclm_reference.statistics(text)
        assert measured == {name: expected[name] for name in STATISTICS.names}, repr(text[:200])


def test_edge_cases_equal_the_reference() -> None:
    assert_equal_to_reference(EDGE_CASES)


def test_random_texts_equal_the_reference() -> None:
    assert_equal_to_reference(random_texts(3000, seed=7))


def test_every_length_around_a_block_equals_the_reference() -> None:
    patterns = ["a", "né ", "a.b ", "1,2;", "the ", "中", "... ", "x\n"]
    assert_equal_to_reference([(pattern * 140)[:size] for pattern in patterns for size in range(55, 140)])


def test_words_equal_the_tokens_of_fasttext() -> None:
    texts = [*EDGE_CASES, *random_texts(300, seed=3)]
    expected = [sum(token[0].isalnum() for token in fasttext.tokenize(text)) for text in texts]
    assert statistics(pa.array(texts)).column("words").to_pylist() == expected


@pytest.mark.parametrize(
    ("text", "statistic", "value"),
    [
        ("Mr. Smith bought 2.5 kilograms of fruit.", "words", 7),
        ("Hello - world 中 !", "words", 3),
        ("The best of the best", "stop_words", 3),
        ("Then Tom and Sally withheld bees", "stop_words", 1),
        ("The cat in the hat", "mean_word_length", 14 / 5),
        ("#hashtags and ellipses both count. . .", "symbol_word_ratio", 2 / 7),
        ("● two\n• of\nthree", "bullet_line_ratio", 2 / 3),
        ("one...\n...two...\nthree", "ellipsis_line_ratio", 2 / 3),
        ("costs <1,000 pounds or >1 .", "no_alphabetic_word_ratio", 3 / 6),
        ("Hello\nHello\n\n\n\nHello", "duplicate_line_ratio", 1.0),
        ("Hi, you.\nHi, you.\n\nBye", "duplicate_line_ratio", 2 / 3),
        ("Hi, you.\nHi, you.\n\nBye", "duplicate_line_character_ratio", 16 / 19),
        ("Hi.\n\nHi.\n\nHi.\nBye", "duplicate_paragraph_ratio", 2 / 3),
        ("Hi.\n\nHi.\n\nHi.\nBye", "duplicate_paragraph_character_ratio", 6 / 13),
        ("hello world hello world hello world", "top_2gram_character_ratio", 1.0),
        ("hello   world hello apple.... world hello\n world hello", "top_2gram_character_ratio", 0.75),
        ("hello   world hello apple.... world hello\n world hello", "top_4gram_character_ratio", 0.0),
        ("a b a b a b ab cd ab cd ab cd abc def abc def", "top_2gram_character_ratio", 12 / 30),
        ("one two three four five six. one two three four five", "duplicate_5gram_character_ratio", 38 / 41),
        ("one two three four five six. one two three four five", "duplicate_6gram_character_ratio", 0.0),
    ],
)
def test_each_statistic_by_hand(text: str, statistic: str, value: float) -> None:
    assert measure(text)[statistic] == value


def test_a_ratio_of_nothing_is_null_and_a_null_text_has_no_statistics() -> None:
    assert set(measure(None).values()) == {None}
    empty, blank = measure(""), measure(" \n\n ")
    assert (empty["characters"], empty["words"], empty["stop_words"]) == (0, 0, 0)
    for name in ("mean_word_length", "symbol_word_ratio", "no_alphabetic_word_ratio", "duplicate_line_ratio"):
        assert empty[name] is None
        assert blank[name] is None
    assert empty["top_2gram_character_ratio"] is None
    assert blank["top_2gram_character_ratio"] == 0.0


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view()])
def test_layouts_of_arrow_strings_do_not_matter(type_: pa.DataType) -> None:
    texts = [None, *EDGE_CASES, None, *random_texts(100, seed=5)]
    expected = statistics(pa.array(texts)).to_pylist()
    array = pa.array(texts, type_)
    assert statistics(array).to_pylist() == expected
    assert statistics(array[7:61]).to_pylist() == expected[7:61]
    assert statistics(array[len(texts) - 1 :]).to_pylist() == expected[-1:]
    assert statistics(array[:0]).num_rows == 0
    assert statistics(pa.chunked_array([array[:9], array[9:]])).to_pylist() == expected


def test_neighbours_do_not_matter() -> None:
    texts = random_texts(150, seed=11)
    together = statistics(pa.array(texts)).to_pylist()
    assert [measure(text) for text in texts] == together
    assert statistics(pa.array(texts[::-1])).to_pylist() == together[::-1]


def test_bytes_that_are_not_utf8_are_counted_without_a_crash() -> None:
    broken = [b"ok then\xe4", b"\xff\xfe\x80\xf0\x9f", b"\xc3", b"a\xe2\x80", b"\xf4\xbf\xbf\xbf x", b"\x80" * 200]
    texts = pa.array(broken, pa.binary()).view(pa.string())
    assert statistics(texts).column("words").to_numpy().tolist()[0] == 2
    assert statistics(texts[::-1]).num_rows == len(broken)


def test_only_strings_are_measured() -> None:
    with pytest.raises(TypeError, match="expected an Arrow array of strings, found one of int64"):
        statistics(pa.array([1, 2]))


def test_columns_are_those_of_the_contract() -> None:
    for name, type_, _ in dclm.STATISTICS:
        assert STATISTICS.field(name).type == type_, name
    assert statistics(pa.array(["a b"])).schema == STATISTICS


STATISTIC_OF = {
    "stop_word_filter": ("stop_words", "min_stop_word"),
    "symbol_ratio_filter": ("symbol_word_ratio", "max_symbol_to_word_ratio"),
    "bullet_count_filter": ("bullet_line_ratio", "max_bullet_start_ratio"),
    "ellipsis_count_filter": ("ellipsis_line_ratio", "max_ellipsis_end_ratio"),
    "alphabetic_word_ratio_filter": ("no_alphabetic_word_ratio", "max_ratio"),
    "word_length_filter": ("mean_word_length", ""),
}


def bounds_of(case: dict[str, Any]) -> tuple[str, float, float] | None:
    """Statistic, least and greatest value that a recorded case keeps; None where it asks for no statistic."""
    config, component = case["config"], case["component"]
    if component == "repetition_filter":
        return repetition_of(config["granularity"], config.get("count_characters", True)), 0, config["max_fraction"]
    if component == "page_length_filter":
        statistic = {"char": "characters", "word": "words"}.get(config["length_type"])
        return (statistic, config["min_length"], math.inf) if statistic and "model" not in config else None
    if component not in STATISTIC_OF or config.get("count_unique"):
        return None
    statistic, field = STATISTIC_OF[component]
    if field.startswith("min_"):
        return statistic, config[field], math.inf
    return statistic, config.get("min_length", 0), config.get("max_length", config.get(field, math.inf))


def repetition_of(granularity: int | str, count_characters: bool) -> str:
    if isinstance(granularity, str):
        return f"duplicate_{granularity}_character_ratio" if count_characters else f"duplicate_{granularity}_ratio"
    return (
        f"top_{granularity}gram_character_ratio" if granularity < 5 else f"duplicate_{granularity}gram_character_ratio"
    )


@pytest.mark.skipif(not CASES.is_dir(), reason="WATERSHED_SHARED does not lead to recorded cases")
def test_recorded_cases_of_dclm_hold() -> None:
    checked: Counter[str] = Counter()
    for file in ("gopher_quality", "gopher_repetition"):
        for line in (CASES / f"{file}.jsonl").read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            measured = measure(case["input"].get("text"))
            bounds = bounds_of(case)
            if case["component"] == "massive_web_repetition_filters":
                kept = keeps_repetition(measured)
            elif bounds is not None:
                kept = is_between(measured[bounds[0]], bounds[1], bounds[2])
            else:
                continue
            # Where DCLM's code raises, the document has no text: it cannot be kept.
            assert kept == (case["expect"].get("verdict") == "keep"), case
            checked[case["component"]] += 1
    assert checked == {
        "page_length_filter": 27,
        "ellipsis_count_filter": 15,
        "bullet_count_filter": 80,
        "stop_word_filter": 4,
        "word_length_filter": 7,
        "symbol_ratio_filter": 8,
        "alphabetic_word_ratio_filter": 5,
        "repetition_filter": 34,
        "massive_web_repetition_filters": 5,
    }


def is_between(value: float | None, low: float, high: float) -> bool:
    return value is not None and low <= value <= high


def keeps_repetition(measured: dict[str, Any]) -> bool:
    rules = [rule for rule in load_recipe("gopher").rules if rule.statistic.startswith(("duplicate_", "top_"))]
    assert {rule.keep for rule in rules} == {"<="}
    thresholds = {rule.statistic: rule.threshold for rule in rules if isinstance(rule.threshold, float)}
    assert len(thresholds) == 13
    return all(is_between(measured[statistic], 0, threshold) for statistic, threshold in thresholds.items())
