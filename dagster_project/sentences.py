"""Every text that Dagster shows, one a line: `python -m dagster_project.sentences`.

tests/dagster_project/sentences.txt holds the output, so that a person reads each new or changed sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from catalog.cards.card import because, statement
from catalog.tables import CONTRACTS
from dagster_project.definitions import defs
from dagster_project.engine.broken_rows import DUE_JOB
from dagster_project.engine.page import LABELS


def sentences() -> Iterator[str]:
    """Yield the descriptions of assets, columns, checks, jobs, sensors and schedules, and the labels of metadata.

    Each line begins with what it describes.
    """
    graph, repository = defs.resolve_asset_graph(), defs.get_repository_def()
    for contract in CONTRACTS.values():
        node = graph.get(dg.AssetKey(contract.name.split(".")))
        for paragraph in (node.description or "").split("\n\n"):
            yield f"asset {contract.name}: {' '.join(paragraph.split())}"
        for column in node.metadata["dagster/column_schema"].columns:
            yield f"column {contract.name}.{column.name}: {column.description}"
        for key in sorted(graph.get_check_keys_for_assets({node.key}), key=lambda key: key.name):
            yield f"check {contract.name}, {key.name}: {graph.get_check_spec(key).description}"
        for expectation in contract.expectations:
            why = f" ({because(expectation)})" if because(expectation) else ""
            yield f"expectation of {contract.name}: {statement(expectation)}{why}"
    for job in sorted(repository.get_all_jobs(), key=lambda job: job.name):
        if not job.name.startswith("__"):
            yield f"job {job.name}: {job.description}"
            for op in job.graph.node_defs if job.name == DUE_JOB else ():
                yield f"op {op.name}: {op.description}"
    for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name):
        yield f"sensor {sensor.name}: {sensor.description}"
    for schedule in sorted(repository.schedule_defs, key=lambda schedule: schedule.name):
        yield f"schedule {schedule.name}: {schedule.description}"
    for label in LABELS:
        yield f"label: {label}"


if __name__ == "__main__":
    for line in sentences():
        print(line)
