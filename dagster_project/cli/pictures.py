"""The command `watershed pictures`: the pictures that a column of addresses names, on the disk."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.command("pictures")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder that receives the pictures."
)
@click.option("--url-column", default="image_url", show_default=True, help="Column that holds the addresses.")
@click.option("--sha256-column", default="", help="Column of the digests that pictures must have.")
@click.option(
    "--concurrency",
    default=64,
    show_default=True,
    type=click.IntRange(1, 4096),
    help="Pictures that are downloaded at a time.",
)
@click.option(
    "--per-host", default=4, show_default=True, type=click.IntRange(1, 256), help="Pictures of one host in flight."
)
@click.option("--contact", default="", help="Address in the User-Agent header, to which hosts can complain.")
@click.option("--internal", multiple=True, metavar="HOST:PORT", help="Server in this network that may be asked.")
@user_errors(RUN_AGAIN)
def pictures_command(  # noqa: PLR0917
    table: Path,
    out: Path,
    url_column: str,
    sha256_column: str,
    concurrency: int,
    per_host: int,
    contact: str,
    internal: tuple[str, ...],
) -> None:
    """Download the pictures that TABLE, a Parquet file, names in a column of addresses. This needs no lake.

    OUT holds each picture once, by its digest, and journal.jsonl, which says for each address what became of it. A
    download that was interrupted goes on where it was. robots.txt and X-Robots-Tag are honoured, and no address inside
    this network is asked. docs/pixmo.md describes the outcomes.

    \b
    Examples:
      watershed pictures train-00000-of-00001.parquet --out pictures
      watershed pictures urls.parquet --url-column url --sha256-column sha256 --out pictures --contact me@example.org
    """
    from collections import Counter

    from catalog.progress import track
    from dagster_project.cli.screen.bars import Bars, wide_console
    from spark_jobs.pictures.columns import wanted_of
    from spark_jobs.pictures.download import download
    from spark_jobs.pictures.rules import FetchRules
    from spark_jobs.pictures.store import PictureStore

    wanted = wanted_of(table, url_column, sha256_column)
    rules = FetchRules(concurrency=concurrency, per_host=per_host, contact=contact, internal=internal)
    with Bars(wide_console()).listening(), track("downloading pictures", len(wanted), "pictures") as task:
        found = download(wanted, PictureStore(out), out / "journal.jsonl", rules, report=lambda each: task.advance(1))
    for outcome, count in Counter(row["outcome"] for row in found.values()).most_common():
        say(f"{outcome}: {count:,}")
