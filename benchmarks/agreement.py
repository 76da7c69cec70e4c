"""How far our statistics and decisions equal those of datatrove and dolma, page by page.

    uv run --group bench python -m benchmarks.agreement [--corpus DIR] [--pages N] [--mutated N] [--json FILE]

Both sides get the same extracted pages, and then excerpts of them with addresses, dashes, emoticons and letters beyond
ASCII inserted (`mutated_pages`). `docs/agreement.md` says where the differences come from.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from benchmarks.mutated_pages import mutated_pages
from benchmarks.peer_filters import FLAGS, RULES, STATISTICS, datatrove_decision, datatrove_filters, equal
from spark_jobs import measures
from spark_jobs.recipes.judge import classify
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import RECIPES, Recipe, Rule
from spark_jobs.recipes.steps import measure

PAGES = 1_000
MUTATED = 4_000
RECIPE_NAMES = ("gopher-quality", "gopher-repetition", "c4", "fineweb-quality", "fineweb", "dolma")


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The number of texts on which both sides agree."""

    name: str
    """The name of a recipe or a pass."""
    pages: str = "as they are"
    """Which pages were compared: as they are, or mutated."""
    peer: str
    texts: int
    equal: int
    """Texts of which decision, reason and rewritten text are the same, or every statistic."""
    differences: dict[str, int] = field(default_factory=dict)
    """What differs, and in how many texts."""
    examples: tuple[int, ...] = ()
    """Places of texts that differ."""


def compare_words(texts: Sequence[str]) -> Agreement:
    """Compare our words with spaCy's as datatrove calls it."""
    from datatrove.utils.text import split_into_words

    from spark_jobs.kernels.peers.spacy_words import english_words

    differences: Counter[str] = Counter()
    examples: list[int] = []
    for place, (text, ours) in enumerate(zip(texts, english_words(pa.array(texts)), strict=True)):
        theirs = split_into_words(text)
        differences["words"] += len(theirs)
        if ours != theirs:
            lost = Counter(theirs) - Counter(ours)
            differences.update({f"not found: {word}": count for word, count in lost.items()})
            examples.append(place)
    found: dict[str, Any] = {"differences": dict(differences), "examples": tuple(examples)}
    return Agreement(name="words", peer="datatrove", texts=len(texts), equal=len(texts) - len(examples), **found)


def compare_statistics(name: str, texts: Sequence[str]) -> Agreement:
    """Compare the statistics of one of our passes with the peer's own numbers."""
    by = next(each for each in measures.passes() if each.name == name)
    differences: Counter[str] = Counter()
    examples: list[int] = []
    for place, (text, ours) in enumerate(zip(texts, by.compute(pa.array(texts)).to_pylist(), strict=True)):
        theirs = STATISTICS[name](text)
        wrong = [column for column in theirs if not equal(_seen(ours[column], column), theirs[column])]
        differences.update(wrong)
        examples += [place] if wrong else []
    found: dict[str, Any] = {"differences": dict(differences), "examples": tuple(examples)}
    return Agreement(name=name, peer=_peer(name), texts=len(texts), equal=len(texts) - len(examples), **found)


def _seen(value: float | None, column: str) -> float | None:
    return min(value, 1) if value is not None and column in FLAGS else value


def _peer(name: str) -> str:
    return "dolma" if name.startswith("dolma") else "datatrove"


def compare_decisions(name: str, texts: Sequence[str]) -> Agreement:
    """Compare what one of our recipes does with texts with what the peer does."""
    recipe = load_recipe(next(RECIPES.rglob(f"{name}.yaml")))
    columns = {"text": pa.array(texts)}
    measured = measure(columns, recipe)
    values = pa.record_batch({"state": pa.array(["ok"] * len(texts)), **measured.values})
    verdicts = classify(values, recipe)
    differences: Counter[str] = Counter()
    examples: list[int] = []
    rows = zip(texts, verdicts.kept.to_pylist(), verdicts.broken.to_pylist(), measured.text.to_pylist(), strict=True)
    for place, (text, kept, broken, left) in enumerate(rows):
        rules = {each["rule"] for each in broken}
        wrong = _against_dolma(recipe, text, rules) if name == "dolma" else _against_datatrove(name, text, rules, left)
        assert kept == (not rules)
        differences.update([wrong] if wrong else [])
        examples += [place] if wrong else []
    found: dict[str, Any] = {"differences": dict(differences), "examples": tuple(examples)}
    return Agreement(name=name, peer=_peer(name), texts=len(texts), equal=len(texts) - len(examples), **found)


def _against_datatrove(name: str, text: str, rules: set[str], left: str) -> str:
    """What differs; empty if nothing does."""
    theirs = datatrove_decision(name, text)
    if theirs.kept != (not rules):
        return f"they keep, we drop: {min(rules)}" if theirs.kept else f"they drop: {theirs.reason}, we keep"
    if not theirs.kept:
        return "" if rules & set(RULES[theirs.reason]) else f"reason: {theirs.reason}"
    return "" if theirs.text == left else "text"


def _against_dolma(recipe: Recipe, text: str, rules: set[str]) -> str:
    """dolma tags; its mixer drops what the recipe's rules drop, by the tagger's numbers."""
    values = {
        column: value for name in ("dolma_gopher", "dolma_c4") for column, value in STATISTICS[name](text).items()
    }
    theirs = {rule.name for rule in recipe.rules if not _holds(rule, values[rule.column])}
    return "" if theirs == rules else f"rules: {', '.join(sorted(theirs ^ rules))}"


def _holds(rule: Rule, value: float | None) -> bool:
    assert isinstance(rule.threshold, (int, float))
    return value is not None and (value >= rule.threshold if rule.keep == ">=" else value <= rule.threshold)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Folder of .warc.gz files; else one of this machine's documentation is made.",
)
@click.option("--pages", default=PAGES, show_default=True, help="Pages that both sides get.")
@click.option("--mutated", default=MUTATED, show_default=True, help="Excerpts with odd pieces inserted; 0 for none.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the rows there too.")
def main(corpus: Path | None, pages: int, mutated: int, json_file: Path | None) -> None:
    """Compare our statistics and decisions with those of the peers."""
    import tempfile

    from benchmarks.curation import made_corpus, say, write_json
    from benchmarks.curation_stages.pages import read_pages

    datatrove_filters()
    with tempfile.TemporaryDirectory(prefix="watershed-agreement-") as scratch:
        texts = read_pages(corpus or made_corpus(), pages, Path(scratch)).texts
    rows: list[Agreement] = []
    for kind, compared in (("as they are", texts), ("mutated", mutated_pages(texts, mutated))):
        for row in _compared(compared) if compared else ():
            rows.append(replace(row, pages=kind))
            write_json(json_file, [asdict(each) for each in rows])
            line = (
                f"{kind:12} {row.name:22} {row.peer:10} {row.texts:7,} texts  {100 * row.equal / row.texts:7.3f}% equal"
            )
            say(f"{line}  {json.dumps(row.differences, ensure_ascii=False)}", end="\n")


def _compared(texts: Sequence[str]) -> Iterator[Agreement]:
    yield compare_words(texts)
    for name in STATISTICS:
        yield compare_statistics(name, texts)
    for name in RECIPE_NAMES:
        yield compare_decisions(name, texts)


if __name__ == "__main__":
    main()
