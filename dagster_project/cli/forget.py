"""The command `watershed forget`: removes documents or papers from the whole lake, for good, and proves it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from catalog.lake import Lake
    from catalog.lineage.removal.orders import Order
    from catalog.lineage.removal.run import Holder, Plan
    from catalog.settings import Settings

KEPT = "the order is recorded, and `watershed forget --resume` goes on with it"
SHOWN = 12


@click.command("forget")
@click.argument("names", metavar="[ID]...", nargs=-1)
@click.option(
    "--url-prefix",
    "prefixes",
    metavar="URL",
    multiple=True,
    help="Names every document whose address begins so, those of later crawls included. It may be repeated.",
)
@click.option("--reason", default="", help="Why, for the record. It is kept as it is written.")
@click.option("--yes", is_flag=True, help="Does what would be done; without this option it is only shown.")
@click.option("--resume", is_flag=True, help="Goes on with removals that were interrupted.")
@click.option("--verify", is_flag=True, help="Searches the whole lake for everything that was ever ordered to go.")
@click.option("--json", "as_json", is_flag=True, help="Prints the plan as JSON.")
@user_errors(KEPT)
def forget_command(  # noqa: PLR0917
    names: tuple[str, ...],
    prefixes: tuple[str, ...],
    reason: str,
    yes: bool,
    resume: bool,
    verify: bool,
    as_json: bool,
) -> None:
    """Remove documents or papers from the whole lake: from tables, earlier versions, shards, indexes and logs.

    ID is a doc_id of dclm.documents, a paper of scholar.papers, the key of a row that `watershed add` has added, or a
    doc_id of a mixture. Without --yes, the command shows what it would do:
    rows by table, shards and indexes, the models that have read it already, and copies that would stay.

    With --yes, an order is recorded first, by digests that name no content. From then on no run can write the rows
    again. Versions that held them cannot be read any more; all other versions stay. The archives that a crawl was read
    from are not in the lake, and models that have read a document are listed, and stay. The exit code is 0 if nothing
    is left, and 1 otherwise.

    \b
    Examples:
      watershed forget 0279bf4f0675850223145f9d850371eb
      watershed forget 0279bf4f0675850223145f9d850371eb --reason "asked for by its author" --yes
      watershed forget --url-prefix https://lake.example/people/ --yes
      watershed forget --verify
    """
    if sum((bool(names or prefixes), resume, verify)) != 1:
        raise click.UsageError("name documents by ID or --url-prefix, or give --resume or --verify alone")
    from catalog.lake import Lake
    from catalog.lineage.removal.run import order_removal, plan_removal, unfinished
    from catalog.settings import load_settings
    from catalog.sql.query import connect

    settings = load_settings()
    lake, holders = Lake.of(settings), removal_holders()
    if verify:
        _verify(lake, holders)
        return
    for order in unfinished(lake):
        say(f"the removal {order.id} of {order.ordered_at[:10]} is not finished")
        if yes or resume:
            finish(settings, order)
    if resume:
        return
    plan = plan_removal(lake, connect(settings), names, prefixes, holders)
    if as_json:
        _print_json(plan)
    else:
        _print_plan(plan)
    if not yes:
        say("Nothing was changed. To do this, add --yes.", err=as_json)
        return
    if papers := plan.keys.get("scholar.papers.paper"):
        from spark_jobs.scholar.withdrawing import record_withdrawal

        for paper in papers:
            record_withdrawal(lake, paper, "forgotten", reason or "ordered by `watershed forget`")
    finish(settings, order_removal(lake, plan, reason))


def removal_holders() -> list[Holder]:
    """Return the files outside the tables that a removal clears: shards and indexes of every family."""
    from spark_jobs.dclm.removal import CopiesIndex, Shards

    holders: list[Holder] = [Shards(), CopiesIndex()]
    from importlib.util import find_spec

    from catalog.projects.registry import own_mixtures

    if mixtures := own_mixtures():
        from spark_jobs.mixtures.removal import MixtureShards

        holders += map(MixtureShards, mixtures.values())

    if find_spec("tantivy") and find_spec("usearch"):
        from spark_jobs.scholar.withdrawing import Indexes

        holders.append(Indexes())
    return holders


def finish(settings: Settings, order: Order) -> None:
    """Carry out an order and print what was removed, what proves it, and what is left; exit with 1 if anything is."""
    from catalog.lake import Lake
    from catalog.lineage.removal.run import carry_out, proof_sql
    from catalog.sql.query import connect, query

    order, left = carry_out(Lake.of(settings), order, removal_holders())
    for name, count in order.rows.items():
        if count:
            say(f"removed from {name}: {count:,} {'row' if count == 1 else 'rows'}")
    connection = connect(settings)
    states = dict(connection.execute("SELECT name, state FROM watershed.tables").fetchall())
    for sql in proof_sql(order):
        table = sql.split(" FROM ")[1].split(" ")[0]
        if states.get(table) == "made" and (found := query(connection, sql)):
            ((count,),) = found.fetchall()
            left += [f"{table}: {count:,} rows"] if count else []
            say(f"proof: {count:,} = {sql}")
    for words in left:
        say(f"LEFT {words}", fg="red")
    if left:
        say(f"The removal {order.id} is not finished: `watershed forget --resume` goes on with it.")
        sys.exit(1)
    say(f"The removal {order.id} is done. Tables, earlier versions, shards and indexes hold nothing of it.")


def _verify(lake: Lake, holders: list[Holder]) -> None:
    from catalog.lineage.removal.run import what_is_left

    removals = lake.removals()
    left = what_is_left(lake, removals, [holder for holder in holders if type(holder).__name__ != "CopiesIndex"])
    for words in left:
        say(f"LEFT {words}", fg="red")
    count = len(removals.orders)
    say(f"{count:,} {'order' if count == 1 else 'orders'}, {len(left):,} places with something that was to go")
    sys.exit(1 if left else 0)


def _print_plan(plan: Plan) -> None:
    from catalog.lineage.removal.orders import blanked
    from dagster_project.cli.screen.traced import reading_count

    if not plan.rows and not plan.held:
        say("nothing in the lake has it now; the order keeps it from coming back")
    for identity, values in plan.keys.items():
        more = f" and {len(values) - SHOWN:,} more" if len(values) > SHOWN else ""
        say(f"{identity}: {', '.join(values[:SHOWN])}{more}")
    for name, count in plan.rows.items():
        what = "rows are emptied, and stay" if name in blanked() else "rows are deleted"
        say(f"would: {name}: {count:,} {what}")
    for words in plan.held:
        say(f"would: {words}")
    for reading in plan.readings:
        say(f"seen by: {reading.run} read {reading_count(reading)} of it ({reading.table})")
    if plan.keys and not plan.readings:
        say("seen by: no model, as far as the lake has recorded training steps")
    for words in plan.advice:
        say(f"note: {words}")


def _print_json(plan: Plan) -> None:
    import json
    from dataclasses import asdict

    data(json.dumps(asdict(plan), sort_keys=True))
