"""Reports of outcomes: as text, JSON, JUnit XML and GitHub annotations."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from catalog.contract import Contract
from catalog.storage.verify import Verified
from quality.outcome import Outcome

FORMATS = ("text", "json", "junit", "github")


def report(outcomes: Sequence[Outcome], format: str, missing: Sequence[Contract] = ()) -> str:
    """Report the outcomes of a check as text that ends with a newline.

    Args:
        outcomes: the outcomes of `quality.gate.check`.
        format: one of `FORMATS`: text, json, junit or github.
        missing: tables that were not checked because they are not made yet.

    Raises:
        KeyError: `format` is not one of `FORMATS`.

    Example:
        >>> from catalog import load_settings
        >>> from quality.gate import check
        >>> from quality.report import report
        >>> lines = report(check(load_settings(), ["dclm.pool"]), "text").splitlines()
        >>> lines[-1].split(":")[0]
        '1 table'
    """
    writers = {"text": _text, "json": _json, "junit": _junit, "github": _github}
    return writers[format](outcomes, [contract.name for contract in missing]).rstrip("\n") + "\n"


def summary(outcomes: Sequence[Outcome]) -> str:
    """The outcomes in one line: "3 tables: 120 expectations hold, 2 warn, 1 fails"."""
    tables = len({outcome.table for outcome in outcomes})
    held, warned, failed = (sum(getattr(o, kind) for o in outcomes) for kind in ("passed", "warned", "failed"))
    line = f"{tables} {'table' if tables == 1 else 'tables'}: {held} expectations hold"
    line += f", {warned} {'warns' if warned == 1 else 'warn'}" if warned else ""
    return f"{line}, {failed} {'fails' if failed == 1 else 'fail'}" if failed else line


def storage_summary(verified: Sequence[Verified]) -> str:
    """What `quality.gate.check_storage` read, in one line: "325 files, 101.2 MB; read 101.2 MB, 1.4 s a gigabyte"."""
    files, held, read = (sum(getattr(each, name) for each in verified) for name in ("files", "bytes", "bytes_read"))
    seconds, without = sum(each.seconds for each in verified), sum(each.without for each in verified)
    line = f"{files:,} files, {held / 1e6:,.1f} MB; read {read / 1e6:,.1f} MB in {seconds:,.1f} s"
    line += f", {seconds / (read / 1e9):,.1f} s a gigabyte" if read else ""
    unrecorded = [each.table for each in verified if each.without]
    if without:
        line += f"\n{without:,} files were written without checksums, by an earlier release or another program, in "
        line += f"{', '.join(unrecorded)}; only their existence, sizes and Parquet pages' checksums are verified"
    return line


def _text(outcomes: Sequence[Outcome], missing: Sequence[str]) -> str:
    lines = []
    width = max((len(outcome.table) for outcome in outcomes), default=0)
    for table, group in groupby(outcomes, key=lambda outcome: outcome.table):
        of_table = list(group)
        failed, warned = (sum(getattr(outcome, kind) for outcome in of_table) for kind in ("failed", "warned"))
        verdict = (
            f"FAILED {failed} of {len(of_table)} expectations"
            if failed
            else f"ok {len(of_table) - warned} expectations"
        )
        verdict += f", {warned} warned" if warned else ""
        rows, seconds = of_table[0].rows, sum(outcome.seconds for outcome in of_table)
        unit = "row " if rows == 1 else "rows"
        lines.append(f"{table:<{width}}  {verdict:<32}  {rows:>12,} {unit}  {seconds:6.2f} s")
    for outcome in outcomes:
        # The examples of an error are on its line; those of a warning are a list.
        lines += [f"WARNED {outcome.line(rows=False)}", *_listed(outcome)] if outcome.warned else []
    lines += [f"FAILED {outcome.line()}" for outcome in outcomes if outcome.failed]
    if missing:
        lines.append(f"not made yet: {_missing(missing, {outcome.table.partition('.')[0] for outcome in outcomes})}")
    return "\n".join([*lines, summary(outcomes)])


def _missing(names: Sequence[str], begun: Collection[str]) -> str:
    """Tables of the families in `begun` by name; those of other families as a number."""
    families = Counter(name.partition(".")[0] for name in names)
    whole = [f"{family} ({count})" for family, count in families.items() if family not in begun]
    parts = [name for name in names if name.partition(".")[0] in begun]
    return ", ".join([*parts, *([f"all tables of {', '.join(whole)}"] if whole else [])])


def _listed(outcome: Outcome) -> list[str]:
    shown = [f"  {row}" for row in outcome.example_lines()]
    more = outcome.violations - len(shown)
    return [*shown, f"  and {more:,} more"] if shown and more > 0 else shown


def _json(outcomes: Sequence[Outcome], missing: Sequence[str]) -> str:
    document = {
        "passed": not any(outcome.failed for outcome in outcomes),
        "tables": sorted({outcome.table for outcome in outcomes}),
        "not_made": list(missing),
        "outcomes": [_finite(dataclasses.asdict(outcome)) for outcome in outcomes],
    }
    return json.dumps(document, indent=2, default=str, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """`value` with NaN and infinities, which JSON lacks, as strings."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _junit(outcomes: Sequence[Outcome], missing: Sequence[str]) -> str:
    failed = sum(outcome.failed for outcome in outcomes)
    root = ElementTree.Element(
        "testsuites", name="watershed check", tests=str(len(outcomes) + len(missing)), failures=str(failed)
    )
    for table, group in groupby(outcomes, key=lambda outcome: outcome.table):
        of_table = list(group)
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=table,
            tests=str(len(of_table)),
            failures=str(sum(outcome.failed for outcome in of_table)),
            time=f"{sum(outcome.seconds for outcome in of_table):.3f}",
        )
        for outcome in of_table:
            case = ElementTree.SubElement(
                suite, "testcase", classname=table, name=outcome.label, time=f"{outcome.seconds:.3f}"
            )
            if outcome.failed:
                failure = ElementTree.SubElement(case, "failure", message=f"observed {outcome.observed}")
                failure.text = _printable(outcome.line())
            elif outcome.warned:
                ElementTree.SubElement(case, "system-out").text = _printable(f"WARNED {outcome.line()}")
    for table in missing:
        suite = ElementTree.SubElement(root, "testsuite", name=table, tests="1", failures="0", skipped="1")
        case = ElementTree.SubElement(suite, "testcase", classname=table, name="made")
        ElementTree.SubElement(case, "skipped", message="not made yet")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)


def _github(outcomes: Sequence[Outcome], missing: Sequence[str]) -> str:
    lines = [
        f"::{'error' if outcome.failed else 'warning'} "
        f"title={_escaped(f'{outcome.table} {outcome.label}', ':,')}::{_escaped(outcome.line())}"
        for outcome in outcomes
        if not outcome.passed
    ]
    lines += [f"::notice title={table}::not made yet, not checked" for table in missing]
    return "\n".join([*lines, summary(outcomes)])


def _escaped(text: str, more: str = "") -> str:
    """`text` for a workflow command: percent signs, line ends and the characters in `more` as %XX."""
    for character in ("%", "\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _printable(text: str) -> str:
    """`text` without the control characters that XML does not allow."""
    return "".join(character if character >= " " or character in "\t\n" else "�" for character in text)
