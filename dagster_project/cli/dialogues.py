"""The commands `watershed dialogues import|show`: published dialogues into the lake, and dialogues on the screen."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say

FILE = click.Path(path_type=Path)


@click.group("dialogues")
def dialogues_command() -> None:
    """Import published dialogues, and read dialogues with their revisions.

    `watershed demo dialogues` makes dialogues.

    \b
    Examples:
      watershed dialogues import sdsd data/train-00000.parquet
      watershed dialogues show --model smollm2
    """


@dialogues_command.command("import")
@click.argument("collection")
@click.argument("files", type=FILE, nargs=-1, required=True)
@user_errors(RUN_AGAIN)
def import_command(collection: str, files: tuple[Path, ...]) -> None:
    """Import files of published dialogues into the table dialogues.published.

    FILES are JSON lines or Parquet in the layout of allenai/sdsd-dialogues or allenai/sdsd-revisions. COLLECTION names
    them in the table, and replaces an earlier import of that name. Ill-formed rows are imported, marked and counted.

    \b
    Examples:
      watershed dialogues import sdsd data/train-00000.parquet
      watershed dialogues import sdsd-revisions revisions.jsonl
    """
    from collections import Counter

    import pyarrow as pa

    from catalog.fingerprint import fingerprint
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.tables.dialogues import PUBLISHED
    from spark_jobs.dialogues.published import read_published

    rows = read_published(collection, files)
    made = fingerprint("published", "1", [row["messages"] for row in rows])
    table = pa.Table.from_pylist(rows, schema=PUBLISHED.schema)
    Lake.of(load_settings()).replace(PUBLISHED, table, made, {"collection": collection})
    faulty = [row for row in rows if row["ill_formed"]]
    say(f"dialogues.published: {len(rows):,} rows of {collection}, {len(faulty):,} of them ill-formed")
    for fault, count in Counter(fault for row in faulty for fault in row["ill_formed"]).most_common():
        say(f"  {count:,} {fault}")
    known = [row["adherence"] for row in rows if row["adherence"] is not None]
    if known:
        say(f"  a message covers {sum(known) / len(known):.0%} of the steps of the {len(known):,} plans")


@dialogues_command.command("show")
@click.option("--model", default="", metavar="NAME", help="Shows dialogues of this entry of [models] only.")
@click.option("--count", default=3, show_default=True, type=click.IntRange(1), help="The number of dialogues to show.")
@user_errors()
def show_command(model: str, count: int) -> None:
    """Show dialogues before and after their revision, the longest revised ones first.

    \b
    Examples:
      watershed dialogues show
      watershed dialogues show --model smollm2 --count 10
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.dialogues import print_dialogues
    from dagster_project.cli.screen.render import console

    print_dialogues(console(), load_settings(), model, count)
