"""What is reported to Dagster of a partition that was made: its own rows, its fingerprint, and what it was made from.

Dagster itself would report every partition of a run's range, made or not, each with the same version. Here exactly
what was made is reported, as soon as it is committed, and the data version of a partition is its fingerprint. A table
that is made again with the same fingerprint therefore makes nothing downstream stale.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
from collections.abc import Iterator, Mapping
from typing import Any, cast

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.storage.tags import EXTERNALLY_MANAGED_ASSETS_TAG

from catalog.contract import Contract
from catalog.inventory import TableState, table_state
from catalog.lake import Lake, Part
from dagster_project.engine.lineage import column_lineage
from dagster_project.engine.page import state_metadata
from dagster_project.engine.steps import Step

Inputs = Mapping[str, str]
"""The tags that say from which versions of the tables upstream something was made."""


def report_by_hand(context: dg.AssetExecutionContext) -> None:
    """Leave it to this module to report what the step that is running has made."""
    # The run in memory is that of this step alone; its stored tags do not change.
    cast(dict[str, str], context.run.tags)[EXTERNALLY_MANAGED_ASSETS_TAG] = "true"


def inputs_of(instance: dg.DagsterInstance, names: tuple[str, ...]) -> Inputs:
    """Return the tags of the latest reported versions of the tables `names`."""
    tags: dict[str, str] = {}
    for name in names:
        key = dg.AssetKey(name.split("."))
        record = next(iter(instance.fetch_materializations(key, limit=1).records), None)
        version = extract_data_version_from_entry(record.event_log_entry) if record else None
        tags[get_input_data_version_tag(key)] = (version or DEFAULT_DATA_VERSION).value
        tags[get_input_event_pointer_tag(key)] = str(record.storage_id) if record else NULL_EVENT_POINTER
    return tags


def materializations(
    context: dg.AssetExecutionContext,
    step: Step,
    lake: Lake,
    made: "list[tuple[Part, dict[str, Any]]]",
    inputs: Inputs,
) -> Iterator[dg.AssetMaterialization]:
    """Report the parts `made` of every table of the step, those that another of its tables reads first."""
    own = {contract.name for contract in step.contracts}
    for contract in sorted(step.contracts, key=lambda contract: bool(own & set(contract.upstream))):
        siblings = tuple(name for name in contract.upstream if name in own)
        wanted = {get_input_data_version_tag(dg.AssetKey(name.split("."))) for name in contract.upstream}
        wanted |= {get_input_event_pointer_tag(dg.AssetKey(name.split("."))) for name in contract.upstream}
        state = table_state(lake, contract)
        above = {tag: value for tag, value in inputs.items() if tag in wanted}
        known = {**above, **inputs_of(context.instance, siblings)}
        shown = state_metadata(lake, contract, state) if made else {}
        for part, metadata in made:
            yield dg.AssetMaterialization(
                contract.name.split("."),
                partition=_key(step, part),
                metadata={**metadata, **shown, **_of_part(contract, state, part)},
                tags={
                    **known,
                    CODE_VERSION_TAG: step.code_version,
                    DATA_VERSION_TAG: part.fingerprint,
                    DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
                },
            )


def _key(step: Step, part: Part) -> str | None:
    return step.cut.key(part.partition) if step.cut and part.partition is not None else None


def _of_part(contract: Contract, state: TableState, part: Part) -> dict[str, Any]:
    of_part: dict[str, Any] = {}
    if part.partition is not None:
        of_part = {"rows of the whole table": state.rows}
    return {
        "dagster/row_count": state.partition_rows.get(part.key, 0) if part.partition is not None else state.rows,
        **of_part,
        "dagster/column_lineage": column_lineage(contract),
    }
