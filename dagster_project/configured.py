"""What the settings add to the assets: owners, tags, freshness policies, and links to the code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg

from catalog.errors import WatershedError
from catalog.settings import Settings
from catalog.tables import CONTRACTS


def configured(assets: Iterable[Any], settings: Settings) -> list[Any]:
    """Return `assets` with what `[dagster.owners]`, `[dagster.tags]` and `[automation] freshness` say of them.

    Raises:
        WatershedError: An owner or a tag is not one that Dagster accepts.
    """
    return list(dg.map_asset_specs(lambda spec: _configured(spec, settings), assets))


def owner_of(role: str, settings: Settings) -> str:
    """Return the owner of the tables of a role: the configured one, or the team of that name."""
    return settings.dagster.owners.get(role, f"team:{role}")


def _configured(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    contract = CONTRACTS[".".join(spec.key.path)]
    try:
        changed = spec.replace_attributes(owners=[owner_of(contract.owner, settings)]).merge_attributes(
            tags=settings.dagster.tags
        )
        if settings.automation.freshness and contract.freshness:
            policy = dg.FreshnessPolicy.time_window(fail_window=contract.freshness)
            changed = changed.replace_attributes(freshness_policy=policy)
    except (dg.DagsterInvalidDefinitionError, dg.DagsterInvariantViolationError) as error:
        raise WatershedError(
            f"[dagster] owners or tags: {error}", "an owner is an address of electronic mail or team:NAME"
        ) from error
    return changed
