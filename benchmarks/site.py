"""Time and sizes of a site: `python -m benchmarks.site [--tables 60] [--rows 20000]`.

A project of its own is made in a temporary folder: tables of eight columns whose names, descriptions and texts are
drawn from a vocabulary, each with two versions. Then its site is built, as `watershed site build` does, with the pages
of the tables that Watershed declares beside them. What is printed is to be under 30 s, and 100 kB a page.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.search import contract, words
from catalog.cards.site.build import build_site
from catalog.lake import Lake
from catalog.projects.contract_file import OwnTable, contract_toml
from catalog.projects.registry import FOLDER
from catalog.settings import load_settings
from catalog.tables import CONTRACTS

SECONDS, BYTES = 30, 100_000
"""What a site of 60 tables may take to build, and what a page may weigh."""


def make_lake(project: Path, tables: int, rows: int, chosen: random.Random) -> int:
    """Write the contracts and two versions of each table; returns the bytes of the lake."""
    (project / FOLDER).mkdir(parents=True)
    vocabulary = words(chosen)
    declared = [contract(number, vocabulary, chosen) for number in range(tables)]
    for each in declared:
        path = project / FOLDER / f"{each.name}.toml"
        path.write_text(contract_toml(OwnTable(contract=each, path=path), {}), encoding="utf-8")
    lake = Lake.of(load_settings(project))
    for each in declared:
        columns = []
        for column in each.columns:
            if pa.types.is_integer(column.type):
                columns.append(pa.array(range(rows), column.type))
            elif pa.types.is_floating(column.type):
                columns.append(pa.array([chosen.gauss(0, 1) for _ in range(rows)], column.type))
            else:
                columns.append(pa.array([" ".join(chosen.choices(vocabulary, k=6)) for _ in range(rows)], column.type))
        table = pa.table(columns, schema=each.schema)
        lake.replace(each, table.slice(0, rows // 2), "a" * 16)
        lake.replace(each, table, "b" * 16)
    return sum(file.stat().st_size for file in Path(lake.root).rglob("*.parquet"))


def main() -> None:
    """Make the project, build its site, and print the times and sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--rows", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watershed-site-") as folder:
        project = Path(folder)
        size = make_lake(project, options.tables, options.rows, random.Random(0))
        print(
            f"{options.tables:,} tables of {options.rows:,} rows, {size / 1e6:,.0f} MB; {len(CONTRACTS):,} are declared"
        )
        began, worked = time.perf_counter(), time.process_time()
        built = build_site(load_settings(project), project / "site")
        took, worked = time.perf_counter() - began, time.process_time() - worked
        sizes = {path: path.stat().st_size for path in built.folder.rglob("*") if path.is_file()}
        pages = sorted((size, path.name) for path, size in sizes.items() if path.suffix == ".html")
        print(f"built in {took:.1f} s (at most {SECONDS}), {worked:.1f} s of processor time")
        print(f"{built.pages:,} pages, {built.entries:,} entries of search")
        print(
            f"largest page {pages[-1][0] / 1000:.1f} kB, {pages[-1][1]} (at most {BYTES // 1000}); median "
            f"{pages[len(pages) // 2][0] / 1000:.1f} kB"
        )
        index = next(size for path, size in sizes.items() if path.name == "search.js")
        print(f"search index {index / 1000:.0f} kB, all files {sum(sizes.values()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
