"""What the pages of Dagster show of units and pictures: counts, and rows that were set apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dagster as dg

from dagster_project.engine.markdown import markdown

SHOWN = 20
"""Rows of a table on a page."""
POINTS_SHOWN = 4
REASONS = {
    "unit": "another unit than the set",
    "outside": "outside the picture in both units",
    "unknown": "percent and pixels are both likely",
    "size": "in pixels of a picture whose size is unknown",
    "number": "a coordinate is not a finite number",
}

Row = dict[str, Any]


def units_page(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the units of each set, and rows that were set apart."""
    counts = Counter((row["dataset"], row["declared"], row["set_unit"], row["unit"], row["why"]) for row in rows)
    lines = [
        "| dataset | Molmo reads | the set is in | the row is in | set apart because | rows |",
        "|---|---|---|---|---|---|",
    ]
    for (dataset, declared, own, unit, why), count in sorted(counts.items()):
        lines.append(f"| {dataset} | {declared} | {own} | {unit} | {REASONS.get(why, '')} | {count:,} |")
    apart = [row for row in rows if row["apart"]]
    listed = [
        "| dataset | row | picture | points as written | unit | certainty | because |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in apart[:SHOWN]:
        size = f"{row['width']} x {row['height']}" if row["width"] else "size unknown"
        points = "; ".join(f"{point['x']:g}, {point['y']:g}" for point in row["written"][:POINTS_SHOWN])
        more = f"; and {len(row['written']) - POINTS_SHOWN} more" if len(row["written"]) > POINTS_SHOWN else ""
        place = markdown(f"{row['file']}:{row['row']}")
        listed.append(
            f"| {row['dataset']} | {place} | {size} | {points}{more} | {row['unit']} | {row['certainty']:.3f} "
            f"| {REASONS[row['why']]} |"
        )
    if len(apart) > SHOWN:
        listed.append(f"| | {len(apart) - SHOWN:,} more in pixmo.coordinates | | | | | |")
    shown = {"units": dg.MetadataValue.md("\n".join(lines))}
    return {**shown, "rows set apart": dg.MetadataValue.md("\n".join(listed))} if apart else shown


def outcomes_page(rows: Sequence[Row]) -> dict[str, Any]:
    """Return what became of the pictures, and the hosts that lost most."""
    counts = Counter(row["outcome"] for row in rows)
    lines = [
        "| outcome | pictures |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in counts.most_common()),
    ]
    lost = Counter((row["host"], row["outcome"]) for row in rows if row["outcome"] not in ("ok", "held"))
    hosts = ["| host | outcome | pictures |", "|---|---|---|"]
    hosts += [f"| {markdown(host)} | {outcome} | {count:,} |" for (host, outcome), count in lost.most_common(SHOWN)]
    shown = {"outcomes": dg.MetadataValue.md("\n".join(lines))}
    return {**shown, "lost by host": dg.MetadataValue.md("\n".join(hosts))} if lost else shown


def hosts_page(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the rates of each round, and the hosts beyond the threshold in the last one."""
    lines = ["| round | host | pictures | given | lost since | rot |", "|---|---|---|---|---|---|"]
    rounds = list(dict.fromkeys(row["round"] for row in rows))
    chosen = [row for row in rows if row["host"] == "*"]
    chosen += [row for row in rows if rounds and row["round"] == rounds[-1] and row["beyond"] and row["host"] != "*"]
    for row in chosen[: SHOWN + len(rounds)]:
        lines.append(
            f"| {markdown(row['round'])} | {markdown(row['host'])} | {row['pictures']:,} | {row['given_share']:.1%} "
            f"| {row['lost']:,} of {row['had']:,} | {row['rot']:.1%} |"
        )
    return {"rates": dg.MetadataValue.md("\n".join(lines))}
