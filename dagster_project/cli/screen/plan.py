"""What `watershed make` would make, on the terminal: steps, partitions, causes, rows, and times of past runs."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import dagster as dg
from rich.console import Console
from rich.text import Text

from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.settings import Settings
from dagster_project.cli.screen.render import plain_table
from dagster_project.engine.reasons import joined

if TYPE_CHECKING:
    from dagster_project.run import Planned

PARTITIONS_SHOWN = 6
PAST_EVENTS = 200
"""Materialisations that the time of a step is taken from, the last ones."""


def print_plan(screen: Console, settings: Settings, instance: dg.DagsterInstance, planned: Sequence[Planned]) -> None:
    """Print the steps that would be made, in order.

    Rows are those that the partitions hold now. Times are the median time of a partition in past runs, times the number
    of partitions.
    """
    if not planned:
        screen.print("Everything is up to date: nothing would be made.")
        return
    lake = Lake.of(settings)
    table = plain_table()
    table.add_column("step", no_wrap=True)
    table.add_column("partitions")
    for name in ("rows now", "past time, s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", ratio=1)
    known, unknown = 0.0, 0
    for each in planned:
        seconds = past_seconds(instance, each.step.name)
        known += (seconds or 0) * len(each.due)
        unknown += seconds is None
        table.add_row(
            each.step.name,
            _partitions(each),
            _rows(lake, each),
            "" if seconds is None else f"{seconds * len(each.due):,.1f}",
            Text(_why(each)),
        )
    screen.print(table)
    steps = f"{len(planned):,} {'step' if len(planned) == 1 else 'steps'}"
    without = f", without {unknown:,} that no past run has timed" if unknown else ""
    screen.print(f"{steps}, about {known:,.0f} s{without}. Nothing was made.")


def past_seconds(instance: dg.DagsterInstance, name: str) -> float | None:
    """Return the median time of a partition, or of the whole table, in past runs, in seconds; None if none is known."""
    found = instance.fetch_materializations(dg.AssetKey(name.split(".")), limit=PAST_EVENTS).records
    events = [record.asset_materialization for record in found]
    times = [float(str(e.metadata["seconds"].value)) for e in events if e and "seconds" in e.metadata]
    return median(times) if times else None


def _partitions(planned: Planned) -> str:
    if planned.step.cut is None:
        return ""
    names = [planned.shown(key) for key in planned.due]
    more = f" and {len(names) - PARTITIONS_SHOWN:,} more" if len(names) > PARTITIONS_SHOWN else ""
    return f"{len(names):,} of {planned.of:,}: {', '.join(names[:PARTITIONS_SHOWN])}{more}"


def _rows(lake: Lake, planned: Planned) -> str:
    state = table_state(lake, planned.step.contracts[0])
    if not state.made:
        return ""
    rows = sum(state.partition_rows.get(key, 0) for key in planned.due) if planned.step.cut else state.rows
    return f"{rows:,}"


def _why(planned: Planned) -> str:
    reasons = [reason for reason in planned.due.values() if reason is not None]
    if not reasons:
        return "it is made by force"
    # The cause in the step itself is more than where the step waits for others.
    texts = dict.fromkeys(reason.text if reason.ready else reason.sentence for reason in reasons)
    return joined(list(texts))
