"""Every edit rewrites every text as DCLM's code would: compared with a plain reference, a text at a time."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import edit_reference as reference
import fasttext
import pyarrow as pa
import pytest
from edit_texts import EDGE_CASES, random_texts
from uniseg.wordbreak import words as unicode_segments

from catalog.errors import WatershedError
from spark_jobs.edits import EDITS
from spark_jobs.edits.datatrove import drop_lines_with_phrases
from spark_jobs.edits.lines import (
    drop_counter_lines,
    drop_lines_with_long_words,
    drop_numeric_lines,
    drop_unpunctuated_lines,
    drop_uppercase_lines,
    keep_lines_of_length,
)
from spark_jobs.edits.newlines_and_citations import limit_newlines, remove_citations
from spark_jobs.edits.repeats import drop_repeated_lines, drop_repeated_paragraphs
from spark_jobs.edits.substrings import drop_substring_lines
from spark_jobs.edits.urls import ALL, BEGUN, remove_urls, top_level_domains

TEXTS = [*EDGE_CASES, *random_texts(3000, seed=11)]
Array = pa.Array


def assert_equal(edit: Callable[[Array], Array], expected: Callable[[str], str], texts: Sequence[str] = TEXTS) -> None:
    for text, edited in zip(texts, edit(pa.array(texts)).to_pylist(), strict=True):
        assert edited == expected(text), repr(text[:300])


@pytest.mark.parametrize("pages", [ALL, BEGUN])
def test_urls_are_found_where_the_expression_finds_them(pages: str) -> None:
    domains = tuple("com org co uk de net th in рф 中国 भारत भारतम् vermögensberater 中".split())
    from spark_jobs.kernels.urls import domains_of, without_ipv4, without_urls, without_urls_where_begun

    find = without_urls if pages == ALL else without_urls_where_begun
    assert_equal(
        lambda texts: without_ipv4(find(texts, domains_of(domains))),
        lambda text: reference.without_urls(text, domains, pages == ALL),
    )


def test_all_domains_of_the_list_are_found() -> None:
    domains = top_level_domains()
    assert len(domains) == 1591
    assert {"com", "org", "uk", "de", "museum", "рф"} <= set(domains)
    # The expression takes a millisecond a text: a third of the domains will do.
    texts = [f"{(name, name.title(), f'q{name}')[i % 3]} x.{name}/y x.{name} z" for i, name in enumerate(domains[::3])]
    assert_equal(remove_urls, lambda text: reference.without_urls(text, domains, everywhere=False), texts)
    assert remove_urls(pa.array(["aaa x.aaa/y x.aaa z"])).to_pylist() == ["aaa z"]


def test_a_list_of_domains_that_is_missing_is_named() -> None:
    with pytest.raises(WatershedError, match=r"nowhere/domains\.txt"):
        remove_urls(pa.array(["a"]), domains="nowhere/domains.txt")


@pytest.mark.parametrize("most", [0, 1, 2, 3, 70])
def test_newlines_in_a_row_are_limited(most: int) -> None:
    assert_equal(
        lambda texts: limit_newlines(texts, max_consecutive=most), lambda text: reference.limit_newlines(text, most)
    )


def test_citations_are_cut() -> None:
    assert_equal(remove_citations, reference.remove_citations)


@pytest.mark.parametrize("most", [0, 1 / 12, 0.2, 1 / 3, 0.5, 0.999999, 1])
def test_lines_of_upper_case_and_of_digits_are_dropped(most: float) -> None:
    assert_equal(
        lambda texts: drop_uppercase_lines(texts, max_ratio=most),
        lambda text: reference.drop_by_share(text, str.isupper, most),
    )
    assert_equal(
        lambda texts: drop_numeric_lines(texts, max_ratio=most),
        lambda text: reference.drop_by_share(text, str.isdigit, most),
    )


def test_counters_are_dropped() -> None:
    assert_equal(drop_counter_lines, reference.drop_counter_lines)


@pytest.mark.parametrize(("least", "most"), [(2, None), (0, 3), (2, 10), (5, None), (0, None), (1, 0)])
def test_lines_of_too_few_or_too_many_words_are_dropped(least: int, most: int | None) -> None:
    assert_equal(
        lambda texts: keep_lines_of_length(texts, min_words=least, max_words=most),
        lambda text: reference.keep_lines_of_length(text, least, math.inf if most is None else most),
    )


def test_words_of_a_line_are_counted_across_blocks() -> None:
    texts = [("a" * i + "\u3000" + "b" * j + "\u00a0c")[:190] for i in range(55, 75) for j in range(0, 140, 7)]
    for least in (2, 3):
        assert_equal(
            lambda batch, least=least: keep_lines_of_length(batch, min_words=least),
            lambda text, least=least: reference.keep_lines_of_length(text, least),
            texts,
        )


@pytest.mark.parametrize("remove_ellipses", [False, True])
def test_lines_without_an_end_are_dropped(remove_ellipses: bool) -> None:
    assert_equal(
        lambda texts: drop_unpunctuated_lines(texts, remove_ellipses=remove_ellipses),
        lambda text: reference.drop_unpunctuated_lines(text, remove_ellipses),
    )


@pytest.mark.parametrize("most", [0, 3, 10, 60])
@pytest.mark.parametrize("punctuation", ["counted", "ignored"])
@pytest.mark.parametrize(
    ("words", "split"), [("split", str.split), ("fasttext", fasttext.tokenize), ("unicode", unicode_segments)]
)
def test_lines_with_long_words_are_dropped(
    words: str, split: Callable[[str], list[str]], punctuation: str, most: int
) -> None:
    texts = TEXTS[: len(EDGE_CASES) + 500]
    assert_equal(
        lambda batch: drop_lines_with_long_words(batch, max_length=most, words=words, punctuation=punctuation),
        lambda text: reference.drop_lines_with_long_words(
            text, most, lambda line: list(split(line)), punctuation == "ignored"
        ),
        texts,
    )


@pytest.mark.parametrize(
    ("banlist", "location", "max_words", "only", "cased"),
    [
        (["items in cart"], "any", 10, True, False),
        (["Read more..."], "suffix", 10, True, False),
        (["Sign-in"], "prefix", 10, True, False),
        (["javascript"], "any", None, False, False),
        (["JavaScript", "enabled"], "any", None, False, True),
        (["items in cart", "read more", "中"], "any", 3, False, False),
        (["w(or)?d", r"\d+"], "any", None, True, False),
        (["é", "K"], "any", None, True, False),
        (["a"], "suffix", 2, True, True),
        ([r"\bthe\b"], "prefix", None, False, False),
        (["x"], "any", None, True, False),
    ],
)
def test_phrases_are_cut_out_of_lines(
    banlist: list[str], location: str, max_words: int | None, only: bool, cased: bool
) -> None:
    assert_equal(
        lambda texts: drop_substring_lines(
            texts,
            banlist=banlist,
            location=location,
            max_words=max_words,
            remove_substring_only=only,
            case_sensitive=cased,
        ),
        lambda text: reference.drop_substring_lines(
            text,
            banlist=banlist,
            location=location,
            max_words=max_words,
            remove_substring_only=only,
            case_sensitive=cased,
        ),
    )


@pytest.mark.parametrize("phrases", [["items in cart"], ["THE", "x."], ["ß", "i\u0307"], ["javascript", "use cookies"]])
def test_lines_with_plain_phrases_are_dropped_by_their_lower_case(phrases: list[str]) -> None:
    wanted = [phrase.lower() for phrase in phrases]

    def expected(text: str) -> str:
        left = [line for line in text.split("\n") if not any(phrase in line.lower() for phrase in wanted)]
        return "\n".join(left).strip()

    odd = ["JAVASCR\u0130PT", "JavaScr\u0131pt", "Java\u017fcript", "U\u017fe Cookies", "use coo\u212aies", "X."]
    for text in (*odd, "\n".join(odd)):
        assert drop_lines_with_phrases(pa.array([text]), phrases=phrases)[0].as_py() == expected(text)
    assert_equal(lambda texts: drop_lines_with_phrases(texts, phrases=phrases), expected)


@pytest.mark.parametrize("phrases", [(), "", ("a", "")])
def test_a_phrase_must_not_be_empty(phrases: tuple[str, ...]) -> None:
    with pytest.raises(WatershedError, match="missing or empty"):
        drop_lines_with_phrases(pa.array(["a"]), phrases=phrases)


def test_an_invalid_regular_expression_is_named_in_the_error() -> None:
    with pytest.raises(WatershedError, match=r"\(open"):
        drop_substring_lines(pa.array(["a"]), banlist="(open")
    with pytest.raises(WatershedError, match="banlist is empty"):
        drop_substring_lines(pa.array(["a"]), banlist=())


@pytest.mark.parametrize("normalize", [True, False])
def test_what_a_page_says_again_is_dropped(normalize: bool) -> None:
    assert_equal(
        lambda texts: drop_repeated_lines(texts, normalize=normalize),
        lambda text: reference.drop_repeats(text, "\n", normalize),
    )
    assert_equal(
        lambda texts: drop_repeated_paragraphs(texts, normalize=normalize),
        lambda text: reference.drop_repeats(text, "\n\n", normalize),
    )


OPTIONS = {
    "drop_substring_lines": {"banlist": ("items in cart", "a"), "remove_substring_only": True},
    "drop_lines_with_phrases": {"phrases": ("items in cart", "a")},
    "drop_numeric_lines": {"max_ratio": 0.5},
    "keep_lines_of_length": {"min_words": 2},
    "mask_personal": {"phone_numbers": True},
    "drop_lines_with_long_words": {"max_length": 5},
    "remove_urls": {"pages": ALL},
}


@pytest.mark.parametrize("name", EDITS)
def test_layouts_of_arrow_strings_and_neighbours_do_not_matter(name: str) -> None:
    texts = [None, *EDGE_CASES, None, *random_texts(60, seed=5), None]
    apply, options = EDITS[name].apply, OPTIONS.get(name, {})
    expected = [None if text is None else apply(pa.array([text]), **options)[0].as_py() for text in texts]
    for type_ in (pa.string(), pa.large_string(), pa.string_view()):
        array = pa.array(texts, type_)
        edited = apply(array, **options)
        assert edited.type == type_
        assert edited.to_pylist() == expected
        edited.validate(full=True)
        assert apply(array[3:31], **options).to_pylist() == expected[3:31]
        assert apply(array[len(texts) - 2 :], **options).to_pylist() == expected[-2:]
        assert apply(array[:0], **options).to_pylist() == []
    assert apply(pa.array(texts[::-1], pa.string()), **options).to_pylist() == expected[::-1]


# C4's rewriting by datatrove parts a text into sentences and joins them anew.
@pytest.mark.parametrize("name", sorted(EDITS.keys() - {"c4_lines"}))
def test_a_batch_that_needs_no_edit_is_returned_without_a_copy(name: str) -> None:
    texts = pa.array(["The river rises in the hills.", None, "It gathers the rain of the whole valley."])
    options = {
        **OPTIONS,
        "drop_substring_lines": {"banlist": ("items in cart",)},
        "drop_lines_with_phrases": {"phrases": ("items in cart",)},
        "drop_lines_with_long_words": {},
    }
    edited = EDITS[name].apply(texts, **options.get(name, {}))
    assert edited.equals(texts)
    assert edited.buffers()[2].address == texts.buffers()[2].address


@pytest.mark.parametrize("name", EDITS)
def test_bytes_that_are_not_utf8_do_not_crash(name: str) -> None:
    broken = [
        b"ok then\xe4\nx",
        b"\xff\xfe\x80\xf0\x9f 3 likes",
        b"\xc3",
        b"a@b.c\xe2\x80 items in cart\xe2",
        b"\x80" * 99,
    ]
    texts = pa.array(broken, pa.binary()).view(pa.string())
    assert len(EDITS[name].apply(texts, **OPTIONS.get(name, {}))) == len(broken)


def test_every_option_has_its_default_and_edits_load_nothing_heavy() -> None:
    for name, edit in EDITS.items():
        assert edit.name == name
        assert edit.description
        lists = {"banlist", "phrases"} & edit.options.keys()
        defaults = {key: option.default for key, option in edit.options.items() if key not in lists}
        defaults |= dict.fromkeys(lists, ("items in cart",))
        assert len(edit.apply(pa.array(["A text."]), **defaults)) == 1
    code = (
        "import sys, spark_jobs.edits; print([m for m in ('numba', 'scipy', 'pandas', 'pyspark') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
