"""OLMoE's filters, with its thresholds, and the amounts that a mixture asks of its sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.projects.mixture_file import SHIPPED, FilterEntry, MixtureRecipe, MixtureSource, read_mixture
from spark_jobs.mixtures.amounts import asked_tokens, repeats_of
from spark_jobs.mixtures.filters import Read, RepeatedNgrams, Stars, WordShares, filters_of

OTHERS = list(range(1_000, 1_050))
"""Tokens that occur once."""


def documents(*tokens: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of documents, one after another, and where they end."""
    return np.array([token for each in tokens for token in each], np.uint32), np.cumsum([0, *map(len, tokens)])


def slow(tokens: list[int], repeats: int, longest: int) -> bool:
    """Whether an n-gram follows itself so often, by looking at every place."""
    return any(
        tokens[start : start + n] * repeats == tokens[start : start + n * repeats]
        for n in range(1, longest + 1)
        for start in range(len(tokens) - n * repeats + 1)
    )


@pytest.mark.parametrize("n", range(1, 14))
def test_32_repeats_of_an_ngram_drop_a_document_and_31_do_not(n: int) -> None:
    gram = list(range(n))
    many, few = [*OTHERS, *gram * 32, *OTHERS], [*OTHERS, *gram * 31, *OTHERS]
    # The 32nd repetition lacks its last token.
    short = [*OTHERS, *(gram * 32)[:-1], *OTHERS]
    assert RepeatedNgrams().repeated(*documents(many, few, short)).tolist() == [True, False, False]


def test_an_ngram_of_14_tokens_is_none_and_other_documents_do_not_add_to_it() -> None:
    halves = [[5] * 16, [5] * 16]
    found = RepeatedNgrams().repeated(*documents(list(range(14)) * 40, *halves, [], [5] * 32))
    assert found.tolist() == [False, False, False, False, True]
    # Interrupted once: 31 and 31.
    assert not RepeatedNgrams().repeated(*documents([5] * 31 + [6] + [5] * 31))[0]


def test_repeated_ngrams_agree_with_a_slow_search() -> None:
    generator = np.random.default_rng(0)
    tokens = [generator.integers(0, 2, size).tolist() for size in generator.integers(0, 40, 300)]
    for repeats, longest in ((2, 1), (3, 4), (5, 2)):
        found = RepeatedNgrams(repeats=repeats, longest=longest).repeated(*documents(*tokens))
        assert found.tolist() == [slow(each, repeats, longest) for each in tokens]


def test_a_word_of_more_than_30_percent_or_two_of_more_than_50_drop_a_document() -> None:
    rule, others = WordShares(), [f"w{at}" for at in range(10)]
    assert not rule.exceeds(" ".join(["a"] * 3 + others[:7]))  # 3 of 10: exactly 30%
    assert rule.exceeds(" ".join(["a"] * 4 + others[:9]))  # 4 of 13: 30.8%
    assert not rule.exceeds(" ".join(["a"] * 5 + ["b"] * 5 + [f"w{at}" for at in range(10)]))  # 10 of 20: exactly 50%
    assert rule.exceeds(" ".join(["a"] * 5 + ["b"] * 6 + [f"w{at}" for at in range(10)]))  # 11 of 21, 5 and 6 of 21
    assert not rule.exceeds("")


def test_repositories_below_two_stars_or_without_a_number_are_dropped() -> None:
    empty = np.empty(0, np.uint32)
    texts = pa.array(["x"] * 4)
    read = Read(
        texts=texts, ids=empty, ends=np.zeros(5, np.int64), columns={"max_stars_count": pa.array([0, 1, 2, None])}
    )
    assert Stars().drops(read).tolist() == [True, True, False, True]
    with pytest.raises(WatershedError, match="the column max_stars_count holds no numbers"):
        Stars().drops(Read(texts=texts, ids=empty, ends=read.ends, columns={"max_stars_count": pa.array(["many"] * 4)}))


@pytest.mark.parametrize(
    ("entry", "cause"),
    [
        (FilterEntry(name="star"), "the filter 'star' is not known; close: stars"),
        (FilterEntry(name="stars", options=(("most", 3),)), "has no option most = 3"),
        (FilterEntry(name="stars", options=(("least", "two"),)), "has no option least = 'two'"),
        (FilterEntry(name="repeated_ngrams", options=(("repeats", 1),)), "repeated_ngrams: repeats = 1"),
    ],
)
def test_a_filter_that_is_declared_wrongly_is_refused(entry: FilterEntry, cause: str) -> None:
    with pytest.raises(WatershedError, match=cause.replace("(", r"\(")):
        filters_of([entry], "m.toml: source code")


def test_olmoes_recipe_has_the_published_tokens_and_filters() -> None:
    recipe = read_mixture(SHIPPED / "olmoe_mix_0924.toml")
    billions = {each.name: (each.tokens or 0) / 1e9 for each in recipe.sources}
    assert billions == {
        "dclm": 3860,
        "starcoder": 101,
        "pes2o": 57.2,
        "arxiv": 21.1,
        "open_web_math": 12.7,
        "algebraic_stack": 12.6,
        "wikipedia": 3.69,
    }
    # The card's total, rounded as the card rounds it: 4.07 T.
    assert round(sum(billions.values()) / 1e3, 2) == 4.07
    assert recipe.tokens == round(sum(billions.values()) * 1e9)
    filters = {each.name: filters_of(each.filters, "") for each in recipe.sources}
    assert all(each["repeated_ngrams"] == RepeatedNgrams(repeats=32, longest=13) for each in filters.values())
    assert filters["starcoder"]["stars"] == Stars(least=2)
    assert filters["starcoder"]["word_shares"] == WordShares(first=0.3, two=0.5)
    assert sum(len(each) for each in filters.values()) == 9


def recipe_of(*sources: MixtureSource, tokens: int | None = None, most_repeats: float = 4) -> MixtureRecipe:
    """A recipe of sources."""
    return MixtureRecipe(
        name="m", path=Path("m.toml"), description="", tokenizer="t", sources=sources, tokens=tokens,
        most_repeats=most_repeats,
    )  # fmt: skip


A3 = MixtureSource(name="a", table="x.a", weight=3)
B1 = MixtureSource(name="b", table="x.b", weight=1)
TWICE = MixtureSource(name="c", table="x.c", repeats=2)
FIXED = MixtureSource(name="d", table="x.d", tokens=50)


def test_weights_share_what_tokens_and_repeats_leave() -> None:
    available = {"a": 1_000, "b": 1_000, "c": 100, "d": 100}
    assert asked_tokens(recipe_of(A3, B1, TWICE, FIXED, tokens=650), available) == {
        "a": 300,
        "b": 100,
        "c": 200,
        "d": 50,
    }
    # Without a total, no weighted source is read twice: b would need 333 for all of a, and has 30.
    assert asked_tokens(recipe_of(A3, B1, TWICE), available | {"b": 30}) == {"a": 90, "b": 30, "c": 200}


@pytest.mark.parametrize(
    ("recipe", "available", "cause"),
    [
        (recipe_of(A3, B1), {"a": 10, "b": 0}, "the source b is empty"),
        (recipe_of(A3, B1, tokens=1_000), {"a": 1_000, "b": 50}, "250 tokens of b need 5.00 repeats of the 50"),
        (recipe_of(A3, TWICE, tokens=200), {"a": 10, "c": 100}, "take 200 tokens, which leaves nothing of 200"),
        (recipe_of(TWICE, most_repeats=1), {"c": 100}, "200 tokens of c need 2.00 repeats of the 100 that it has"),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_met_are_refused_with_the_numbers(
    recipe: MixtureRecipe, available: dict[str, int], cause: str
) -> None:
    with pytest.raises(WatershedError, match=cause):
        asked_tokens(recipe, available)


def test_a_larger_amount_takes_the_same_documents_and_more() -> None:
    ids, tokens = [f"{at:032x}" for at in range(200)], np.full(200, 10)
    before = np.zeros(200, np.int64)
    for asked in (1, 10, 500, 1_000, 1_990, 2_000, 3_000, 4_004):
        repeats = repeats_of(0, ids, tokens, asked)
        assert (repeats >= before).all()
        assert (repeats * tokens).sum() == max(10, round(asked / 10) * 10)
        before = repeats
    assert (repeats_of(0, ids, tokens, 2_000) == 1).all()
    assert (repeats_of(1, ids, tokens, 500) != repeats_of(0, ids, tokens, 500)).any()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "there is no \\[\\[sources\\]\\]"),
        ("tokenizer = 3\n[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = 1", "tokenizer = 3 is not a text"),
        ("[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = 1", "tokenizer is missing"),
        ("seeds = 1\n[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = 1", "unknown entry 'seeds'"),
        ("[[sources]]\nname = 'a'\nweight = 1", "names a table and files, or neither"),
        ("[[sources]]\nname = 'a'\ntable = 'x.a'", "not exactly one of weight, tokens and repeats"),
        ("[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = -1", "source a: weight = -1 is not a number"),
        ("[[sources]]\nname = 'A B'\ntable = 'x.a'\nweight = 1", "the name 'A B' of source 1"),
        (2 * "[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = 1\n", "two sources are called a"),
        (
            "[[sources]]\nname = 'a'\ntable = 'x.a'\nweight = 1\n[[sources]]\nname = 'b'\ntable = 'x.a'\nweight = 1",
            "the sources a and b have the same key: both are the same rows of x.a",
        ),
        ("tokenizer = 't'\ntokens = 5\n[[sources]]\nname = 'a'\ntable = 'x.a'\ntokens = 6", "add up to 6, "),
    ],
)  # fmt: skip
def test_a_recipe_that_is_written_wrongly_is_refused_with_its_entry(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(WatershedError, match=cause):
        read_mixture(tmp_path / "m.toml")
