"""Times of search in a lake of many tables: `python -m benchmarks.search [--tables 5000] [--searches 2000]`.

A project of its own is made in a temporary folder: contracts and Delta tables of eight columns each, whose names and
descriptions are drawn from a vocabulary. Then words, beginnings of words, words with a typing error, and pairs of words
are searched. A new table is committed and searched for until it is found, and removed and searched for again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import string
import tempfile
import time
from pathlib import Path

from catalog.columns import integer, real, text
from catalog.contract import Contract
from catalog.lake import Lake
from catalog.projects.contract_file import OwnTable, contract_toml
from catalog.projects.registry import FOLDER
from catalog.search.index import SearchIndex
from catalog.settings import load_settings
from catalog.tables import CONTRACTS

COLUMNS, VOCABULARY, FAMILIES = 8, 4000, 50
KINDS = ("word", "beginning", "typing error", "two words", "name")


def words(chosen: random.Random) -> list[str]:
    """Made words of two to four syllables."""
    syllables = [c + v for c in "bcdfghklmnprstvz" for v in "aeiou"]
    return sorted({"".join(chosen.choices(syllables, k=chosen.randint(2, 4))) for _ in range(VOCABULARY)})


def contract(number: int, vocabulary: list[str], chosen: random.Random) -> Contract:
    """A contract with names and descriptions of words from the vocabulary."""

    def sentence() -> str:
        return f"{' '.join(chosen.choices(vocabulary, k=8)).capitalize()}."

    names = [f"{'_'.join(chosen.sample(vocabulary, 2))}_{at}" for at in range(COLUMNS - 1)]
    return Contract(
        name=f"f{number % FAMILIES}.{chosen.choice(vocabulary)}_{number}",
        description=sentence(),
        columns=(
            integer("id", sentence()),
            *((text if at % 2 else real)(name, sentence()) for at, name in enumerate(names)),
        ),
        primary_key=("id",),
        source=f"{chosen.choice(vocabulary)}.example",
        licence=chosen.choice(("CC-BY-4.0", "MIT", "ODC-By-1.0")),
    )


def make_project(folder: Path, tables: int, vocabulary: list[str], chosen: random.Random) -> list[str]:
    """Write the contracts and the tables; returns their names."""
    (folder / FOLDER).mkdir(parents=True)
    names = []
    lake = Lake.of(load_settings(folder))
    first: Path | None = None
    for number in range(tables):
        declared = contract(number, vocabulary, chosen)
        path = folder / FOLDER / f"{declared.name}.toml"
        path.write_text(contract_toml(OwnTable(contract=declared, path=path), {}), encoding="utf-8")
        place = Path(lake.path(declared.name))
        if first is None:
            lake.create(declared)
            first = place
        else:
            # What is inside does not matter to search, which reads no rows of these tables.
            shutil.copytree(first, place)
        names.append(declared.name)
    return names


def query(kind: str, vocabulary: list[str], names: list[str], chosen: random.Random) -> str:
    """Something to search for."""
    word = chosen.choice(vocabulary)
    if kind == "beginning":
        return word[: max(3, len(word) - 2)]
    if kind == "typing error":
        at = chosen.randrange(len(word))
        return word[:at] + chosen.choice(string.ascii_lowercase) + word[at + 1 :]
    if kind == "two words":
        return f"{word} {chosen.choice(vocabulary)}"
    return chosen.choice(names) if kind == "name" else word


def milliseconds(times: list[float], share: float) -> str:
    """A quantile of times in seconds."""
    return f"{1000 * sorted(times)[min(len(times) - 1, int(share * len(times)))]:8.2f}"


def main() -> None:
    """Make the project, search, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=5000)
    parser.add_argument("--searches", type=int, default=2000)
    options = parser.parse_args()
    chosen = random.Random(0)
    vocabulary = words(chosen)
    with tempfile.TemporaryDirectory(prefix="watershed-search-") as folder:
        project = Path(folder)
        names = make_project(project, options.tables, vocabulary, chosen)
        began = time.perf_counter()
        settings = load_settings(project)
        print(f"{options.tables:,} contracts are read in {time.perf_counter() - began:.1f} s")
        with SearchIndex(settings) as index:
            began = time.perf_counter()
            index.search("id")
            print(f"the index is made in {time.perf_counter() - began:.1f} s")
            every: list[float] = []
            processor: list[float] = []
            print("milliseconds           p50      p95      p99      most")
            for kind in KINDS:
                times = []
                for _ in range(options.searches // len(KINDS)):
                    text_ = query(kind, vocabulary, names, chosen)
                    began, worked = time.perf_counter(), time.process_time()
                    index.search(text_)
                    times.append(time.perf_counter() - began)
                    processor.append(time.process_time() - worked)
                every += times
                print(f"{kind:<16} {' '.join(milliseconds(times, share) for share in (0.5, 0.95, 0.99, 1))}")
            print(f"{'all':<16} {' '.join(milliseconds(every, share) for share in (0.5, 0.95, 0.99, 1))}")
            print(
                f"{'processor time':<16} {' '.join(milliseconds(processor, share) for share in (0.5, 0.95, 0.99, 1))}"
            )
            delays = [new_table(project, index, number) for number in range(5)]
            print(f"a new table is found {1000 * statistics.median(delays):.0f} ms after its commit (median of 5)")


def new_table(project: Path, index: SearchIndex, number: int) -> float:
    """Seconds from the commit of a new table until it is found; afterwards it is removed, and not found again."""
    word = f"zyxwvu{number}"
    declared = Contract(
        name=f"new.{word}", description="A new table.", columns=(integer("id", "Id."),), primary_key=("id",)
    )
    path = project / FOLDER / f"{declared.name}.toml"
    path.write_text(contract_toml(OwnTable(contract=declared, path=path), {}))
    lake = index.lake
    lake.create(declared)
    committed = time.perf_counter()
    while declared.name not in [hit.name for hit in index.search(word).hits]:
        pass
    found = time.perf_counter() - committed
    shutil.rmtree(lake.path(declared.name))
    path.unlink()
    if index.search(word).hits or declared.name in CONTRACTS:
        raise SystemExit(f"{declared.name} was found after it was removed")
    return found


if __name__ == "__main__":
    main()
