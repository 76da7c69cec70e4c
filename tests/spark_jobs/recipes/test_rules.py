"""Rules are data: their names describe them, every broken rule is reported, and thresholds change without the text."""

from __future__ import annotations

import dataclasses
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.tables.dclm import VERDICTS
from spark_jobs.dclm.measurements import numbers_map
from spark_jobs.recipes.judge import BROKEN, classify
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import EditStep, Recipe, Rule, recipe_names
from spark_jobs.recipes.steps import measure


def fitting(recipe: Recipe) -> dict[str, Any]:
    """A document that the recipe keeps, by its measured values."""
    values: dict[str, Any] = {"state": "ok"}
    for column in recipe.columns:
        rules = [rule for rule in recipe.rules if rule.column == column]
        lows = [float(str(rule.threshold)) for rule in rules if rule.keep in (">=", ">")]
        highs = [float(str(rule.threshold)) - (rule.keep == "<") for rule in rules if rule.keep in ("<=", "<")]
        if rules[0].text:
            values[column] = rules[0].threshold
        else:
            values[column] = max(lows) + (0.001 if highs else 1.0) if lows else min(highs, default=0.0)
    return values


def documents(recipe: Recipe, *changes: dict[str, Any]) -> pa.Table:
    """A document that the recipe keeps, once for each set of changes to it."""
    labels = {"state", *(rule.column for rule in recipe.rules if rule.text)}
    columns = ("state", *recipe.columns)
    schema = pa.schema([(name, pa.string() if name in labels else pa.float64()) for name in columns])
    return pa.Table.from_pylist([fitting(recipe) | change for change in changes], schema=schema)


def broken_rules(recipe: Recipe, *changes: dict[str, Any]) -> list[list[str]]:
    broken = classify(documents(recipe, *changes), recipe).broken.to_pylist()
    return [[entry["rule"] for entry in row] for row in broken]


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_papers_come_along(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert all(step.source for step in recipe.steps)
    assert classify(documents(recipe, {}), recipe).kept.to_pylist() == [True]


def test_dclm_baseline_has_its_published_thresholds_and_its_order() -> None:
    recipe = load_recipe("dclm-baseline")
    rules = {rule.name: (rule.statistic, rule.keep, rule.threshold) for rule in recipe.rules}
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
    assert rules["words_removed_ratio_maximum"] == ("words_removed_ratio", "<=", 0.05)
    order = [step.edit if isinstance(step, EditStep) else step.name for step in recipe.steps]
    places = [order.index(name) for name in ("remove_urls", "language_english", "words_minimum")]
    places += [order.index(name) for name in ("drop_uppercase_lines", "keep_lines_of_length", "drop_substring_lines")]
    assert places == sorted(places)
    assert order[-1] == "words_removed_ratio_maximum"


@pytest.mark.parametrize("name", recipe_names())
def test_a_rule_s_name_says_what_is_wrong_with_a_document(name: str) -> None:
    recipe = load_recipe(name)
    for rule in recipe.rules:
        if rule.text or not rule.name.endswith(("_minimum", "_maximum")):
            continue
        assert isinstance(rule.threshold, (int, float))
        below, above = broken_rules(recipe, {rule.column: rule.threshold - 0.01}, {rule.column: rule.threshold + 0.01})
        assert (rule.name in below, rule.name in above) == (
            rule.name.endswith("_minimum"),
            rule.name.endswith("_maximum"),
        )


def test_thresholds_are_met_or_missed_as_dclm_compares() -> None:
    recipe = load_recipe("dclm-baseline")
    at_the_edge = {"words": 50, "mean_word_length": 3.0, "stop_words": 2, "bullet_line_ratio": 0.9}
    assert broken_rules(recipe, at_the_edge, {"words": 49}, {"language_score": 0.65}, {"language": "fr"}) == [
        [],
        ["words_minimum"],
        ["language_score_minimum"],
        ["language_english"],
    ]


def test_every_broken_rule_is_reported_with_value_and_threshold_in_the_recipe_s_order() -> None:
    recipe = load_recipe("dclm-baseline")
    kept, broken = classify(documents(recipe, {"stop_words": 1, "words": 7, "language": "de"}), recipe)
    assert kept.to_pylist() == [False]
    assert broken.to_pylist() == [
        [
            {"rule": "language_english", "value": None, "threshold": None},
            {"rule": "words_minimum", "value": 7.0, "threshold": 50.0},
            {"rule": "stop_words_minimum", "value": 1.0, "threshold": 2.0},
        ]
    ]


def test_a_document_that_is_not_ok_breaks_the_state_rule_and_a_value_that_is_missing_its_own() -> None:
    recipe = load_recipe("gopher")
    rows = [{"state": "binary"}, {"state": None}, {"mean_word_length": None}, {"words": 3, "state": "x"}]
    verdicts = classify(documents(recipe, *rows), recipe)
    missing = ["mean_word_length_minimum", "mean_word_length_maximum"]
    assert broken_rules(recipe, *rows) == [["state"], ["state"], missing, ["state", "words_minimum"]]
    assert verdicts.first_rule().to_pylist() == ["state", "state", missing[0], "state"]
    assert verdicts.broken[0].as_py() == [{"rule": "state", "value": None, "threshold": None}]
    assert verdicts.broken[2][0].as_py() == {"rule": missing[0], "value": None, "threshold": 3.0}


def test_a_document_that_an_edit_empties_is_blamed_for_that_alone() -> None:
    recipe = load_recipe("dclm-baseline")
    after = [column for column in recipe.columns if column != "bytes_after_remove_urls"]
    emptied = {"bytes_after_remove_urls": 0, **dict.fromkeys(after)}
    assert broken_rules(recipe, emptied) == [["empty_after_remove_urls"]]


@pytest.mark.parametrize("name", ["dclm-baseline", "gopher"])
def test_an_empty_or_blank_text_is_kept_by_no_recipe(name: str) -> None:
    recipe, texts = load_recipe(name), pa.array(["", " \n ", None])
    values = measure({"text": texts}, recipe).values
    table = pa.table({"state": ["ok"] * 3, **values})
    assert not any(classify(table, recipe).kept.to_pylist())


def test_verdicts_fit_their_contract_and_empty_input_has_none() -> None:
    recipe = load_recipe("gopher")
    assert next(column.type for column in VERDICTS.columns if column.name == "broken") == BROKEN
    for table in (documents(recipe, {}, {"words": 1}), documents(recipe), documents(recipe, {}, {})):
        verdicts = classify(table, recipe)
        assert verdicts.broken.type == BROKEN
        assert len(verdicts.kept) == len(verdicts.broken) == len(verdicts.first_rule()) == table.num_rows


def test_chunks_slices_and_batches_do_not_matter() -> None:
    recipe = load_recipe("gopher")
    table = documents(recipe, *({"words": words, "stop_words": words % 4} for words in range(40, 60)))
    expected = classify(table, recipe).broken.to_pylist()
    pieces = pa.concat_tables([table[:3], table[3:]])
    assert classify(pieces, recipe).broken.to_pylist() == expected
    batch = table.combine_chunks().to_batches()[0]
    assert classify(batch[5:], recipe).broken.to_pylist() == expected[5:]


@pytest.mark.parametrize("type_", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_layouts_of_strings_do_not_matter(type_: pa.DataType) -> None:
    recipe = load_recipe("language-only")
    table = documents(recipe, {}, {"language": "fr"}, {"state": "binary"}, {"language": None})
    cast = table.set_column(table.schema.names.index("language"), "language", table["language"].cast(type_))
    cast = cast.set_column(cast.schema.names.index("state"), "state", cast["state"].cast(type_))
    assert classify(cast, recipe).broken.to_pylist() == classify(table, recipe).broken.to_pylist()


def test_a_threshold_changes_the_verdict_and_not_what_is_measured() -> None:
    recipe = load_recipe("gopher")
    table = documents(recipe, {"words": 60}, {"words": 30})
    steps = (
        dataclasses.replace(step, threshold=20) if isinstance(step, Rule) and step.name == "words_minimum" else step
        for step in recipe.steps
    )
    looser = dataclasses.replace(recipe, steps=tuple(steps))
    assert classify(table, recipe).kept.to_pylist() == [True, False]
    assert classify(table, looser).kept.to_pylist() == [True, True]
    assert recipe.fingerprint() != looser.fingerprint()
    assert recipe.measuring() == looser.measuring()


def test_all_comparisons_in_arrow_and_in_sql() -> None:
    rules = (
        Rule(name="words_range", statistic="words", keep="between", threshold=(50, 100), source="-"),
        Rule(name="stop_words_few", statistic="stop_words", keep="in", threshold=(2, 3), source="-"),
        Rule(name="language_known", statistic="language", keep="in", threshold=("en", "o'k"), source="-", text=True),
        Rule(name="symbols", statistic="symbol_word_ratio", keep="<", threshold=0.5, source="-"),
        Rule(name="bullets", statistic="bullet_line_ratio", keep="==", threshold=0.25, source="-"),
    )
    recipe = Recipe(name="all", description="-", source="-", steps=rules)
    fits = {"words": 50, "stop_words": 2, "bullet_line_ratio": 0.25, "language": "en", "symbol_word_ratio": 0}
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
    kept, broken = classify(documents(recipe, *rows), recipe)
    assert kept.to_pylist() == [True, True] + [False] * 8
    assert [row[0] if row else None for row in broken.to_pylist()][2:6] == [
        {"rule": "words_range", "value": 49.0, "threshold": 50.0},
        {"rule": "words_range", "value": 101.0, "threshold": 100.0},
        {"rule": "stop_words_few", "value": 4.0, "threshold": None},
        {"rule": "language_known", "value": None, "threshold": None},
    ]
    assert in_sql(documents(recipe, *rows), recipe) == kept.to_pylist()


@pytest.mark.parametrize("name", recipe_names())
def test_sql_keeps_the_same_documents(name: str) -> None:
    recipe = load_recipe(name)
    rows: list[dict[str, Any]] = [{}, {"state": "binary"}, {"state": None}]
    for rule in recipe.rules:
        rows.append({rule.column: None})
        rows += [{rule.column: value} for value in (["fr"] if rule.text else [0, 1, 2, 3, 10**6])]
    table = documents(recipe, *rows)
    assert in_sql(table, recipe) == classify(table, recipe).kept.to_pylist()


def in_sql(table: pa.Table, recipe: Recipe) -> list[bool]:
    columns = {name: table[name].combine_chunks() for name in recipe.columns}
    measurements = pa.table(
        {
            "state": table["state"],
            "values": numbers_map(columns, recipe, len(table)),
            "language": table[next((rule.column for rule in recipe.rules if rule.text), "state")],
            "place": range(len(table)),
        }
    )
    connection = duckdb.connect()
    connection.register("measurements", measurements)
    rows = connection.execute(f"SELECT {recipe.to_sql()} FROM measurements ORDER BY place").fetchall()
    return [kept for (kept,) in rows]


def test_a_missing_column_is_named() -> None:
    recipe = load_recipe("language-only")
    with pytest.raises(WatershedError, match="recipe language-only: documents have no column 'language_score'"):
        classify(documents(recipe, {}).drop_columns(["language_score"]), recipe)
    with pytest.raises(WatershedError, match="no column 'state'"):
        classify(documents(recipe, {}).drop_columns(["state"]), recipe)
