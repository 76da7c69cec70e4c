"""The evaluations of checks that Dagster has recorded, for pages outside Dagster."""

from __future__ import annotations

import datetime
import re
from typing import Any

from catalog.cards.site.reading import CheckRun
from catalog.settings import Settings
from catalog.tables import CONTRACTS

EACH = 20
"""Evaluations of a table that are read."""


def check_history(settings: Settings) -> dict[str, list[CheckRun]]:
    """Return the last evaluations of the contract of every table, newest first.

    Tables without one are left out; so are all where the project has no instance of Dagster yet.
    """
    if not settings.dagster_home.is_dir():
        return {}
    import dagster as dg

    from dagster_project.engine.checks import CHECK
    from dagster_project.instance import open_instance

    found: dict[str, list[CheckRun]] = {}
    with open_instance(settings) as instance:
        for name in CONTRACTS:
            key = dg.AssetCheckKey(dg.AssetKey(name.split(".")), CHECK)
            records = instance.event_log_storage.get_asset_check_execution_history(key, limit=EACH)
            runs = [_run(record) for record in records]
            if kept := [run for run in runs if run is not None]:
                found[name] = kept
    return found


def _run(record: Any) -> CheckRun | None:
    """The evaluation that a record of Dagster holds; None for one that has only been planned."""
    event = record.event.dagster_event if record.event else None
    if event is None or event.event_type_value != "ASSET_CHECK_EVALUATION":
        return None
    evaluation = event.asset_check_evaluation_data
    outcome = "passed" if evaluation.passed else "warned" if evaluation.severity.value == "WARN" else "failed"
    # The record itself is as old as the plan of the run.
    at = datetime.datetime.fromtimestamp(record.event.timestamp, datetime.UTC)
    # The description is Markdown, whose escapes are not shown.
    words = re.sub(r"\\([^\w\s])", r"\1", evaluation.description or "")
    return CheckRun(at=at, check=evaluation.check_name, outcome=outcome, words=words)
