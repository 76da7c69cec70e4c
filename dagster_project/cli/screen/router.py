"""The end of `watershed demo router` and `watershed router table`: all methods beside each other, and the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.lake import Lake

CONCLUSIONS = {
    "gain": "a significant gain",
    "no significant difference": "no significant difference",
    "loss": "a significant loss",
}


def print_router(console: Console, lake: Lake) -> None:
    """Print the experts, the table of methods, and the paired tests with their conclusions."""
    from rich.table import Table

    from catalog.tables.router import COMPARISONS, EXPERTS, RESULTS

    experts = lake.read(EXPERTS.name, ["expert", "seed", "steps", "parameters", "seconds"]).to_pylist()
    seconds = sum(row["seconds"] for row in experts)
    console.print(
        f"{len(experts)} sets of adapters of {experts[0]['parameters']:,} parameters, trained in {seconds:,.0f} s"
    )
    rows = lake.read(RESULTS.name).to_pylist()
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    seen = {row["domain"]: row["expert"] for row in rows}
    domains.sort(key=lambda name: not seen[name])
    columns = [f"{name}{'' if seen[name] else ' *'}" for name in domains]
    table = Table("method", *columns, "mean", "mean *", "answered", "own expert", title="nDCG@10, mean of the seeds")
    for method in dict.fromkeys(row["method"] for row in rows):
        of = [row for row in rows if row["method"] == method]
        cells = [f"{_mean([row['ndcg'] for row in of if row['domain'] == name]):.3f}" for name in domains]
        own = [row["own_expert"] for row in of if row["own_expert"] is not None]
        table.add_row(
            method,
            *cells,
            *(
                f"{macro(of, expert=expert):.3f}" if any(row["expert"] == expert for row in of) else "-"
                for expert in (True, False)
            ),
            f"{macro(of, expert=True, column='ndcg_answered'):.3f}",
            f"{_mean(own):.0%}" if own else "-",
        )
    console.print(table)
    console.print(
        "* without an expert. Means are over the domains: `mean` counts every judged query, `answered` those that have "
        "a text. `own expert` is the share of queries that went to the expert of their domain.",
        soft_wrap=True,
        style="dim",
    )
    for row in lake.read(COMPARISONS.name).to_pylist():
        console.print(sentence(row), soft_wrap=True)


def macro(rows: Sequence[Mapping[str, Any]], *, expert: bool, column: str = "ndcg") -> float:
    """Return the mean over domains, with an expert or without, of the means over their seeds."""
    of: dict[str, list[float]] = {}
    for row in rows:
        if row["expert"] == expert and row[column] is not None:
            of.setdefault(row["domain"], []).append(row[column])
    return _mean([_mean(each) for each in of.values()])


def sentence(row: Mapping[str, Any]) -> str:
    """Return what a row of `router.comparisons` says, in words.

    Example:
        >>> row = {"method": "router", "baseline": "single base", "expert": True, "difference": 0.0125, "low": 0.004}
        >>> row |= {"high": 0.021, "p": 0.003, "seeds": 3, "seeds_above": 3, "queries": 600, "conclusion": "gain"}
        >>> sentence(row).rpartition(": ")[2]
        'a significant gain'
    """
    where = "domains with an expert" if row["expert"] else "domains without one"
    return (
        f"{row['method']} against {row['baseline']}, {where}: {row['difference']:+.4f} (95% {row['low']:+.4f} to "
        f"{row['high']:+.4f}), p = {row['p']:.4f}, above 0 in {row['seeds_above']} of {row['seeds']} seeds, "
        f"{row['queries']:,} queries: {CONCLUSIONS[row['conclusion']]}"
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
