"""The commits of the lake as OpenLineage events, for catalogues of other projects.

Source: the OpenLineage specification 2-0-2 (openlineage.io/spec). A commit that wrote rows is a run that is complete.
Its job has the name of the table, its inputs are the versions of the upstream tables that were the latest, and its
output is the version that it wrote, with the schema and the columns that each column was made from.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from catalog.contract import Contract
from catalog.files import write_whole
from catalog.lineage.links import place
from catalog.lineage.versions import Version, Versions
from catalog.tables import CONTRACTS

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
PRODUCER = "https://pypi.org/project/watershed"
NAMESPACE = "watershed"
_RUNS = uuid.UUID("5a6f2d3e-0f4b-5c1d-9b7a-6d1f2c3b4a59")
"""What ids of runs are made within: the same commit of the same table always has the same id."""
WRITING = ("WRITE", "MERGE", "DELETE", "UPDATE", "CREATE OR REPLACE TABLE AS SELECT", "STREAMING UPDATE")


def events(versions: Versions, root: str, tables: Iterable[str] = CONTRACTS) -> Iterator[dict[str, Any]]:
    """An event for every commit of the tables that wrote rows, in the order of time.

    Args:
        versions: the versions of the lake's tables.
        root: the root of the lake, as `Lake.root` has it.
        tables: the tables whose commits are written.
    """
    found = [each for name in tables for each in versions.of.get(name, ()) if each.operation in WRITING]
    for version in sorted(found, key=lambda each: (each.written_at, each.table, each.version)):
        yield _event(versions, root, version)


def write_events(versions: Versions, root: str, path: Path, tables: Iterable[str] = CONTRACTS) -> int:
    """Write the events to a file, one a line, as OpenLineage's file transport does; returns how many they are.

    Raises:
        WatershedError: the file cannot be written.
    """
    lines = [json.dumps(event, sort_keys=True) for event in events(versions, root, tables)]
    write_whole(path, "".join(f"{line}\n" for line in lines).encode())
    return len(lines)


def _event(versions: Versions, root: str, version: Version) -> dict[str, Any]:
    contract = CONTRACTS[version.table]
    inputs = [found for up in contract.upstream if (found := versions.before(up, version.written_at))]
    return {
        "eventType": "COMPLETE",
        "eventTime": version.written_at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": SPEC,
        "run": {"runId": str(uuid.uuid5(_RUNS, f"{root}\n{version.table}\n{version.version}"))},
        "job": {
            "namespace": NAMESPACE,
            "name": version.table,
            "facets": {
                "documentation": _facet("DocumentationJobFacet", "1-0-1", description=contract.description),
                "jobType": _facet(
                    "JobTypeJobFacet", "2-0-3", processingType="BATCH", integration="WATERSHED", jobType="TABLE"
                ),
            },
        },
        "inputs": [{**_dataset(root, each.table), "facets": _versioned(each)} for each in inputs],
        "outputs": [
            {
                **_dataset(root, version.table),
                "facets": {
                    **_versioned(version),
                    "schema": _facet("SchemaDatasetFacet", "1-1-1", fields=_fields(contract)),
                    "columnLineage": _facet("ColumnLineageDatasetFacet", "1-2-0", fields=_columns(contract, root)),
                    "storage": _facet("StorageDatasetFacet", "1-0-1", storageLayer="delta", fileFormat="parquet"),
                },
            }
        ],
    }


def _facet(name: str, version: str, **values: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/{version}/{name}.json", **values}


def _versioned(version: Version) -> dict[str, Any]:
    return {"version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=str(version.version))}


def _dataset(root: str, table: str) -> dict[str, str]:
    """Namespace and name by OpenLineage's rules for paths, so that Spark's own events name the same data set."""
    path = f"{root}/{table.replace('.', '/')}"
    if "://" not in root:
        return {"namespace": "file", "name": path}
    scheme, _, rest = path.partition("://")
    bucket, _, key = rest.partition("/")
    return {"namespace": f"{scheme}://{bucket}", "name": key}


def _fields(contract: Contract) -> list[dict[str, str]]:
    return [{"name": c.name, "type": str(c.type), "description": c.description} for c in contract.columns]


def _columns(contract: Contract, root: str) -> dict[str, Any]:
    return {
        column.name: {
            "inputFields": [
                {**_dataset(root, table), "field": field} for table, field in map(place, column.derived_from)
            ]
        }
        for column in contract.columns
        if column.derived_from
    }
