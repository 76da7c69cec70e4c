"""Partitions are made together where they are small, and one that fails takes no other with it."""

from __future__ import annotations

from typing import Any, cast

import dagster as dg
import pytest

from catalog.errors import WatershedError
from catalog.lake import Part
from catalog.settings import Settings
from catalog.tables.dclm import DOCUMENTS
from dagster_project.engine import table_asset
from dagster_project.engine.steps import Step
from dagster_project.engine.table_asset import GROUP_BYTES, GROUP_PARTITIONS, Making, grouped
from dagster_project.families.dclm.partitions import POOL_SHARDS

KEYS = [f"{g}-{local}" for g in range(10) for local in range(10)]
PARTS = [Part(POOL_SHARDS.columns(key), f"made {key}") for key in KEYS]
STEP = Step(contracts=(DOCUMENTS,), code_version="1", cut=POOL_SHARDS)


def test_small_partitions_are_made_together_so_many_at_most() -> None:
    groups = grouped(PARTS, dict.fromkeys((part.key for part in PARTS), 1))
    assert [part for group in groups for part in group] == PARTS
    assert [len(group) for group in groups] == [GROUP_PARTITIONS] * (len(PARTS) // GROUP_PARTITIONS) + [4]


def test_a_group_holds_no_more_bytes_than_are_lost_lightly_and_a_large_partition_is_alone() -> None:
    third = GROUP_BYTES // 3
    sizes = [third, third, third, third, 5 * GROUP_BYTES, third, third]
    groups = grouped(PARTS[:7], {part.key: size for part, size in zip(PARTS, sizes, strict=False)})
    assert [len(group) for group in groups] == [3, 1, 1, 2]


@pytest.mark.parametrize("broken", [(), ("0-3",), ("0-0", "1-9", "3-1")])
def test_the_failing_partitions_of_a_group_are_found_and_the_others_are_made(
    broken: tuple[str, ...], settings: Settings
) -> None:
    made: list[Part] = []
    attempts: list[int] = []

    def body(making: Making) -> list[dict[str, Any]]:
        attempts.append(len(making.parts))
        bad = [part for part in making.parts if STEP.cut and STEP.cut.key(part.partition or {}) in broken]
        if bad:
            raise WatershedError(f"{bad[0].key} is broken", "mend it")
        made.extend(making.parts)
        return [{"documents": PARTS.index(part)} for part in making.parts]

    group = PARTS[:GROUP_PARTITIONS]
    making = Making(cast(dg.AssetExecutionContext, None), STEP, settings, group)
    results = [result for some in table_asset._make_all([making], STEP, body, workers=1) for result in some]
    failed = [(part, result) for part, result in results if isinstance(result, Exception)]
    good = [(part, result) for part, result in results if not isinstance(result, Exception)]
    assert {part.key for part, _ in failed} == {PARTS[KEYS.index(key)].key for key in broken}
    for part, error in failed:
        assert str(error).startswith(part.key)
    assert [part for part, _ in good] == made == [part for part in group if part not in [bad for bad, _ in failed]]
    for part, metadata in good:
        assert (metadata["documents"], metadata["fingerprint"]) == (PARTS.index(part), part.fingerprint)
    assert len(attempts) <= 1 + 2 * 5 * len(broken), "halves, not one by one: 32 is two to the fifth"
