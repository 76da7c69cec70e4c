"""Recipes are read strictly: a mistake is named with its file and line."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.curate.copies import FINDERS
from spark_jobs.recipes.deduplications import METHODS
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


RENAMED = """\
name: x
description: Edits that were renamed.
source: nowhere
steps:
  - edit: drop_short_lines
    min_words: 2
    source: nowhere
  - edit: drop_short_lines
    max_words: 9
    source: nowhere
  - edit: drop_long_words
    max_length: 9
    source: nowhere
  - rule: lost_maximum
    statistic: words_removed_ratio
    since: drop_short_lines
    keep: "<="
    threshold: 0.05
    source: nowhere
  - rule: words_range
    statistic: words
    keep: between
    threshold: [5, 1000000]
    source: nowhere
"""


def test_a_renamed_edit_keeps_its_former_name_in_files_and_in_fingerprints(tmp_path: Path) -> None:
    former, current = tmp_path / "former.yaml", tmp_path / "current.yaml"
    former.write_text(RENAMED)
    names = {"drop_short_lines": "keep_lines_of_length", "drop_long_words": "drop_lines_with_long_words"}
    text = RENAMED
    for old, new in names.items():
        text = text.replace(old, new)
    current.write_text(text)
    assert load_recipe(former) == load_recipe(current)
    assert {step.edit for step in load_recipe(current).edits} == set(names.values())
    # As computed before the edits were renamed: tables that were made then are still up to date.
    assert load_recipe(current).fingerprint() == "4b94c43b88007e2f908ff4c924973e36f7e1ed775e65498cc5f2bf5537de83c0"


def test_published_recipes_keep_the_fingerprints_that_tables_were_made_with() -> None:
    assert {name: load_recipe(name).fingerprint()[:16] for name in ("dclm-baseline", "refinedweb")} == {
        "dclm-baseline": "9c1c50bcdd2a962e",
        "refinedweb": "3da416095d3e1e04",
    }


def test_every_deduplication_that_a_recipe_may_name_can_be_run() -> None:
    assert FINDERS.keys() == METHODS.keys()


def test_an_unknown_recipe_is_refused_with_the_known_ones(tmp_path: Path) -> None:
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
        ("threshold: 50", "threshold: 50\n    threshold: 60", 9, "is given twice", "keep one"),
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


BOMB = "[&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]" + "".join(
    f", &{name} [{', '.join(['*' + before] * 10)}]" for before, name in pairwise("abcdefghij")
)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (f"{BOMB}]", "aliases expand to more than 20,000 values"),
        ("&a [*a]", "an alias refers to the value that contains it"),
        ("[" * 5000, "nested more than 50 deep"),
        ("9" * 5000, "an integer needs more than 64 bits"),
        ("9" * 50, "an integer needs more than 64 bits"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("2026-02-31", "day is out of range for month"),
        ("a \0 b", "control characters are not allowed|unacceptable character"),
        ('"' + "9" * 2_000_000 + '"', "the file has 2,000,"),
    ],
)
def test_hostile_yaml_is_refused_in_a_line(tmp_path: Path, value: str, cause: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.replace("threshold: 50", f"threshold: {value}", 1))
    with pytest.raises(WatershedError, match=cause) as error:
        load_recipe(path)
    assert "mine.yaml:" in error.value.cause
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300 + len(str(path))


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
