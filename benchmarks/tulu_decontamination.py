"""Time and memory of decontaminating training rows: `python -m benchmarks.tulu_decontamination [--share 0.1]`.

By default 1,000,000 made rows are searched for 50,000 made instances of five evaluations by two threads, with both
rules. A row in fifty holds an instance, whole or in part. Rows have 20 to 140 words and instances 8 to 60. Half of the
instances begin with one of ten common phrases of nine words, and so does a third of the rows. PopQA's shape, three
short fields, is among the evaluations.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Iterator, Sequence

import pyarrow as pa

from spark_jobs.tulu.decontamination.decide import Policy, contamination
from spark_jobs.tulu.decontamination.index import build_index
from spark_jobs.tulu.decontamination.instances import Evaluation
from spark_jobs.tulu.decontamination.search import search

ROWS, INSTANCES = 1_000_000, 50_000
BATCH = 20_000
SECONDS, BYTES = 120, 3e9
VOCABULARY = 50_000
SEED = 5


def vocabulary(draw: random.Random) -> list[str]:
    """Made-up words, the common ones first."""
    syllables = ("ka", "lo", "mi", "ren", "sut", "pa", "dor", "vel", "ni", "ta", "gor", "esh", "um", "bri", "fi", "on")
    return ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(VOCABULARY)]


class Maker:
    """Makes instances and rows. Words are drawn by Zipf's law, so that short phrases repeat as in real text."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.words = vocabulary(self.draw)
        # Drawing from a long sample is much faster than from the law itself.
        weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
        self.sample = self.draw.choices(self.words, weights, k=2_000_000)
        self.frames = [self.text(9) for _ in range(10)]

    def text(self, count: int) -> str:
        """So many words."""
        start = self.draw.randrange(len(self.sample) - count)
        piece = self.sample[start : start + count]
        # A stretch of the sample alone would be shared with other texts.
        piece[::3] = self.draw.choices(self.words, k=len(piece[::3]))
        return " ".join(piece)

    def instances(self, count: int) -> list[tuple[str | None, ...]]:
        """Instances of one to three fields."""
        made: list[tuple[str | None, ...]] = []
        for number in range(count):
            framed = f"{self.draw.choice(self.frames)} " if number % 2 else ""
            question = framed + self.text(self.draw.randint(10, 48))
            kind = number % 5
            if kind == 3:
                made.append((self.text(2), self.text(1), self.text(2)))
            elif kind == 4:
                made.append((self.text(self.draw.randint(30, 60)), question if number % 10 else None))
            else:
                made.append((question,))
        return made

    def rows(self, count: int, instances: Sequence[tuple[str | None, ...]]) -> Iterator[pa.Array]:
        """Batches of rows."""
        for start in range(0, count, BATCH):
            batch = []
            for number in range(start, min(start + BATCH, count)):
                text = self.text(self.draw.randint(20, 140))
                if number % 3 == 0:
                    text = f"{self.draw.choice(self.frames)} {text}"
                if number % 50 == 0:
                    fields = [each for each in self.draw.choice(instances) if each]
                    text = f"{text} {' '.join(fields[: self.draw.randint(1, len(fields))])}"
                batch.append(text)
            yield pa.array(batch, pa.large_string())


def measure(rows: int, instances: int, workers: int) -> dict[str, float]:
    """Search made rows for made instances; returns seconds of the index and the search, memory and counts."""
    maker = Maker(SEED)
    made = maker.instances(instances)
    parts = [made[number::5] for number in range(5)]
    evaluations = [Evaluation(name=f"made-{number}", instances=tuple(each)) for number, each in enumerate(parts)]
    texts = list(maker.rows(rows, made))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    # The kernels are compiled, or loaded, before the clock starts: once per machine.
    search([pa.array(["one two three"])], build_index([Evaluation(name="w", instances=(("one two three",),))]))
    start = time.perf_counter()
    index = build_index(evaluations)
    indexed = time.perf_counter()
    found = search(iter(texts), index, workers)
    searched = time.perf_counter()
    counted = contamination("made", found, Policy())
    return {
        "rows": rows,
        "instances": instances,
        "megabytes of text": sum(each.nbytes for each in texts) / 1e6,
        "n-grams": len(index.hashes),
        "seconds of the index": indexed - start,
        "seconds of the search": searched - indexed,
        "peak memory, bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "memory before the index, bytes": before,
        **{
            f"instances found by {rule}": sum(row["instances_hit"] for row in counted if row["rule"] == rule)
            for rule in ("published", "strict")
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tulu_decontamination", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--share", type=float, default=1.0, help="the share of the rows and instances, 0..1")
    parser.add_argument("--workers", type=int, default=2, help="threads")
    chosen = parser.parse_args(arguments)
    measured = measure(round(ROWS * chosen.share), round(INSTANCES * chosen.share), chosen.workers)
    for name, value in measured.items():
        print(f"{name:<34}{value:>18,.1f}" if "seconds" in name else f"{name:<34}{value:>18,.0f}")
    seconds = measured["seconds of the index"] + measured["seconds of the search"]
    if chosen.share == 1.0:
        print(f"limit of {SECONDS} s and {BYTES / 1e9:.0f} GB: {'kept' if _kept(seconds, measured) else 'exceeded'}")


def _kept(seconds: float, measured: dict[str, float]) -> bool:
    return seconds <= SECONDS and measured["peak memory, bytes"] <= BYTES


if __name__ == "__main__":
    main()
