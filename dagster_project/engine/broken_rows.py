"""Where the rows of a table break its contract, and what to do about it, as the UI shows it.

Rows hold strangers' text. It is shortened and shown as text: no markup of it is rendered. Values of columns that may
hold personal data are not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.contract import Contract
from dagster_project.engine.markdown import markdown
from dagster_project.engine.steps import REGISTERED, Steps

if TYPE_CHECKING:
    from quality.outcome import Outcome

EXPECTATIONS_SHOWN, ROWS_SHOWN, PLACES_SHOWN = 10, 5, 5
VALUE_WIDTH = 40

DUE_JOB = "make_what_is_due"
"""The job that makes what is due and nothing else; see `dagster_project.due_job`."""


def places(contract: Contract, outcomes: list[Outcome]) -> str:
    """Return in words which partitions hold the rows that break the contract: `partitions 0-1 and 0-3`."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key, _ in outcome.partitions))
    if not keys:
        return ""
    names = [_shown_key(contract, key) for key in keys[:PLACES_SHOWN]]
    more = [f"{len(keys) - PLACES_SHOWN:,} more"] if len(keys) > PLACES_SHOWN else []
    listed = [*names, *more]
    return f"partition{'s' if len(keys) > 1 else ''} " + (
        f"{', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else listed[0]
    )


def mend(contract: Contract, where: str, *, links: bool = False) -> str:
    """Return what to click, and the command that does the same."""
    asset = contract.name.replace(".", "/")
    page = f"[{contract.name}](/assets/{asset}?view=partitions)" if links else f"{contract.name} (/assets/{asset})"
    choice = f"choose {where}" if where else "choose what is due" if contract.partition_by else ""
    clicks = f"open {page}, press Materialize, {f'{choice}, ' if choice else ''}and press Launch"
    text = f"{clicks}; or run the job {DUE_JOB}, or `watershed make {contract.name}`"
    return text[0].upper() + text[1:] + "." if links else text


def broken_rows(contract: Contract, outcomes: list[Outcome]) -> str:
    """Return a Markdown table: the partition, column and expectation, the number of rows, and a few of them."""
    lines = ["| partition | column | expected | rows | e.g. |", "|---|---|---|---|---|"]
    for outcome in outcomes[:EXPECTATIONS_SHOWN]:
        where = places(contract, [outcome]).partition(" ")[2]
        cells = map(markdown, (where, outcome.column or "", outcome.statement, f"{outcome.violations:,}"))
        lines.append(f"| {' | '.join(cells)} | {_examples(contract, outcome)} |")
    if len(outcomes) > EXPECTATIONS_SHOWN:
        lines.append(f"| | | {len(outcomes) - EXPECTATIONS_SHOWN:,} more expectations | | |")
    return "\n".join(lines)


def _examples(contract: Contract, outcome: Outcome) -> str:
    rows = [
        ", ".join(f"{markdown(name)} = {_value(contract, name, value)}" for name, value in example.items())
        for example in outcome.examples[:ROWS_SHOWN]
    ]
    return "<br>".join(rows)


def _value(contract: Contract, name: str, value: Any) -> str:
    if value is None:
        return "NULL"
    if name in contract.personal_data:
        return "(personal data)"
    text = repr(value) if isinstance(value, (str, bytes)) else str(value)
    return markdown(text, VALUE_WIDTH)


def _shown_key(contract: Contract, key: str) -> str:
    """A partition as Dagster names it: `0-1`."""
    step = Steps(REGISTERED).by_table.get(contract.name)
    return step.cut.shown(key) if step is not None and step.cut is not None else key
