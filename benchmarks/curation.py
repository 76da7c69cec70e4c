"""Curation side by side with peers: speed on one core, and how far the outputs agree.

    uv run --group bench python -m benchmarks.curation [--corpus DIR] [--pages N] [--stages NAME,...] [--json FILE]
    uv run --group bench python -m benchmarks.curation --scale [--json FILE]

Every stage gives the same documents to both sides, in turns, on one core, and takes of each the round with the least
processor time. `docs/performance.md` says what each agreement means.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.curation_stages import STAGES, contests
from benchmarks.curation_stages.contest import Row, on_one_core, run
from catalog.errors import WatershedError

if TYPE_CHECKING:
    from rich.table import Table

    from benchmarks.curation_stages.growth import Size
    from benchmarks.curation_stages.pages import Pages

PAGES = 1_000
ROUNDS = 3
DOCUMENTS = (10_000, 100_000, 1_000_000)
POSITIVE = click.IntRange(min=1)
CORPUS_SIZE = "small"
"""Size of the crawl that is made if no corpus is named."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Folder of .warc.gz files; else one of this machine's documentation is made.",
)
@click.option("--pages", type=POSITIVE, default=PAGES, show_default=True, help="Pages that both sides get.")
@click.option("--stages", default=",".join(STAGES), show_default=True, help="Which, separated by commas.")
@click.option("--rounds", type=POSITIVE, default=ROUNDS, show_default=True, help="Turns of each side; the best counts.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the rows there too.")
@click.option(
    "--scale", is_flag=True, help="Measure our own memory and cost from 10,000 to 1,000,000 documents instead."
)
@click.option(
    "--documents", type=POSITIVE, multiple=True, default=DOCUMENTS, show_default=True, help="Sizes for --scale."
)
def main(
    *,
    corpus: Path | None,
    pages: int,
    stages: str,
    rounds: int,
    json_file: Path | None,
    scale: bool,
    documents: tuple[int, ...],
) -> None:
    """Run curation beside its peers: speed on one core, and agreement."""
    on_one_core()
    try:
        write_json(json_file, [])
        if scale:
            grow(corpus or made_corpus(), documents, json_file)
        else:
            compare(corpus or made_corpus(), pages, named_stages(stages), rounds, json_file)
    except WatershedError as error:
        click.echo(f"error: {error.cause}\n  try: {error.mend}", err=True)
        sys.exit(2)


def named_stages(names: str) -> list[str]:
    """The requested stages.

    Raises:
        WatershedError: one is not known.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in STAGES:
            raise WatershedError(f"--stages: no stage {name!r}", f"known: {', '.join(STAGES)}")
    return wanted


def made_corpus() -> Path:
    """A crawl of this machine's documentation, made once and kept in the user's cache."""
    from dagster_project.families.demo.sizes import SIZES
    from spark_jobs.demo.crawl import write_crawl
    from spark_jobs.spark.java import cache_folder

    folder = cache_folder() / "benchmarks" / CORPUS_SIZE
    report = write_crawl(
        folder,
        SIZES[CORPUS_SIZE].crawl,
        label=CORPUS_SIZE,
        progress=lambda done, planned: say(f"corpus: {done} of {planned} pages"),
    )
    say(f"corpus: {report.pages:,} pages of this machine's documentation in {folder}", end="\n")
    return folder


def compare(corpus: Path, count: int, stages: Sequence[str], rounds: int, json_file: Path | None) -> list[Row]:
    """Run the stages and print the table; rows go to `json_file` as they come."""
    from benchmarks.curation_stages.pages import read_pages

    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="watershed-benchmark-") as scratch:
        say("reading pages")
        pages = read_pages(corpus, count, Path(scratch))
        html, text = pages.payload_bytes / 1e6, pages.text_bytes / 1e6
        say(f"{len(pages.texts):,} pages: {html:.1f} MB of HTML, {text:.1f} MB of text", end="\n")
        for row in raced(pages, stages, rounds):
            rows.append(row)
            write_json(json_file, [asdict(row) for row in rows])
            speeds = f"ours {_rounded(row.ours_mb_s)} MB/s, {row.peer} {_rounded(row.peer_mb_s)}"
            say(f"{row.stage}: {speeds}, {row.agreement:.2%} equal", end="\n")
    _print(table_of(rows))
    return rows


def raced(pages: Pages, stages: Sequence[str], rounds: int) -> Iterator[Row]:
    """Return one row per comparison.

    Raises:
        WatershedError: a peer is not installed.
    """
    for stage in stages:
        say(f"{stage}: preparing")
        try:
            for contest in contests(stage, pages):
                yield run(contest, rounds, say)
        except ModuleNotFoundError as error:
            raise WatershedError(
                f"stage {stage}: {error.name} is not installed", "run `uv sync --group bench`, or leave the stage out"
            ) from error


def grow(corpus: Path, sizes: Sequence[int], json_file: Path | None) -> list[Size]:
    """Measure memory and cost over growing inputs and print the table."""
    from benchmarks.curation_stages.growth import measured

    found: list[Size] = []
    for size in measured(corpus, sizes, say):
        found.append(size)
        write_json(json_file, [asdict(each) for each in found])
    _print(growth_table(found))
    return found


def table_of(rows: Sequence[Row]) -> Table:
    """Rows as they are printed."""
    from rich.table import Table

    table = Table(title="MB/s of input on one core, processor time")
    for name in ("stage", "peer", "peer MB/s", "ours MB/s", "peer docs/s", "ours docs/s", "ratio", "agreement"):
        table.add_column(name, justify="left" if name in ("stage", "peer") else "right")
    table.add_column("compared", overflow="fold")
    for row in rows:
        speeds = (row.peer_mb_s, row.ours_mb_s, row.peer_documents_s, row.ours_documents_s)
        table.add_row(
            row.stage,
            row.peer,
            *(_rounded(speed) for speed in speeds),
            f"{_rounded(row.ratio)}x",
            f"{row.agreement:.2%}",
            row.compared,
        )
    return table


def growth_table(sizes: Sequence[Size]) -> Table:
    """Sizes as they are printed."""
    from rich.table import Table

    table = Table(title="The same work on growing inputs, one core")
    for name in ("work", "documents", "MB", "processor s", "microseconds a document", "peak memory, MB"):
        table.add_column(name, justify="left" if name == "work" else "right")
    for size in sizes:
        table.add_row(
            size.work,
            f"{size.documents:,}",
            f"{size.megabytes:,.0f}",
            f"{size.seconds:,.1f}",
            f"{size.seconds / size.documents * 1e6:,.1f}",
            f"{size.peak_mb:,.0f}",
        )
    return table


def write_json(path: Path | None, rows: list[dict[str, object]]) -> None:
    """Replace the file by the rows, whole.

    Raises:
        WatershedError: it cannot be written.
    """
    if path is None:
        return
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise WatershedError(f"--json {path}: {error.strerror}", "name a file in an existing folder") from error


def say(line: str, end: str = "") -> None:
    """A line of progress on standard error; on a terminal the next one takes its place unless it ends."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end=end, file=sys.stderr, flush=True)
    elif end:
        print(line, file=sys.stderr, flush=True)


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def _print(table: Table) -> None:
    from rich.console import Console

    say("")
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    main()
