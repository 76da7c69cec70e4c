"""A blocking asset check for every contract: what is downstream of a broken table does not run.

A check remembers the Delta version that it saw. Before an asset is made, the last check of every table that it rests
on is looked up, and made again where it saw another version, so that rows changed behind Dagster's back are caught
too.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings, load_settings
from catalog.tables import CONTRACTS

if TYPE_CHECKING:
    from quality.expectations import Outcome

CHECK = "contract"
VERSION = "lake version"


def contract_check(contract: Contract) -> dg.AssetChecksDefinition:
    """The check that every expectation of `contract` holds."""

    @dg.asset_check(
        asset=contract.name.split("."),
        name=CHECK,
        blocking=True,
        description=f"All {len(contract.all_expectations())} expectations of the contract {contract.name} hold.",
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        return _result(load_settings(), contract)

    return check


def contract_checks() -> list[dg.AssetChecksDefinition]:
    """One check a contract."""
    return [contract_check(contract) for contract in CONTRACTS.values()]


def require_passing(instance: dg.DagsterInstance, settings: Settings, names: Iterable[str]) -> None:
    """Refuse to go on where one of the tables `names`, as it stands now, fails its contract.

    Raises:
        WatershedError: naming the table, the expectation and what was observed.
    """
    lake = Lake.of(settings)
    for name in names:
        version = lake.version(name)
        if version is None or _passed(instance, name, version):
            continue
        failed = [outcome for outcome in _outcomes(settings, name) if outcome.failed]
        if failed:
            raise WatershedError(
                f"{name} fails its contract: {failed[0].line()}",
                f"see `watershed check {name}`; mend its rows or materialise it again",
            )


def _passed(instance: dg.DagsterInstance, name: str, version: int) -> bool:
    """The last check of the table saw this very version, and passed or only warned."""
    key = dg.AssetCheckKey(dg.AssetKey(name.split(".")), CHECK)
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=1):
        event = record.event.dagster_event if record.event else None
        if event and event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation = event.asset_check_evaluation_data
            stands = evaluation.passed or evaluation.severity == dg.AssetCheckSeverity.WARN
            return stands and evaluation.metadata[VERSION].value == version
    return False


def _outcomes(settings: Settings, name: str) -> "list[Outcome]":
    from quality.gate import check

    return check(settings, [name])


def _result(settings: Settings, contract: Contract) -> dg.AssetCheckResult:
    version = Lake.of(settings).version(contract.name)
    outcomes = _outcomes(settings, contract.name)
    failed = [outcome for outcome in outcomes if outcome.failed]
    warned = [outcome for outcome in outcomes if outcome.warned]
    return dg.AssetCheckResult(
        passed=not (failed or warned),
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=(failed or warned)[0].line() if failed or warned else f"{len(outcomes)} expectations hold",
        metadata={
            VERSION: version,
            "failed": len(failed),
            "warned": len(warned),
            "expectations": dg.MetadataValue.md(_as_markdown(outcomes)),
        },
    )


def _as_markdown(outcomes: "list[Outcome]") -> str:
    rows = [
        f"| {_verdict(outcome)} | {outcome.label} | {outcome.observed} | {outcome.violations} |"
        for outcome in sorted(outcomes, key=lambda outcome: outcome.passed)
    ]
    return "\n".join(["| | expectation | observed | violations |", "|---|---|---|---|", *rows])


def _verdict(outcome: "Outcome") -> str:
    return "ok" if outcome.passed else "**FAILED**" if outcome.failed else "warned"
