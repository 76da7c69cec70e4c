"""Rules are data: recipes are read strictly, names say what they do, thresholds change without the text."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.tables.dclm import VERDICTS
from spark_jobs.kernels.columns import STATISTICS
from spark_jobs.kernels.statistics import statistics
from spark_jobs.rules import BROKEN, NUMBERS, Recipe, Rule, classify, load_recipe, recipe_names

RECIPE = """\
name: mine
description: A recipe for tests.
source: nowhere
rules:
  - name: words_minimum
    statistic: words
    keep: ">="
    threshold: 50
    source: nowhere
"""

GOOD: dict[str, Any] = {
    **dict.fromkeys(STATISTICS.names, 0.0),
    "words": 500,
    "mean_word_length": 4.5,
    "stop_words": 40,
    "language": "en",
    "language_score": 0.9,
    "state": "ok",
}
SCHEMA = pa.schema([*STATISTICS, ("language", pa.string()), ("language_score", pa.float64()), ("state", pa.string())])


def documents(*changes: dict[str, Any]) -> pa.Table:
    """A document that every recipe keeps, once for each set of changes to it."""
    return pa.Table.from_pylist([GOOD | change for change in changes], schema=SCHEMA)


def broken_rules(recipe: Recipe, *changes: dict[str, Any]) -> list[list[str]]:
    return [[entry["rule"] for entry in row] for row in classify(documents(*changes), recipe).broken.to_pylist()]


def test_recipes_of_the_papers_come_along() -> None:
    assert {"dclm-baseline", "gopher", "language-only"} <= set(recipe_names())
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert all(rule.source for rule in recipe.rules)
        assert classify(documents({}), recipe).kept.to_pylist() == [True]


def test_dclm_baseline_has_its_published_thresholds() -> None:
    rules = {rule.name: (rule.statistic, rule.keep, rule.threshold) for rule in load_recipe("dclm-baseline").rules}
    assert rules["language_score_minimum"] == ("language_score", ">", 0.65)
    assert rules["words_minimum"] == ("words", ">=", 50)
    assert rules["words_maximum"] == ("words", "<=", 100_000)
    assert rules["mean_word_length_minimum"] == ("mean_word_length", ">=", 3)
    assert rules["mean_word_length_maximum"] == ("mean_word_length", "<=", 10)
    assert rules["stop_words_minimum"] == ("stop_words", ">=", 2)
    assert rules["duplicate_line_ratio_maximum"] == ("duplicate_line_ratio", "<=", 0.3)
    assert [rules[f"top_{n}gram_character_ratio_maximum"][2] for n in (2, 3, 4)] == [0.2, 0.18, 0.16]
    duplicates = [rules[f"duplicate_{n}gram_character_ratio_maximum"][2] for n in range(5, 11)]
    assert duplicates == [0.15, 0.14, 0.13, 0.12, 0.11, 0.1]
    assert any("18-22" in step for step in load_recipe("dclm-baseline").pending)


@pytest.mark.parametrize("name", recipe_names())
def test_a_rule_s_name_says_what_is_wrong_with_a_document(name: str) -> None:
    recipe = load_recipe(name)
    for rule in recipe.rules:
        if rule.statistic not in NUMBERS:
            continue
        assert isinstance(rule.threshold, (int, float))
        too_little, too_much = {rule.statistic: rule.threshold - 0.01}, {rule.statistic: rule.threshold + 0.01}
        if STATISTICS.names.count(rule.statistic) and STATISTICS.field(rule.statistic).type == pa.int64():
            too_little, too_much = {rule.statistic: rule.threshold - 1}, {rule.statistic: rule.threshold + 1}
        below, above = broken_rules(recipe, too_little, too_much)
        assert rule.name.startswith(rule.statistic)
        if rule.name.endswith("_minimum"):
            assert rule.name in below
            assert rule.name not in above
        else:
            assert rule.name.endswith("_maximum")
            assert rule.name in above
            assert rule.name not in below


def test_thresholds_are_met_or_missed_as_dclm_compares() -> None:
    recipe = load_recipe("dclm-baseline")
    at_the_edge = {"words": 50, "mean_word_length": 3.0, "stop_words": 2, "bullet_line_ratio": 0.9}
    assert broken_rules(recipe, at_the_edge, {"words": 49}, {"language_score": 0.65}, {"language": "fr"}) == [
        [],
        ["words_minimum"],
        ["language_score_minimum"],
        ["language_english"],
    ]


def test_every_broken_rule_is_told_with_value_and_threshold_in_the_recipe_s_order() -> None:
    kept, broken = classify(documents({"stop_words": 1, "words": 7, "language": "de"}), load_recipe("dclm-baseline"))
    assert kept.to_pylist() == [False]
    assert broken.to_pylist() == [
        [
            {"rule": "language_english", "value": None, "threshold": None},
            {"rule": "words_minimum", "value": 7.0, "threshold": 50.0},
            {"rule": "stop_words_minimum", "value": 1.0, "threshold": 2.0},
        ]
    ]


def test_a_document_that_is_not_ok_or_lacks_a_statistic_breaks_the_state_rule() -> None:
    recipe = load_recipe("gopher")
    rows = [
        {"state": "binary"},
        {"state": None},
        {"mean_word_length": None},
        {"language": None},
        {"words": 3, "state": "x"},
    ]
    verdicts = classify(documents(*rows), recipe)
    assert broken_rules(recipe, *rows) == [["state"], ["state"], ["state"], [], ["state", "words_minimum"]]
    assert verdicts.kept.to_pylist() == [False, False, False, True, False]
    assert verdicts.first_rule().to_pylist() == ["state", "state", "state", None, "state"]
    assert verdicts.broken[0].as_py() == [{"rule": "state", "value": None, "threshold": None}]


def test_an_empty_or_blank_text_is_kept_by_no_recipe() -> None:
    measured = pa.Table.from_batches([statistics(pa.array(["", " \n ", None]))])
    for column, value in (("language", "en"), ("language_score", 0.9), ("state", "ok")):
        measured = measured.append_column(column, pa.array([value] * 3))
    for name in ("dclm-baseline", "gopher"):
        assert not any(classify(measured, load_recipe(name)).kept.to_pylist())


def test_verdicts_fit_their_contract_and_empty_input_has_none() -> None:
    assert next(column.type for column in VERDICTS.columns if column.name == "broken") == BROKEN
    for table in (documents({}, {"words": 1}), documents(), documents({}, {})):
        verdicts = classify(table, load_recipe("gopher"))
        assert verdicts.broken.type == BROKEN
        assert len(verdicts.kept) == len(verdicts.broken) == len(verdicts.first_rule()) == table.num_rows


def test_chunks_slices_and_batches_do_not_matter() -> None:
    table = documents(*({"words": words, "stop_words": words % 4} for words in range(40, 60)))
    recipe = load_recipe("gopher")
    expected = classify(table, recipe).broken.to_pylist()
    pieces = pa.concat_tables([table[:3], table[3:]])
    assert classify(pieces, recipe).broken.to_pylist() == expected
    batch = table.combine_chunks().to_batches()[0]
    assert classify(batch[5:], recipe).broken.to_pylist() == expected[5:]


@pytest.mark.parametrize("type_", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_layouts_of_strings_do_not_matter(type_: pa.DataType) -> None:
    table = documents({}, {"language": "fr"}, {"state": "binary"}, {"language": None})
    recipe = load_recipe("language-only")
    cast = table.set_column(table.schema.names.index("language"), "language", table["language"].cast(type_))
    cast = cast.set_column(cast.schema.names.index("state"), "state", cast["state"].cast(type_))
    assert classify(cast, recipe).broken.to_pylist() == classify(table, recipe).broken.to_pylist()


def test_a_threshold_changes_without_the_text() -> None:
    recipe = load_recipe("gopher")
    table = documents({"words": 60}, {"words": 30})
    looser = dataclasses.replace(
        recipe,
        rules=tuple(dataclasses.replace(r, threshold=20) if r.name == "words_minimum" else r for r in recipe.rules),
    )
    assert classify(table, recipe).kept.to_pylist() == [True, False]
    assert classify(table, looser).kept.to_pylist() == [True, True]
    assert recipe.fingerprint() != looser.fingerprint()


def test_a_fingerprint_is_of_what_decides_and_of_nothing_else(tmp_path: Path) -> None:
    assert (
        load_recipe("language-only").fingerprint() == "a1e32cd2c2b896a110123c45f994119cffefa14cbe126b41e000ee634065e3db"
    )
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"]
    paths[0].write_text(RECIPE)
    paths[1].write_text(RECIPE.replace("source: nowhere", "source: a paper").replace("for tests", "to read"))
    paths[2].write_text(RECIPE.replace(">=", ">"))
    first, second, third = (load_recipe(path).fingerprint() for path in paths)
    assert first == second
    assert first != third


def test_all_comparisons_in_arrow_and_in_sql() -> None:
    rules = (
        Rule(name="words_range", statistic="words", keep="between", threshold=(50, 100), source="-"),
        Rule(name="stop_words_few", statistic="stop_words", keep="in", threshold=(2, 3), source="-"),
        Rule(name="language_known", statistic="language", keep="in", threshold=("en", "o'k"), source="-"),
        Rule(name="symbols", statistic="symbol_word_ratio", keep="<", threshold=0.5, source="-"),
        Rule(name="bullets", statistic="bullet_line_ratio", keep="==", threshold=0.25, source="-"),
    )
    recipe = Recipe(name="all", description="-", source="-", rules=rules)
    fits = {"words": 50, "stop_words": 2, "bullet_line_ratio": 0.25}
    rows = [
        fits,
        fits | {"words": 100, "language": "o'k"},
        fits | {"words": 49},
        fits | {"words": 101},
        fits | {"stop_words": 4},
        fits | {"language": "fr"},
        fits | {"symbol_word_ratio": 0.5},
        fits | {"bullet_line_ratio": 0.3},
        fits | {"language": None},
        fits | {"state": "binary"},
    ]
    kept, broken = classify(documents(*rows), recipe)
    assert kept.to_pylist() == [True, True] + [False] * 8
    assert [row[0] if row else None for row in broken.to_pylist()][2:6] == [
        {"rule": "words_range", "value": 49.0, "threshold": 50.0},
        {"rule": "words_range", "value": 101.0, "threshold": 100.0},
        {"rule": "stop_words_few", "value": 4.0, "threshold": None},
        {"rule": "language_known", "value": None, "threshold": None},
    ]
    assert in_sql(documents(*rows), recipe) == kept.to_pylist()


@pytest.mark.parametrize("name", recipe_names())
def test_sql_keeps_the_same_documents(name: str) -> None:
    recipe = load_recipe(name)
    rows: list[dict[str, Any]] = [{}, {"state": "binary"}, {"state": None}]
    for rule in recipe.rules:
        rows.append({rule.statistic: None})
        rows += [{rule.statistic: value} for value in ([0, 1, 2, 3, 10**6] if rule.statistic in NUMBERS else ["fr"])]
    table = documents(*rows)
    assert in_sql(table, recipe) == classify(table, recipe).kept.to_pylist()


def in_sql(table: pa.Table, recipe: Recipe) -> list[bool]:
    connection = duckdb.connect()
    connection.register("documents", table.append_column("place", pa.array(range(table.num_rows))))
    rows = connection.execute(f"SELECT {recipe.to_sql()} FROM documents ORDER BY place").fetchall()
    return [kept for (kept,) in rows]


def test_a_missing_column_is_named() -> None:
    with pytest.raises(WatershedError, match="recipe language-only: documents have no column 'language_score'"):
        classify(documents({}).drop_columns(["language_score"]), load_recipe("language-only"))
    with pytest.raises(WatershedError, match="no column 'state'"):
        classify(documents({}).drop_columns(["state"]), load_recipe("language-only"))


def test_an_unknown_recipe_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=r"no recipe is called 'goofer'.*dclm-baseline, gopher"):
        load_recipe("goofer")
    with pytest.raises(WatershedError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("before", "after", "line", "cause", "mend"),
    [
        ("statistic: words", "statistic: wrods", 6, "unknown statistic 'wrods'", "stop_words"),
        ('">="', "=>", 7, "unknown comparison '=>' for words", "between"),
        ('">="', "<=", 7, "its name says minimum, but it keeps words <=", ">= or >"),
        ("threshold: 50", "threshold: fifty", 8, "threshold 'fifty'", "a number"),
        ("threshold: 50", "threshold: yes", 8, "threshold True", "a number"),
        ("threshold: 50", "threshold: .nan", 8, "threshold nan", "a number"),
        ("threshold: 50", "threshold: [1, 2]", 8, r"threshold \[1, 2\]", "a number"),
        ("    source: nowhere\n", "", 5, "no field 'source'", "name, statistic"),
        ("threshold: 50", "treshold: 50", 8, "unknown field 'treshold'", "threshold"),
        ("threshold: 50", "threshold: 50\n    threshold: 60", 9, "stands here twice", "keep one"),
        ("words_minimum", "state", 5, "called 'state'", "its own name"),
        ("words_minimum", "Words", 5, "rule name 'Words'", "lower-case"),
        ("rules:", "rulez:", 4, "unknown field 'rulez'", "rules"),
        (RECIPE[RECIPE.index("  - name") :], "  []\n", 5, "not a list of rules", "at least one"),
        ("description: A recipe for tests.", "description: [", 4, "expected ',' or '\\]'", "YAML"),
    ],
)
def test_a_mistake_in_a_recipe_is_named_with_its_line(
    tmp_path: Path, *, before: str, after: str, line: int, cause: str, mend: str
) -> None:
    path = tmp_path / "mine.yaml"
    assert before in RECIPE
    path.write_text(RECIPE.replace(before, after, 1))
    with pytest.raises(WatershedError, match=cause) as error:
        load_recipe(path)
    assert f"mine.yaml:{line}: " in error.value.cause
    assert mend in error.value.mend
    assert "\n" not in str(error.value)


def test_two_rules_of_one_name_and_descending_ranges_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE + RECIPE[RECIPE.index("  - name") :])
    with pytest.raises(WatershedError, match=r"mine.yaml:10: a second rule is called 'words_minimum'"):
        load_recipe(path)
    ranged = RECIPE.replace("words_minimum", "words_range").replace('">="', "between")
    path.write_text(ranged.replace("50", "[50, 100]"))
    assert load_recipe(path).rules[0].threshold == (50, 100)
    path.write_text(ranged.replace("50", "[100, 50]"))
    with pytest.raises(WatershedError, match=r"mine.yaml:8: .*ascending"):
        load_recipe(path)
