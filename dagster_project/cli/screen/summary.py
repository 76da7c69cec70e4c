"""The summary at the end of a demo: kept documents, checks, forecasts with their outcomes, and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from catalog.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from dagster_project.run import StepCost

QUERIES = (
    (
        "the sites with the most training text, and the mean score of their documents",
        "SELECT m.source, count(*) AS documents, sum(m.text_bytes) AS bytes, round(avg(s.score), 3) AS score\n"
        "FROM dclm.mixture m JOIN dclm.scores s USING (doc_id) GROUP BY ALL ORDER BY bytes DESC LIMIT 10",
    ),
    (
        "the rules that drop documents, with the median of the values and the threshold",
        "SELECT b.rule, count(*) AS documents, round(median(b.value), 3) AS median, any_value(b.threshold) AS "
        "threshold\nFROM (SELECT unnest(broken) AS b FROM dclm.verdicts) GROUP BY ALL ORDER BY documents DESC",
    ),
    (
        "the documents of the first training sequence",
        "SELECT d.url, d.warc, d.record_offset, s.start, s.stop\n"
        "FROM dclm.spans s JOIN dclm.documents d USING (doc_id)\n"
        "WHERE split = 'train' AND shard = 'shard_00000000'\n"
        "  AND s.start <= (SELECT any_value(sequence_length) FROM dclm.shards) ORDER BY s.start",
    ),
)


def print_summary(console: Console, settings: Settings, costs: list[StepCost], seconds: float) -> None:
    """Print a summary of the lake as it is now, and of the run that made it.

    Args:
        console: The console to print on.
        settings: The settings of the project.
        costs: The cost of each step of the run.
        seconds: The duration of the run, in seconds.
    """
    from catalog.sql.query import connect

    connection = connect(settings)
    console.rule("[bold]Documents")
    console.print(_funnel(connection))
    console.print(_reasons(connection))
    console.rule("[bold]Checks")
    _checks(console, settings)
    console.rule("[bold]Forecasts")
    console.print(_ladder(connection))
    console.print(_outcomes(connection))
    console.rule("[bold]Cost")
    console.print(costs_table(costs) if costs else "Everything is up to date: nothing was made again.")
    console.print(f"{seconds:,.0f} s in all")
    console.rule("[bold]Next steps")
    for question, sql in QUERIES:
        console.print(f'[dim]-- {question}[/]\nuv run watershed sql "{sql}"\n', soft_wrap=True, highlight=False)
    console.print("uv run watershed ui      [dim]the graph, its checks and plots[/]")
    console.print("uv run watershed check   [dim]the gate that CI runs[/]")


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> list[dict[str, Any]]:
    """Return the rows of a query as dictionaries."""
    result = connection.execute(sql)
    names = [column[0] for column in result.description or ()]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _table(title: str, *columns: str) -> Table:
    """Return a table without lines. The first column is aligned left, all others right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", header_style="dim")
    return table


def _funnel(connection: duckdb.DuckDBPyConnection) -> Table:
    table = _table("FROM dclm.funnel", "stage", "documents", "MB of text", "tokens", "of crawl", "of stage before")
    for row in rows_of(connection, "FROM dclm.funnel"):
        before = row["share_of_stage_before"]
        table.add_row(
            row["stage"],
            f"{row['documents']:,}",
            f"{row['bytes'] / 1e6:,.2f}",
            f"{row['tokens']:,}",
            f"{row['share_of_crawl']:.1%}",
            f"{before:.1%}" if before is not None else "",
        )
    return table


def _reasons(connection: duckdb.DuckDBPyConnection) -> Table:
    table = _table("FROM dclm.reasons", "reason for leaving out", "documents", "MB of text")
    for row in rows_of(connection, "FROM dclm.reasons LIMIT 10"):
        table.add_row(escape(f"{row['stage']}: {row['reason']}"), f"{row['documents']:,}", f"{row['bytes'] / 1e6:,.2f}")
    return table


def _checks(console: Console, settings: Settings) -> None:
    from quality.gate import check

    outcomes = check(settings)
    failed = [outcome for outcome in outcomes if outcome.failed]
    held, tables = sum(outcome.passed for outcome in outcomes), len({outcome.table for outcome in outcomes})
    console.print(f"{held} of {len(outcomes)} expectations on {tables} tables hold")
    for outcome in failed:
        console.print(f"[red]FAILED[/] {escape(outcome.line())}", soft_wrap=True)
    for outcome in outcomes:
        if outcome.warned:
            console.print(f"[yellow]WARNED[/] {escape(outcome.line(rows=False))}", soft_wrap=True)


def _ladder(connection: duckdb.DuckDBPyConnection) -> Table:
    table = _table(
        "the ladder", "run", "task", "parameters", "tokens", "seconds", "held out, bits/byte", "task loss", "accuracy"
    )
    for row in rows_of(
        connection,
        "SELECT p.run, p.task, p.parameters, p.tokens, c.seconds, c.heldout_bits_per_byte, p.task_loss, p.accuracy "
        "FROM ladder.points p JOIN models.checkpoints c USING (run) WHERE p.source = 'lake' ORDER BY p.task, p.flops",
    ):
        table.add_row(
            row["run"],
            row["task"],
            f"{row['parameters']:,}",
            f"{row['tokens']:,}",
            f"{row['seconds']:.0f}",
            f"{row['heldout_bits_per_byte']:.3f}",
            f"{row['task_loss']:.3f}",
            f"{row['accuracy']:.1%}",
        )
    return table


def _outcomes(connection: duckdb.DuckDBPyConnection) -> Table:
    table = _table(
        "the target: forecast before it was trained, then measured",
        "target",
        "task",
        "predicted",
        "90% band",
        "measured",
        "error",
        "in band",
        "loss predicted",
        "loss measured",
        "chance",
    )
    for row in rows_of(connection, "FROM ladder.outcomes ORDER BY target, task"):
        table.add_row(
            row["target"],
            row["task"],
            f"{row['predicted']:.1%}",
            f"{row['low']:.1%} .. {row['high']:.1%}",
            f"{row['measured']:.1%}",
            f"{row['error'] * 100:+.1f} points",
            "yes" if row["in_band"] else "no",
            f"{row['predicted_loss']:.3f}",
            f"{row['measured_loss']:.3f}",
            f"{row['chance']:.0%}",
        )
    return table


def costs_table(costs: list[StepCost]) -> Table:
    """Return a table with the partitions, seconds and peak memory of each step."""
    table = _table("steps of this run", "step", "partitions", "seconds", "peak memory, GB")
    for cost in costs:
        table.add_row(cost.step, str(cost.partitions), f"{cost.seconds:.1f}", f"{cost.peak_bytes / 1e9:.2f}")
    return table
