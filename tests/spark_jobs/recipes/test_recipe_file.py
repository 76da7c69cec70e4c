"""Recipes are read strictly: a mistake is named with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import EditStep

RECIPE = """\
name: mine
description: A recipe for tests.
source: nowhere
steps:
  - rule: words_minimum
    statistic: words
    keep: ">="
    threshold: 50
    source: nowhere
"""


def test_a_fingerprint_is_of_what_decides_and_of_nothing_else(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml"]
    paths[0].write_text(RECIPE)
    paths[1].write_text(RECIPE.replace("source: nowhere", "source: a paper").replace("for tests", "to read"))
    paths[2].write_text(RECIPE.replace(">=", ">"))
    first, second, third = (load_recipe(path).fingerprint() for path in paths)
    assert first == second
    assert first != third
    assert load_recipe(paths[0]).measuring() == load_recipe(paths[2]).measuring()


def test_what_is_measured_again_after_an_edit_has_a_name_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    again = RECIPE[RECIPE.index("  - rule") :].replace("words_minimum", "words_left_minimum")
    edit = "  - edit: drop_short_lines\n    min_words: 2\n    source: nowhere\n"
    path.write_text(RECIPE + edit + edit + again)
    recipe = load_recipe(path)
    assert recipe.columns == (
        "words",
        "bytes_after_drop_short_lines",
        "bytes_after_drop_short_lines_2",
        "words_after_drop_short_lines_2",
    )
    assert [step.rule for step in recipe.steps if isinstance(step, EditStep)] == [
        "empty_after_drop_short_lines",
        "empty_after_drop_short_lines_2",
    ]


def test_an_unknown_recipe_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=r"no recipe is called 'goofer'.*c4, dclm-baseline"):
        load_recipe("goofer")
    with pytest.raises(WatershedError, match="cannot be read"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("before", "after", "line", "cause", "mend"),
    [
        ("statistic: words", "statistic: wrods", 6, "unknown statistic 'wrods'", "words"),
        ('">="', "=>", 7, "unknown comparison '=>' for words", "between"),
        ('">="', "<=", 7, "its name says minimum, but it keeps words <=", ">= or >"),
        ("threshold: 50", "threshold: fifty", 8, "threshold 'fifty'", "a number"),
        ("threshold: 50", "threshold: yes", 8, "threshold True", "a number"),
        ("threshold: 50", "threshold: .nan", 8, "threshold nan", "a number"),
        ("threshold: 50", "threshold: [1, 2]", 8, r"threshold \[1, 2\]", "a number"),
        ("    source: nowhere\n", "", 5, "without its source", "paper"),
        ("threshold: 50", "treshold: 50", 5, "no field 'threshold'", "threshold"),
        ("threshold: 50", "threshold: 50\n    threshold: 60", 9, "stands here twice", "keep one"),
        ("words_minimum", "state", 5, "called 'state'", "its own"),
        ("words_minimum", "Words", 5, "rule name 'Words'", "lower-case"),
        ("steps:", "stepz:", 5, "unknown field 'stepz'", "steps"),
        (RECIPE[RECIPE.index("  - rule") :], "  []\n", 5, "no step", "at least one"),
        ("rule: words_minimum", "edit: wrods", 5, "unknown edit 'wrods'", "remove_urls"),
        ("threshold: 50", "threshold: 50\n    by: nobody", 6, "not defined with by: nobody", "no options"),
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
    path.write_text(RECIPE + RECIPE[RECIPE.index("  - rule") :])
    with pytest.raises(WatershedError, match=r"mine.yaml:5: a second rule is called 'words_minimum'"):
        load_recipe(path)
    ranged = RECIPE.replace("words_minimum", "words_range").replace('">="', "between")
    path.write_text(ranged.replace("50", "[50, 100]"))
    assert load_recipe(path).rules[0].threshold == (50, 100)
    path.write_text(ranged.replace("50", "[100, 50]"))
    with pytest.raises(WatershedError, match=r"mine.yaml:8: .*ascending"):
        load_recipe(path)


def test_a_recipe_is_found_in_either_case_of_letters() -> None:
    assert load_recipe("DCLM-Baseline") == load_recipe("dclm-baseline")
    with pytest.raises(WatershedError, match=r"no recipe is called 'FineWebs'; close: fineweb"):
        load_recipe("FineWebs")
