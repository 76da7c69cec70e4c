"""Dagster's GraphQL interface, as its web pages use it."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

PATIENCE_S = 600
LOCATION = {"repositoryLocationName": "dagster_project.definitions", "repositoryName": "__repository__"}


def ask(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """Send a query, and return its data."""
    request = urllib.request.Request(
        f"{address}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        found = json.load(answer)
    assert not found.get("errors"), found["errors"]
    return found["data"]


def launch(address: str, job: str, table: str, partition: str | None = None) -> str:
    """Launch a run that materialises one table, and return its id."""
    tags = [{"key": "dagster/partition", "value": partition}] if partition else []
    selector = {**LOCATION, "jobName": job, "assetSelection": [{"path": table.split(".")}], "assetCheckSelection": []}
    launched = ask(
        address,
        "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        p={"selector": selector, "runConfigData": {}, "mode": "default", "executionMetadata": {"tags": tags}},
    )["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def terminate(address: str, run: str) -> str:
    """Terminate a run as the button does, and return the kind of the answer."""
    query = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on TerminateRunFailure { message } } }"
    return ask(address, query, id=run)["terminateRun"]["__typename"]


def status(address: str, run: str) -> str:
    """Return the status of a run."""
    found = ask(address, "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", id=run)
    return found["runOrError"]["status"]


def messages(address: str, run: str) -> list[str]:
    """Return the messages of all events of a run, with the errors that they carry."""
    query = """query($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
        ... on MessageEvent { message }
        ... on ErrorEvent { error { message stack causes { message } } } } } } }"""
    events = ask(address, query, id=run)["logsForRun"]["events"]
    return [f"{event.get('message') or ''} {json.dumps(event.get('error') or '')}" for event in events]


def wait_until(fact: Callable[[], bool], what: str, evidence: Callable[[], object] = lambda: "") -> None:
    """Wait until `fact` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not fact():
        assert time.monotonic() < deadline, f"{what}: {evidence()}"
        time.sleep(0.2)
