"""What the rules of decontamination find and miss, what they drop of clean pages, and how fast they are.

    uv run --group bench python -m benchmarks.decontamination [--evaluations DIR] [--documents PATH ...]

Examples with an answer are planted into documents in several ways, and each rule is asked for that very example.
Documents (WARC, JSONL or Parquet, as `watershed curate` reads them) are searched as they are too. Without options,
examples and documents are made, seeded. Rules take turns, and the fastest round counts; times are processor times.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from spark_jobs.contamination.examples import EXAMPLES, evaluation_names, example_batches
from spark_jobs.contamination.fields import all_text, parts_of
from spark_jobs.contamination.index import Index, build_index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import RULES, Decontamination
from spark_jobs.contamination.search import find_contamination
from spark_jobs.curate.inputs import find_sources, read_batches

SEED = 14
PLANTED = 40
"""Examples of each evaluation that are planted."""
ROUNDS = 3
BATCH_ROWS = 4_096
VOCABULARY = 6_000
PARAPHRASES = (
    (
        "Question: Which statement best explains why the sky looks blue on a clear day?",
        "Air scatters short waves of light more than long ones.",
        "On cloudless days we see a blue sky, since light of shorter wavelength is deflected more strongly by air.",
    ),
    (
        "Question: How can a cook keep sliced apples from turning brown before the meal is served?",
        "Sprinkle the slices with the juice of a lemon.",
        "Apple slices stay bright until dinner if you drizzle lemon juice over them.",
    ),
    (
        "Question: A runner drinks water during a long race. Which body system benefits most directly from this?",
        "The circulatory system, because blood volume stays stable.",
        "Hydration in a marathon mainly helps circulation by keeping the amount of blood constant.",
    ),
    (
        "Question: What should a hiker do first when a thunderstorm begins on an exposed ridge?",
        "Leave the ridge and stay away from tall single trees.",
        "If lightning threatens while you walk along a crest, get down from it at once and avoid lone trees.",
    ),
)
"""Questions of our own with their answers, and the same in other words."""


@dataclass(frozen=True)
class Question:
    """An example with one right answer."""

    evaluation: str
    example_id: str
    passage: str
    question: str
    answer: str
    whole: str
    """All texts of the example, in the order of its fields."""

    @property
    def text(self) -> str:
        """Passage, question and answer."""
        return " ".join(filter(None, (self.passage, self.question, self.answer)))


Variation = Callable[[Question, random.Random], str]


def _words_replaced(share: float) -> Variation:
    def change(asked: Question, draw: random.Random) -> str:
        words = asked.text.split()
        return " ".join(f"other{draw.randrange(100)}" if draw.random() < share else word for word in words)

    return change


def _repunctuated(asked: Question, _: random.Random) -> str:
    words = re.sub(r"[^\w\s'’-]", " ", asked.text.upper()).split()
    return " — ".join(" ".join(words[i : i + 7]) for i in range(0, len(words), 7))


def _typographic(asked: Question, _: random.Random) -> str:
    text = asked.text.replace("'", "’").replace("fi", "ﬁ").replace(" the ", " t\u00adhe ")
    return unicodedata.normalize("NFD", text)


VARIATIONS: dict[str, Variation] = {
    "passage, question and right answer": lambda asked, _: asked.text,
    "the same in capitals, other punctuation": _repunctuated,
    "the same with ’, ligatures, soft hyphens, decomposed": _typographic,
    "question alone": lambda asked, _: asked.question,
    "question and right answer": lambda asked, _: f"{asked.question} {asked.answer}",
    "passage alone, of those that have one": lambda asked, _: asked.passage,
    "answer before the question": lambda asked, _: f"{asked.answer} {asked.question}",
    "all fields in the order of the file": lambda asked, _: asked.whole,
    "one word in twenty replaced": _words_replaced(0.05),
    "one word in ten replaced": _words_replaced(0.1),
    "one word in three replaced": _words_replaced(1 / 3),
    "first half of the question": lambda asked, _: " ".join(asked.question.split()[: len(asked.question.split()) // 2]),
}


def right_answers(files: Sequence[Path]) -> Iterator[Question]:
    """Examples of the kinds that llm-foundry writes, with their right answer."""
    for name, path in zip(evaluation_names(files), files, strict=True):
        lines = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        for number, line in enumerate(lines):
            row = json.loads(line)
            fields = {part.field: part.text for part in parts_of(row).parts}
            whole = all_text(row).parts[0].text
            if "context_options" in row:
                question, answer = row["context_options"][row["gold"]], row["continuation"]
            else:
                question = fields.get("question", "")
                answer = (
                    row["choices"][row["gold"]] if "choices" in row else row.get("continuation", row.get("answer", ""))
                )
            if question:
                yield Question(name, str(number), fields.get("passage", ""), question.strip(), answer.strip(), whole)


def made_evaluations(folder: Path, draw: random.Random) -> list[Path]:
    """Three evaluations of made words: questions with choices, continuations, and sums."""
    vocabulary = made_vocabulary(draw)

    def sentence(least: int, most: int) -> str:
        return " ".join(draw.choices(vocabulary, k=draw.randint(least, most)))

    rows: dict[str, list[dict[str, Any]]] = {
        "choices": [
            {"choices": [sentence(3, 12) for _ in range(4)], "query": f"Question: {sentence(8, 30)}?", "gold": n % 4}
            for n in range(400)
        ],
        "continuations": [{"context": sentence(10, 80), "continuation": sentence(1, 1)} for _ in range(300)],
        "sums": [{"context": f"{n} + {n * 7} =", "continuation": f"{n * 8}"} for n in range(200)],
        "tests": [
            {
                "prompt": f"def {sentence(1, 1)}(cells):\n  '''{sentence(12, 30)}'''",
                "test": f"assert {list(range(n + 20))}",
            }
            for n in range(60)
        ],
    }
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return sorted(folder.glob("*.jsonl"))


def made_vocabulary(draw: random.Random) -> list[str]:
    """Made-up words."""
    syllables = ("ka", "lo", "mi", "ren", "sut", "pa", "dor", "vel", "ni", "ta", "gor", "esh", "um", "bri", "fi", "o'")
    return ["".join(draw.choices(syllables, k=draw.randint(2, 4))).strip("'") for _ in range(VOCABULARY)]


def made_pages(draw: random.Random, pages: int = 400) -> list[str]:
    """Pages of made words; one in twenty has a navigation bar of numbers."""
    vocabulary = made_vocabulary(draw)
    texts = []
    for page in range(pages):
        bar = f"Goto Chapter: Top {' '.join(map(str, range(1, 19)))} Bib Ind\n" if page % 20 == 0 else ""
        texts.append(bar + " ".join(draw.choices(vocabulary, k=draw.randint(100, 500))))
    return texts


def read_pages(documents: Sequence[str]) -> list[str]:
    """The texts of documents."""
    return [
        text
        for source in find_sources(documents)
        for batch in read_batches(source)
        for text in batch.column("text").to_pylist()
        if text
    ]


def indexed(files: Sequence[Path], options: Decontamination) -> Index:
    """The examples of the files by a rule, and those of PARAPHRASES."""

    def batches() -> Iterator[pa.RecordBatch]:
        parts = parts_of if options.fields else all_text
        yield from example_batches(files, parts)
        rows = [
            {"evaluation": "paraphrases", "example_id": str(number), "field": part.field, "text": part.text}
            for number, (question, answer, _) in enumerate(PARAPHRASES)
            for part in parts({"query": question, "choices": [answer]}).parts
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=EXAMPLES)

    return build_index(batches(), options)


def batches_of(texts: Sequence[str]) -> list[pa.RecordBatch]:
    """Documents with their numbers as ids."""
    return [
        pa.record_batch(
            {
                "id": pa.array([str(at + i) for i in range(len(texts[at : at + BATCH_ROWS]))]),
                "text": pa.array(texts[at : at + BATCH_ROWS], pa.string()),
            }
        )
        for at in range(0, len(texts), BATCH_ROWS)
    ]


def found_examples(index: Index, texts: Sequence[str]) -> list[set[tuple[str, str]]]:
    """For each text the examples that it holds enough of."""
    return [
        {
            (match["evaluation"], match["example_id"])
            for match in row["matches"]
            if match["share"] >= index.options.share
        }
        for batch in find_contamination(batches_of(texts), index)
        for row in batch.to_pylist()
    ]


def planted(asked: Sequence[Question], variation: Variation, pages: Sequence[str]) -> list[str]:
    """A page for each example, with the example in its middle."""
    draw = random.Random(SEED)
    texts = []
    for number, each in enumerate(asked):
        page = pages[number % len(pages)]
        middle = page.find(" ", len(page) // 2)
        texts.append(f"{page[:middle]}\n{variation(each, draw)}\n{page[middle:]}")
    return texts


def found_shares(indexes: dict[str, Index], asked: Sequence[Question], pages: Sequence[str]) -> dict[str, list[float]]:
    """For each variation, the share of planted examples that each rule finds."""
    rows: dict[str, list[float]] = {}
    rows["can be found at all"] = [_searched(index, asked) for index in indexes.values()]
    for name, variation in VARIATIONS.items():
        some = [each for each in asked if each.passage] if name.startswith("passage alone") else asked
        texts = planted(some, variation, pages)
        rows[name] = [
            sum(
                (each.evaluation, each.example_id) in found
                for each, found in zip(some, found_examples(index, texts), strict=True)
            )
            / max(len(some), 1)
            for index in indexes.values()
        ]
    reworded = [f"{pages[n][:500]}\n{text}\n{pages[n][500:]}" for n, (_, _, text) in enumerate(PARAPHRASES)]
    rows["paraphrase by a person"] = [
        sum(("paraphrases", str(number)) in found for number, found in enumerate(found_examples(index, reworded)))
        / len(reworded)
        for index in indexes.values()
    ]
    return rows


def _searched(index: Index, asked: Sequence[Question]) -> float:
    names = zip(index.evaluation.tolist(), index.ids, index.found.tolist(), strict=True)
    searched = {(index.evaluations[evaluation], example) for evaluation, example, found in names if found}
    return sum((each.evaluation, each.example_id) in searched for each in asked) / len(asked)


def speeds(indexes: dict[str, Index], pages: Sequence[str], rounds: int) -> list[float]:
    """Megabytes of text per second of processor time, by rule."""
    size = sum(len(page.encode()) for page in pages) / 1e6
    best = dict.fromkeys(indexes, float("inf"))
    for _ in range(rounds):
        for name, index in indexes.items():
            began = time.process_time()
            for _batch in find_contamination(batches_of(pages), index):
                pass
            best[name] = min(best[name], time.process_time() - began)
    return [size / seconds for seconds in best.values()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decontamination", description=__doc__.split("\n\n")[0])
    parser.add_argument("--evaluations", type=Path, help="a folder of JSONL files")
    parser.add_argument("--documents", nargs="+", default=[], help="files and folders of documents")
    parser.add_argument("--planted", type=int, default=PLANTED, help="examples of each evaluation")
    chosen = parser.parse_args(arguments)
    draw = random.Random(SEED)
    with tempfile.TemporaryDirectory() as folder:
        files = (
            sorted(chosen.evaluations.rglob("*.jsonl")) if chosen.evaluations else made_evaluations(Path(folder), draw)
        )
        pages = read_pages(chosen.documents) if chosen.documents else made_pages(draw)
        compare(files, pages, chosen.planted)


def compare(files: Sequence[Path], pages: Sequence[str], number: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Print all tables; returns the shares that are found."""
    indexes = {name: indexed(files, options) for name, options in RULES.items()}
    by_name: dict[str, list[Question]] = {}
    for each in right_answers(files):
        by_name.setdefault(each.evaluation, []).append(each)
    draw = random.Random(SEED)
    asked = [each for some in by_name.values() for each in draw.sample(some, min(number, len(some)))]
    reports = {name: ContaminationReport(index) for name, index in indexes.items()}
    dropped = {
        name: [
            row
            for batch in find_contamination(batches_of(pages), index, reports[name])
            for row in batch.to_pylist()
            if row["contaminated"]
        ]
        for name, index in indexes.items()
    }
    unclean = {int(row["id"]) for rows in dropped.values() for row in rows}
    clean = [page[:20_000] for place, page in enumerate(pages) if place not in unclean and len(page) > 1000] or list(
        pages
    )
    print(f"{len(asked):,} planted examples of {len(files)} evaluations, in {len(pages):,} documents\n")
    print(f"{'':<54}{''.join(f'{name:>10}' for name in indexes)}")
    shares = found_shares(indexes, asked, clean)
    for name, row in shares.items():
        print(f"{name:<54}{''.join(f'{share:>10.1%}' for share in row)}")
    _line("examples that cannot be found", [int((~index.found).sum()) for index in indexes.values()])
    _line("documents dropped as they are", [len(rows) for rows in dropped.values()])
    _line(
        "  of these without two words in what is found",
        [sum(_wordless(row) for row in rows) for rows in dropped.values()],
    )
    _line("MB of text per second of processor time", [round(speed, 1) for speed in speeds(indexes, pages, rounds)])
    return shares


def _wordless(row: dict[str, Any]) -> bool:
    """Whether all that a document has of any example is numbers and single letters."""
    return all(len(set(re.findall(r"[^\W\d_]{2,}", match["found"]))) < 2 for match in row["matches"])


def _line(name: str, values: Sequence[float]) -> None:
    print(f"{name:<54}{''.join(f'{value:>10,}' for value in values)}")


if __name__ == "__main__":
    main()
