"""Whether `watershed compare` is right where the answer is known: pairs of folders, each decided by real training.

    python -m benchmarks.comparisons [--identical 20] [--planted 3] [--folder DIR] [--json FILE]

Pairs of two kinds, each trained at two small scales with three seeds:

- planted: made prose beside made prose of which half the documents have their words shuffled, and real prose (the
  reference of Python that comes with it) beside keyword lists made of such prose; `--planted` draws of each, with the
  better folder first and second in turn;
- identical: two draws of the same prose, made and real in turn, that share no document.

A line for each pair, then how many planted pairs were decided right and how many identical ones were decided. The exit
code is 1 if a planted pair was not decided for its better side, or more than one in twenty identical ones was decided.
A pair takes 12 runs of a few seconds, about two minutes of one core; pairs in --folder that are finished are not
trained again.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.settings import Settings

WHO = ("the heron", "a ferryman", "the old miller", "her sister", "a young otter", "the river", "every child")
DID = ("crossed", "followed", "remembered", "painted", "lost", "counted", "carried")
WHAT = ("the stone bridge", "a silver coin", "the long road", "seven boats", "the evening light", "an empty cup")
WHEN = ("before dawn", "in the rain", "after the harvest", "without a word", "near the mill", "as the bells rang")
SIZES, TARGET, SEEDS = ("30k-0.1xC", "30k-0.2xC"), "30k-0.5xC", 3
DOCUMENTS, HELD = 300, 60
DOCUMENT_CHARACTERS = 900
ALLOWED = 20
"""Of so many identical pairs, one may be decided."""


def made_prose(draw: random.Random, sentences: int = 12) -> str:
    """Sentences of a small grammar."""
    lines = (f"{draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHAT)} {draw.choice(WHEN)}" for _ in range(sentences))
    return " ".join(line[0].upper() + line[1:] + "." for line in lines)


def word_salad(draw: random.Random, text: str) -> str:
    """The words of a text in another order."""
    words = text.split()
    draw.shuffle(words)
    return " ".join(words)


@cache
def real_prose() -> tuple[str, ...]:
    """Documents of the paragraphs of Python's reference, in its order; code, grammars and headings are left out."""
    from pydoc_data.topics import topics

    documents, part = [], ""
    for _, text in sorted(topics.items()):
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if len(words) < 120 or "::=" in words or ">>>" in words or not words.endswith((".", ":")):
                continue
            part = f"{part} {words}".strip()
            if len(part) >= DOCUMENT_CHARACTERS:
                documents.append(part)
                part = ""
    return tuple(dict.fromkeys(documents))


def keyword_list(text: str) -> str:
    """A document's words without their order, the most frequent first, each as often as it comes."""
    words = Counter(word.lower() for word in re.findall(r"[A-Za-z]{4,}", text))
    return ", ".join(word for word, count in words.most_common() for _ in range(count))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two folders' documents, the held-out text that both are asked about, and which is better."""

    name: str
    first: list[str]
    second: list[str]
    held: list[str]
    better: str
    """`better` or `worse` (of the first), or `cannot tell` for two draws of the same."""


def planted(kind: str, seed: int) -> Pair:
    """A pair whose better side is known: `salad` or `keywords`. The better one is second where the seed is odd."""
    draw = random.Random(f"{kind} {seed}")
    if kind == "salad":
        good, bad, held = ([made_prose(draw) for _ in range(n)] for n in (DOCUMENTS, DOCUMENTS, HELD))
        bad = [word_salad(draw, text) if draw.random() < 0.5 else text for text in bad]
    else:
        good, bad, held = _drawn(draw)
        bad = [keyword_list(text) for text in bad]
    sides = (good, bad) if seed % 2 == 0 else (bad, good)
    return Pair(
        name=f"{kind}-{seed}",
        first=sides[0],
        second=sides[1],
        held=held,
        better="better" if seed % 2 == 0 else "worse",
    )


def identical(seed: int) -> Pair:
    """Two draws of the same prose, made or real, that share no document."""
    draw = random.Random(f"identical {seed}")
    if seed % 2 == 0:
        first, second, held = ([made_prose(draw) for _ in range(n)] for n in (DOCUMENTS, DOCUMENTS, HELD))
    else:
        first, second, held = _drawn(draw)
    return Pair(name=f"identical-{seed}", first=first, second=second, held=held, better="cannot tell")


def _drawn(draw: random.Random) -> tuple[list[str], list[str], list[str]]:
    """Real documents: two sides of the same number, and the held-out ones."""
    texts = [*real_prose()]
    draw.shuffle(texts)
    held, rest = texts[:HELD], texts[HELD:]
    return rest[: len(rest) // 2], rest[len(rest) // 2 : len(rest) // 2 * 2], held


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What `watershed compare` answered for a pair."""

    name: str
    expected: str
    answer: str
    probability: float
    """That the first is better."""
    difference: float
    """Bits per byte at the target, positive where the first is better."""
    seconds: float


def decide_pair(settings: Settings, folder: Path, pair: Pair, log: Callable[[str], None]) -> Outcome:
    """Write the folders of a pair and compare them, as the command does."""
    from dagster_project.families.ladder.comparison.decide import MEAN
    from dagster_project.families.ladder.comparison.folder_data import Folders
    from dagster_project.families.ladder.comparison.folders import compare_folders

    began = time.monotonic()
    first, second, held = (
        _write(folder / pair.name / name, texts)
        for name, texts in (("first", pair.first), ("second", pair.second), ("held", pair.held))
    )
    folders = Folders(first=first, second=second, heldout=held, questions=())
    found = compare_folders(settings, folders, TARGET, SIZES, SEEDS, False, log)
    predicted = found.of(MEAN).prediction
    return Outcome(
        name=pair.name,
        expected=pair.better,
        answer=predicted.answer,
        probability=predicted.probability,
        difference=predicted.difference,
        seconds=time.monotonic() - began,
    )


def _write(folder: Path, texts: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "part.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return folder


def summary(outcomes: Sequence[Outcome]) -> tuple[list[str], bool]:
    """Lines of what was right, and whether all planted pairs and enough identical ones were."""
    known = [each for each in outcomes if each.expected != "cannot tell"]
    same = [each for each in outcomes if each.expected == "cannot tell"]
    right = sum(each.answer == each.expected for each in known)
    decided = sum(each.answer != "cannot tell" for each in same)
    lines = [
        f"planted: {right} of {len(known)} decided for the better side",
        f"identical: {decided} of {len(same)} decided",
    ]
    return lines, right == len(known) and decided <= max(1, len(same) // ALLOWED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare all pairs and print what was decided."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identical", type=int, default=20, help="pairs of two draws of the same")
    parser.add_argument("--planted", type=int, default=3, help="draws of each kind of planted pair")
    parser.add_argument("--folder", type=Path, help="keeps documents and runs; by default a temporary one")
    parser.add_argument("--json", type=Path, help="file for all outcomes")
    options = parser.parse_args(arguments)
    pairs = [planted(kind, seed) for kind in ("salad", "keywords") for seed in range(options.planted)]
    pairs += [identical(seed) for seed in range(options.identical)]
    with tempfile.TemporaryDirectory() as temporary:
        outcomes = compare_pairs(pairs, (options.folder or Path(temporary)).absolute())
    lines, good = summary(outcomes)
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n", encoding="utf-8")
    return 0 if good else 1


def compare_pairs(pairs: Sequence[Pair], folder: Path) -> list[Outcome]:
    """Compare every pair in the lake of `folder`, with a line for each that ends."""
    from catalog.settings import load_settings

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "watershed.toml").touch()
    settings, outcomes = load_settings(folder), []
    for at, pair in enumerate(pairs, start=1):
        each = decide_pair(settings, folder / "pairs", pair, lambda line: print(line, file=sys.stderr, flush=True))
        outcomes.append(each)
        print(
            f"{at}/{len(pairs)}  {each.name:<14} expected {each.expected:<12} answer {each.answer:<12} P(first better)"
            f" {each.probability:6.1%}  {each.difference:+.4f} bits per byte  {each.seconds:.0f} s",
            flush=True,
        )
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
