"""Heuristic rules: the filters of datatrove and the taggers of dolma, and the recipes that mean the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.curation_stages.contest import Agreement, Contest, equal_share
from benchmarks.curation_stages.dolma_peer import import_dolma
from benchmarks.curation_stages.pages import Pages

if TYPE_CHECKING:
    from spark_jobs.recipes.recipe import Recipe

DATATROVE = {
    "gopher-quality": "GopherQualityFilter",
    "gopher-repetition": "GopherRepetitionFilter",
    "fineweb-quality": "FineWebQualityFilter",
    "c4": "C4QualityFilter",
}
"""Recipe and the filter of datatrove that it is."""
GOPHER = {
    "character_count": "characters",
    "word_count": "words",
    "median_word_length": "median_word_length",
    "symbol_to_word_ratio": "symbol_word_ratio",
    "fraction_of_words_with_alpha_character": "alphabetic_word_ratio",
    "required_word_count": "stop_words",
    "fraction_of_lines_starting_with_bullet_point": "bullet_line_ratio",
    "fraction_of_lines_ending_with_ellipsis": "ellipsis_line_ratio",
    "fraction_of_duplicate_lines": "duplicate_line_ratio",
    "fraction_of_characters_in_duplicate_lines": "duplicate_line_character_ratio",
    **{f"fraction_of_characters_in_most_common_{n}grams": f"top_{n}gram_character_ratio" for n in range(2, 5)},
    **{f"fraction_of_characters_in_duplicate_{n}grams": f"duplicate_{n}gram_character_ratio" for n in range(5, 11)},
}
"""dolma's names and ours."""
C4 = {
    "line_count": "lines_dolma",
    "lines_with_no_ending_punctuation": "unpunctuated_lines",
    "lines_with_too_few_words": "short_lines",
    "has_javascript": "javascript_dolma",
    "has_lorem_ipsum": "lorem_ipsum_dolma",
    "has_curly_brace": "curly_brackets_dolma",
}

Decisions = npt.NDArray[np.bool_]
"""Whether each page is kept."""
Values = dict[str, npt.NDArray[np.float64]]
"""By a tagger's name of it, a number of each page."""


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Which pages datatrove's filters keep, each and all; the numbers that dolma's taggers compute."""
    both: dict[str, Any] = {"bytes": pages.text_bytes, "documents": len(pages.texts)}
    recipes = {name: recipe_of(name) for name in DATATROVE}
    filters = {name: datatrove_filter(kind) for name, kind in DATATROVE.items()}
    together = replace(recipes["c4"], name="all", steps=tuple(step for each in recipes.values() for step in each.steps))
    judged = {
        **{name: (recipes[name], [filters[name]], DATATROVE[name]) for name in DATATROVE},
        "all four on every page": (together, list(filters.values()), "four filters"),
    }
    for name, (recipe, peers, kind) in judged.items():
        yield Contest(
            stage=f"rules: {name}",
            peer=f"datatrove {kind}",
            ours=partial(kept, {"text": pages.text_array}, recipe),
            theirs=partial(datatrove_decisions, peers, pages.texts),
            agree=same_decisions,
            **both,
        )
    yield Contest(
        stage="rules: fineweb",
        peer="datatrove pipeline, stops a page at its first drop",
        ours=partial(kept, {"text": pages.text_array}, recipe_of("fineweb")),
        theirs=partial(datatrove_pipeline_decisions, pages.texts),
        agree=same_decisions,
        **both,
    )
    gopher, c4 = dolma_tagger("gopher_v1"), dolma_tagger("c4_v1")
    for stage, tagger, read, work in (
        ("rules: dolma gopher", gopher, gopher_values, partial(our_gopher, pages.text_array)),
        ("rules: dolma c4", c4, c4_values, partial(our_c4, pages.text_array)),
    ):
        yield Contest(
            stage=stage,
            peer=f"dolma {tagger.__class__.__name__}",
            ours=work,
            theirs=partial(dolma_spans, tagger, pages.texts),
            agree=partial(same_values, read),
            **both,
        )


def recipe_of(name: str) -> Recipe:
    """A recipe by its name; `fineweb-quality` is the last filter of `fineweb` alone."""
    from spark_jobs.recipes.reader import load_recipe
    from spark_jobs.recipes.recipe import RECIPES

    if name == "fineweb-quality":
        whole = recipe_of("fineweb")
        last = tuple(step for step in whole.steps if "fineweb_quality_filter" in step.source)
        return replace(whole, name=name, steps=last)
    found = next(iter(sorted(RECIPES.rglob(f"{name}.yaml"))), None)
    return load_recipe(found or name)


def kept(columns: Mapping[str, pa.Array], recipe: Recipe) -> Decisions:
    """Which documents a recipe's steps keep."""
    from spark_jobs.recipes.judge import classify
    from spark_jobs.recipes.steps import measure

    measured = measure(columns, recipe)
    state = pa.array(["ok"] * len(measured.text), pa.string())
    values = pa.record_batch({"state": state, **measured.values})
    return classify(values, recipe).kept.to_numpy(zero_copy_only=False)


def datatrove_filter(name: str, **options: Any) -> Any:
    """A filter of datatrove, with its defaults unless options say otherwise."""
    from datatrove.pipeline import filters

    return getattr(filters, name)(**options)


def datatrove_decisions(filters: Sequence[Any], texts: list[str]) -> Decisions:
    """Pages that every filter keeps; each filter reads every page as it is, because some filters rewrite it."""
    from datatrove.data import Document

    kept_by = [[bool(_kept(each.filter(Document(text=text, id="")))) for text in texts] for each in filters]
    return np.logical_and.reduce(np.array(kept_by, np.bool_), axis=0)


def datatrove_pipeline_decisions(texts: list[str]) -> Decisions:
    """Pages that come through FineWeb's filters, one after the other, as datatrove's example runs them."""
    from datatrove.data import Document

    documents: Any = (Document(text=text, id=str(number)) for number, text in enumerate(texts))
    for each in fineweb_filters():
        documents = each.run(documents)
    found = np.zeros(len(texts), np.bool_)
    found[[int(document.id) for document in documents]] = True
    return found


@cache
def fineweb_filters() -> tuple[Any, ...]:
    """huggingface/datatrove, examples/fineweb.py, from the repetition filter on."""
    return (
        datatrove_filter("GopherRepetitionFilter"),
        datatrove_filter("GopherQualityFilter"),
        datatrove_filter("C4QualityFilter", filter_no_terminal_punct=False),
        datatrove_filter("FineWebQualityFilter"),
    )


def _kept(result: bool | tuple[bool, str]) -> bool:
    return result[0] if isinstance(result, tuple) else result


def same_decisions(ours: Decisions, theirs: Decisions) -> Agreement:
    """Share of pages that both keep or both drop."""
    share = equal_share(ours.tolist(), theirs.tolist())
    return Agreement(
        share, f"kept or dropped, of {len(ours):,} pages (ours keeps {ours.sum():,}, peer {theirs.sum():,})"
    )


def dolma_tagger(name: str) -> Any:
    """A tagger of dolma; its list of bad words is emptied, because our recipe has no such list."""
    dolma = import_dolma()
    dolma.taggers.c4.NAUGHTY_WORDS, dolma.taggers.c4.NAUGHTY_PHRASES = set(), set()
    return dolma.TaggerRegistry.get(name)()


def dolma_spans(tagger: Any, texts: list[str]) -> list[Any]:
    """The spans that a tagger returns for each text."""
    from dolma.core.data_types import Document

    return [tagger.predict(Document(source="", version=None, id="", text=text)).spans for text in texts]


def our_gopher(text: pa.Array) -> Values:
    """The numbers of dolma's Gopher tagger."""
    from spark_jobs.measures import dolma

    found = dolma.PASSES[0].compute(text)
    return {theirs: _numbers(found.column(f"{ours}_dolma")) for theirs, ours in GOPHER.items()}


def our_c4(text: pa.Array) -> Values:
    """The numbers of dolma's C4 tagger."""
    from spark_jobs.measures import dolma

    found = dolma.PASSES[1].compute(text)
    return {theirs: _numbers(found.column(ours)) for theirs, ours in C4.items()}


def _numbers(column: pa.Array) -> npt.NDArray[np.float64]:
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False)


def gopher_values(spans: list[Any]) -> dict[str, float]:
    """Of one page: by name, the score."""
    return {span.type: span.score for span in spans}


def c4_values(spans: list[Any]) -> dict[str, float]:
    """Of one page: how many spans of a kind there are; of lines, their number."""
    return Counter(span.type for span in spans) | {span.type: span.score for span in spans if span.type == "line_count"}


def same_values(read: Callable[[list[Any]], dict[str, float]], ours: Values, theirs: list[Any]) -> Agreement:
    """Share of numbers that are equal; of what a tagger says by a flag, whether there is any."""
    pages = [read(spans) for spans in theirs]
    equal = []
    for name, numbers in ours.items():
        others = np.array([page.get(name, 0) for page in pages], np.float64)
        most = 1 if name.startswith("has_") else np.inf
        equal.append(np.isclose(np.minimum(numbers, most), np.minimum(others, most), rtol=1e-9, atol=1e-12).mean())
    return Agreement(float(np.mean(equal)), f"{len(ours)} numbers of {len(pages):,} pages, equal to nine digits")
