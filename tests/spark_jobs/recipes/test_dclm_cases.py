"""All cases recorded from DCLM's own tests hold: same verdict, same text, and an error where its code raises.

The 16 cases of paragraph deduplication (bff_golden) are those of its own test. Small counterparts that need no
recorded case: tests/spark_jobs/{edits,measures,kernels}.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from spark_jobs import measures
from spark_jobs.archives.extract import extract
from spark_jobs.classifiers.languages import language
from spark_jobs.edits import EDITS
from spark_jobs.measures import dclm, urls
from spark_jobs.measures.normal import ccnet_normalize, normalize_url, normalize_whitespace_and_lowercase
from spark_jobs.recipes.judge import classify
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import Recipe, Rule
from spark_jobs.recipes.steps import words_removed_ratio

CASES = Path(os.environ.get("WATERSHED_SHARED", "/nowhere")) / "data/cases/dclm"
Case = dict[str, Any]

# An edit, and what its options are called in DCLM.
EDITED = {
    "url_removal_modifier": ("remove_urls", {}),
    "newline_removal_modifier": ("limit_newlines", {}),
    "uppercase_ratio_line_modifier": ("drop_uppercase_lines", {}),
    "numeric_ratio_line_modifier": ("drop_numeric_lines", {}),
    "counter_line_modifier": ("drop_counter_lines", {}),
    "line_length_modifier": ("keep_lines_of_length", {"min_length": "min_words", "max_length": "max_words"}),
    "substring_line_modifier": ("drop_substring_lines", {"max_length": "max_words"}),
    "punctuation_line_modifier": ("drop_unpunctuated_lines", {}),
    "word_length_modifier": ("drop_lines_with_long_words", {"model": "words", "ignore_punctuation": "punctuation"}),
    "citation_removal_modifier": ("remove_citations", {}),
}
WORDS = {"fasttext": "fasttext", "split": "split", "uniseg": "unicode"}
BOUNDED = {
    "symbol_ratio_filter": ("symbol_word_ratio", "max_symbol_to_word_ratio"),
    "bullet_count_filter": ("bullet_line_ratio", "max_bullet_start_ratio"),
    "ellipsis_count_filter": ("ellipsis_line_ratio", "max_ellipsis_end_ratio"),
    "alphabetic_word_ratio_filter": ("no_alphabetic_word_ratio", "max_ratio"),
}
REPETITION = {
    "duplicate_line_ratio": 0.3,
    "duplicate_paragraph_ratio": 0.3,
    "duplicate_line_character_ratio": 0.2,
    "duplicate_paragraph_character_ratio": 0.2,
    "top_2gram_character_ratio": 0.2,
    "top_3gram_character_ratio": 0.18,
    "top_4gram_character_ratio": 0.16,
    **{f"duplicate_{n}gram_character_ratio": (20 - n) / 100 for n in range(5, 11)},
}


def text_of(case: Case, column: str = "text") -> pa.Array:
    """The page's text; of no type where the page has none."""
    return pa.array([case["input"].get(column)])


def measure(case: Case, name: str, options: dict[str, str] | None = None) -> Any:
    (found,) = (
        (by, statistic)
        for by in dclm.PASSES
        for statistic in by.statistics
        if statistic.name == name and statistic.options == (options or {})
    )
    return found[0].compute(text_of(case)).column(found[1].column)[0].as_py()


def is_between(value: float | None, low: float, high: float) -> str:
    return "keep" if value is not None and low <= value <= high else "drop"


def verdict_of_rules(columns: dict[str, Any], *rules: Rule) -> str:
    recipe = Recipe(name="case", description="", source="", steps=rules)
    documents = pa.table({"state": ["ok"], **{name: [value] for name, value in columns.items()}})
    return "keep" if classify(documents, recipe).kept[0].as_py() else "drop"


def edited(case: Case) -> tuple[str, str]:
    name, renamed = EDITED[case["component"]]
    options = {renamed.get(key, key): value for key, value in case["config"].items()}
    if "punctuation" in options:
        options["punctuation"] = "ignored" if options["punctuation"] else "counted"
    checked = measures.checked(name, options, EDITS[name].options)
    text = EDITS[name].apply(text_of(case), **checked)[0].as_py()
    # DCLM lets an empty page pass here, and here only; the next rule drops it.
    return "keep" if text or name == "limit_newlines" else "drop", text


def without_repeats(case: Case) -> tuple[str, str]:
    name = f"drop_repeated_{case['config']['granularity']}s"
    return "keep", EDITS[name].apply(text_of(case), normalize=case["config"].get("normalize", True))[0].as_py()


def page_length(case: Case) -> str:
    config = case["config"]
    statistic = {"char": "characters", "word": "words", "sentence": "sentences"}.get(
        config["length_type"], config["length_type"] + "s"
    )
    words, ignored = WORDS[config.get("model", "fasttext")], config.get("ignore_punctuation", False)
    options = {"words": words, "punctuation": "ignored" if ignored else "counted"}
    if statistic != "words" or options == {"words": "fasttext", "punctuation": "ignored"}:
        options = {}
    return is_between(measure(case, statistic, options), config["min_length"], config.get("max_length", math.inf))


def stop_words(case: Case) -> str:
    name = "unique_stop_words" if case["config"]["count_unique"] else "stop_words"
    return is_between(measure(case, name), case["config"]["min_stop_word"], math.inf)


def word_length(case: Case) -> str:
    low, high = case["config"].get("min_length", 0), case["config"].get("max_length", math.inf)
    return is_between(measure(case, "mean_word_length"), low, high)


def bounded(case: Case) -> str:
    name, bound = BOUNDED[case["component"]]
    return is_between(measure(case, name), 0, case["config"][bound])


def repetition(case: Case) -> str:
    piece, characters = case["config"]["granularity"], case["config"].get("count_characters", True)
    if isinstance(piece, int):
        name = f"{'top' if piece < 5 else 'duplicate'}_{piece}gram_character_ratio"
    else:
        name = f"duplicate_{piece}_character_ratio" if characters else f"duplicate_{piece}_ratio"
    return is_between(measure(case, name), 0, case["config"]["max_fraction"])


def massive_web_repetition(case: Case) -> str:
    verdicts = {is_between(measure(case, name), 0, most) for name, most in REPETITION.items()}
    return "drop" if "drop" in verdicts else "keep"


def words_removed(case: Case) -> str:
    config, page = case["config"], case["input"]
    options = {} if config.get("ignore_punctuation", True) else {"words": "fasttext", "punctuation": "counted"}
    after = page.get(config.get("new_word_count_key"), measure(case, "words", options))
    ratio = words_removed_ratio(pa.array([page[config["prev_word_count_key"]]]), pa.array([after]))[0].as_py()
    rule = Rule(
        name="r", statistic="removed", keep="<=", threshold=config.get("max_removed_ratio", 0.05), source="DCLM"
    )
    return verdict_of_rules({"removed": ratio}, rule)


def language_kept(case: Case, folder: Path) -> str:
    """The rule is read from a recipe, as a user would write it."""
    wanted = json.dumps(case["config"]["keep_languages"])
    rules = f"""
  - {{rule: language_kept, statistic: language, keep: in, threshold: {wanted}, source: DCLM}}
  - {{rule: score_minimum, statistic: language_score, keep: ">", threshold: {case["config"].get("threshold", 0.0)},
     source: DCLM}}
"""
    file = folder / "recipe.yaml"
    file.write_text("name: case\ndescription: a case\nsource: DCLM\nsteps:" + rules)
    recipe = load_recipe(file)
    documents = pa.table({"state": ["ok"]})
    for code, score in case["input"].get("language_id_whole_page_langdetect", {}).items():
        documents = pa.table({"state": ["ok"], "language": [code], "language_score": [score]})
    return "keep" if classify(documents, recipe).kept[0].as_py() else "drop"


def quality_kept(case: Case) -> str:
    config = case["config"]
    columns = {name: value for name, value in case["input"].items() if name != "text"}
    if not config.get("key_must_exist", True):
        columns.setdefault(config["key"], None)
    keep = "<=" if config.get("lower_better") else ">="
    rule = Rule(name="r", statistic=config["key"], keep=keep, threshold=config["threshold"], source="DCLM")
    return verdict_of_rules(columns, rule)


def phrase_found(case: Case, folder: Path) -> str:
    config = dict(case["config"])
    if config.pop("banlist_from_fname", None):
        (folder / "words.txt").write_text("someother\nxxx\n")
        config["file"] = str(folder / "words.txt")
    matcher = dclm.MATCHERS["substring_matches"]
    found = matcher.compute(text_of(case), **measures.checked(matcher.name, config, matcher.options))
    return "drop" if found[0].as_py() else "keep"


def url_words_found(case: Case) -> str:
    config = dict(case["config"])
    most = config.pop("num_banned_substrs", 1)
    options = {"whole_words": not config.pop("match_substrings", True), "ignore": config.pop("ignore_chars", ())}
    matcher = urls.MATCHERS["url_words"]
    found = matcher.compute(text_of(case, "url"), **measures.checked(matcher.name, config | options, matcher.options))
    return "drop" if found[0].as_py() >= most else "keep"


def extracted(case: Case) -> tuple[str, str | None]:
    text = extract(case["input"]["text"].encode(), "text/html").text
    return "keep" if text else "drop", text


def detected_language(case: Case) -> tuple[str, str]:
    text = case["input"]["text"]
    (expected,) = case["expect"]["pages"][0][f"language_id_whole_page_{case['config']['model']}"]
    assert language(text)[0] == expected
    return "keep", text


NORMALIZED: dict[str, Callable[[str], str]] = {
    "normalize_url": normalize_url,
    "normalize_whitespace_and_lowercase": normalize_whitespace_and_lowercase,
    "ccnet_dedup_normalizer": ccnet_normalize,
}
WITHOUT_FILES: dict[str, Callable[[Case], str | tuple[str, str | None]]] = {
    **dict.fromkeys(EDITED, edited),
    **dict.fromkeys(BOUNDED, bounded),
    "within_page_dedup": without_repeats,
    "page_length_filter": page_length,
    "stop_word_filter": stop_words,
    "word_length_filter": word_length,
    "repetition_filter": repetition,
    "massive_web_repetition_filters": massive_web_repetition,
    "word_removal_ratio_filter": words_removed,
    "quality_filter": quality_kept,
    "url_substring_filter": url_words_found,
    "html_content_extraction_modifier": extracted,
    "detect_lang_whole_page_enricher": detected_language,
}
WITH_FILES: dict[str, Callable[[Case, Path], str]] = {
    "language_filter": language_kept,
    "substring_filter": phrase_found,
}


def check(case: Case, folder: Path) -> None:
    component, expected = case["component"], case["expect"]
    if component in NORMALIZED:
        assert NORMALIZED[component](case["input"]["value"]) == expected["value"], case
        return
    decide = WITHOUT_FILES.get(component) or (lambda case: WITH_FILES[component](case, folder))
    # A recipe that keeps no language at all is refused, where DCLM drops every page.
    if "raises" in expected or case["config"].get("keep_languages") == []:
        with pytest.raises((WatershedError, TypeError)):
            decide(case)
        return
    found = decide(case)
    verdict, text = (found, None) if isinstance(found, str) else found
    assert verdict == expected["verdict"], (verdict, case)
    if not isinstance(found, str) and verdict == "keep":
        kept = expected["pages"][0]["text"] if "pages" in expected else case["input"]["text"]
        assert text == kept, case


@pytest.mark.skipif(not CASES.is_dir(), reason="WATERSHED_SHARED does not lead to recorded cases")
def test_every_recorded_case_holds(tmp_path: Path) -> None:
    checked: Counter[str] = Counter()
    for file in sorted(CASES.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            if file.stem != "bff_golden":
                check(case, tmp_path)
            checked[file.stem] += 1
    assert checked == {
        "bff_golden": 16,
        "c4": 37,
        "dedup_exact": 14,
        "extraction": 3,
        "gopher_quality": 191,
        "gopher_repetition": 39,
        "language": 13,
        "line_modifiers": 56,
        "quality_model": 8,
        "refinedweb": 74,
        "url_filter": 32,
    }
    assert checked.total() == 483
