"""A data card: a table's contract and its state in the lake, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from catalog.contract import Column, Contract, Expectation
from catalog.inventory import TableState, downstream

VALUES_SHOWN = 12


def card(contract: Contract, state: TableState | None = None) -> str:
    """The card of a table in Markdown: facts, columns, expectations, and its state in the lake.

    Args:
        state: what `catalog.inventory.table_state` found; without it the card describes the contract alone.

    Example:
        >>> from catalog import CONTRACTS
        >>> from catalog.cards.card import card
        >>> print(card(CONTRACTS["dclm.spans"]).splitlines()[0])
        # dclm.spans
    """
    parts = [f"# {contract.name}", contract.description, _rows(("", ""), facts(contract, state))]
    parts += [
        "## Columns",
        _rows(
            ("column", "type", "meaning"),
            [(f"`{c.name}`", f"`{type_name(c)}`", _meaning(c)) for c in contract.columns],
        ),
    ]
    key = ", ".join(f"`{name}`" for name in contract.primary_key)
    implied = ["- no column is null unless its type ends in `?`", f"- {key} names a row: no two rows share it"]
    declared = [f"- {statement(e, code=True)}{reason(e)}" for e in contract.expectations]
    parts += ["## Expectations", "\n".join(implied + declared)]
    return "\n\n".join(part for part in parts if part) + "\n"


def facts(contract: Contract, state: TableState | None = None) -> list[tuple[str, str]]:
    """What is predicate of the table as a whole: name and value, the empty ones left out."""
    rows = [
        ("primary key", ", ".join(contract.primary_key)),
        ("partitioned by", ", ".join(contract.partition_by)),
        ("made from", ", ".join(contract.upstream)),
        ("read by", ", ".join(downstream(contract.name))),
        ("source", contract.source),
        ("licence", contract.licence),
        ("owner", contract.owner),
        ("fresh for", str(contract.freshness or "")),
        ("tags", ", ".join(contract.tags)),
        ("modalities", ", ".join(contract.modalities)),
        ("personal data", "; ".join(f"{column}: {kind}" for column, kind in contract.personal_data.items())),
    ]
    if state:
        rows += [("state", state.summary), ("not enforced", ", ".join(state.unguarded))]
    if state and state.made and state.written_at:
        rows += [
            ("rows", f"{state.rows:,}"),
            ("bytes", f"{state.bytes:,} in {state.files:,} {'file' if state.files == 1 else 'files'}"),
            ("partitions", state.partition_count),
            ("checksums", state.checksums),
            ("removals", state.removed.words),
            ("version", f"{state.version}, written {state.written_at:%Y-%m-%d %H:%M:%S} UTC"),
        ]
    return [(name, value) for name, value in rows if value]


def statement(expectation: Expectation, *, code: bool = False) -> str:
    """An expectation as a sentence: "score is at least 0 and at most 1".

    Args:
        code: put names in backquotes.
    """
    quote = "`" if code else ""
    subject = f"{quote}{expectation.column}{quote}" if expectation.column else ""
    sentence = _predicate(expectation, subject, quote)
    share = expectation["mostly"]
    return sentence if share is None else f"{sentence}, in at least {share:.1%} of the rows"


def reason(expectation: Expectation) -> str:
    """Why it is expected and whether it only warns, in brackets, where the contract says so."""
    text = because(expectation)
    return f" ({text})" if text else ""


def because(expectation: Expectation) -> str:
    """Why it is expected, and whether it only warns."""
    return "; ".join(part for part in (expectation.why, "warns" if expectation.severity == "warn" else "") if part)


def type_name(column: Column) -> str:
    """The column's type, with a question mark where it may be null."""
    return f"{column.type}{'?' if column.nullable else ''}"


def _predicate(expectation: Expectation, subject: str, quote: str) -> str:
    predicate = expectation.name.removeprefix("expect_").replace("_", " ")
    match expectation.name:
        case "expect_column_values_to_not_be_null":
            predicate = "is not null"
        case "expect_column_values_to_be_unique":
            predicate = "is unique"
        case "expect_compound_columns_to_be_unique":
            predicate = f"({', '.join(f'{quote}{name}{quote}' for name in expectation['column_list'])}) is unique"
        case "expect_column_values_to_be_between":
            predicate = f"is {_bounds(expectation)}"
        case "expect_table_row_count_to_be_between":
            bounds = _bounds(expectation)
            predicate = f"there is {bounds} row" if bounds.endswith(" 1") else f"there are {bounds} rows"
        case "expect_column_values_to_be_in_set":
            values = [str(value) for value in expectation["value_set"]]
            predicate = (
                f"is one of {len(values)} values" if len(values) > VALUES_SHOWN else f"is one of {', '.join(values)}"
            )
        case "expect_column_values_to_match_regex":
            predicate = f"matches {quote}{expectation['regex']}{quote}"
        case "references":
            predicate = f"is in {quote}{expectation['target']}{quote}"
    return f"{subject} {predicate}".strip()


def _bounds(expectation: Expectation) -> str:
    bounds = [
        f"{word} {expectation[key]}"
        for key, word in (("min_value", "at least"), ("max_value", "at most"))
        if expectation[key] is not None
    ]
    return " and ".join(bounds)


def _meaning(column: Column) -> str:
    parts = [column.description]
    if column.derived_from:
        parts.append(f"From {', '.join(f'`{place}`' for place in column.derived_from)}.")
    if column.personal_data:
        parts.append(f"Personal data: {column.personal_data}.")
    return " ".join(parts)


def _rows(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
