"""What Dagster shows of a table beside its description: links, the SQL that opens it, sizes, sample rows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from catalog.cards.card import card
from catalog.contract import Column, Contract
from catalog.errors import WatershedError
from catalog.inventory import TableState
from catalog.lake import Lake
from catalog.printable import human_bytes
from dagster_project.engine.markdown import markdown
from dagster_project.engine.small_plots import INLINE

ROOT = Path(__file__).parents[2]
SAMPLED = 3
"""Rows of the sample."""
CELL = 28
"""Most characters of a value in the sample."""
MASK = "(masked)"
LABELS = (
    *("SQL that opens it", "data card", "code", "contract", "documentation"),
    *("licence", "source", "primary key", "personal data"),
    *("size", "lake version", "partitions", "sample rows"),
    *("seconds", "peak memory (MB)", "tables read", "fingerprint"),
)
"""The labels of what every page shows; assets add their own counts and plots."""

DOCS = {"dclm": "curation", "models": "trainers", "evals": "evaluations", "ladder": "ladder", "moe": "trainers"}
DOCS |= {"dialogues": "dialogues", "models.requests": "language_models"}
"""The page of docs/ about each family, or about a table alone; other tables are described by docs/catalog.md."""


def static_metadata(contract: Contract, body: Callable[..., Any] | None, code_url: str = "") -> dict[str, Any]:
    """Return what is known of a table before it is made: links to its code and docs, its licence, its data card."""
    declared = f"catalog/tables/{contract.family}"
    docs = f"docs/{DOCS.get(contract.name) or DOCS.get(contract.family, 'catalog')}.md"
    return {
        "dagster/column_schema": column_schema(contract),
        "dagster/table_name": contract.name,
        "SQL that opens it": f'watershed sql "FROM {contract.name} LIMIT 10"',
        "data card": dg.MetadataValue.md(card(contract)),
        "code": _link(_place(body) if body else declared, code_url),
        "contract": _link(declared, code_url),
        "documentation": _link(docs, code_url),
        "licence": contract.licence,
        "source": contract.source,
        "primary key": ", ".join(contract.primary_key),
        "personal data": "; ".join(f"{k}: {v}" for k, v in contract.personal_data.items()) or "none declared",
    }


def column_schema(contract: Contract) -> dg.TableSchema:
    """Return the columns as Dagster shows them. Descriptions name the columns upstream and the personal data."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                str(column.type),
                column_description(column),
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=contract.primary_key == (column.name,)
                ),
            )
            for column in contract.columns
        ]
    )


def column_description(column: Column) -> str:
    """Return the description of a column, where its values come from, and whether they are personal data."""
    parts = [column.description]
    if column.derived_from:
        parts.append(f"Comes from {', '.join(column.derived_from)}.")
    if column.personal_data:
        parts.append(f"Personal data: {column.personal_data}.")
    return " ".join(parts)


def state_metadata(lake: Lake, contract: Contract, state: TableState) -> dict[str, Any]:
    """Return what is known of a table after it was made: its rows, size, version, and sample rows."""
    files = "1 file" if state.files == 1 else f"{state.files:,} files"
    return {
        "dagster/row_count": state.rows,
        "dagster/uri": state.path,
        "size": f"{human_bytes(state.bytes)} in {files}",
        "lake version": state.version,
        **({"partitions": state.partition_count} if state.expected else {}),
        **_sample(lake, contract),
    }


def sample_rows(contract: Contract, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a Markdown table that Dagster shows in the page: texts shortened, personal data masked.

    The columns that name a row come first, and as many others as fit.
    """
    first = (*(contract.named_by or contract.primary_key), *contract.primary_key)
    names = list(dict.fromkeys([*first, *(column.name for column in contract.columns)]))
    personal, shown = contract.personal_data, ""
    for count in range(1, len(names) + 1):
        chosen = names[:count]
        lines = ["| " + " | ".join(map(markdown, chosen)) + " |", "|" + "---|" * count]
        lines += [
            "| " + " | ".join(MASK if name in personal else _cell(row.get(name)) for name in chosen) + " |"
            for row in rows
        ]
        table = "\n".join(lines)
        if len(table) > INLINE:
            break
        shown = table
    return shown


def human(name: str, value: Any) -> Any:
    """Return a count of an asset body as metadata: sizes for people, floats with four digits, lists as JSON."""
    if isinstance(value, (dict, list)):
        return dg.MetadataValue.json(value)
    if isinstance(value, int) and not isinstance(value, bool) and re.search(r"(^|[_ ])bytes$", name):
        return human_bytes(value)
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return markdown(text, CELL)


def _sample(lake: Lake, contract: Contract) -> dict[str, Any]:
    try:
        stored = lake.table(contract.name).to_pyarrow_dataset()
        # Personal data is not read at all, and no more of a large table than one group of rows.
        columns = [name for name in stored.schema.names if name not in contract.personal_data]
        rows = stored.head(SAMPLED, columns=columns, batch_size=SAMPLED, fragment_readahead=0).to_pylist()
    except (WatershedError, OSError, ValueError):
        # The page of a table that cannot be sampled still shows everything else.
        return {}
    return {"sample rows": dg.MetadataValue.md(sample_rows(contract, rows))} if rows else {}


def _place(body: Callable[..., Any]) -> str:
    code = inspect.unwrap(body).__code__
    path = Path(code.co_filename)
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name}#L{code.co_firstlineno}"


def _link(place: str, code_url: str) -> Any:
    return dg.MetadataValue.url(f"{code_url.rstrip('/')}/{place}") if code_url else place
