"""Asset checks: one blocking check for every contract, so that nothing downstream of a broken table runs.

Each check records the Delta version of the table that it read. Before an asset runs, the last check of every table
upstream of it is looked up. A table whose version has changed since its last check is checked again. This also catches
rows that were changed outside Dagster.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.inventory import lacking_partitions
from catalog.lake import Lake
from catalog.settings import Settings, load_settings
from catalog.tables import CONTRACTS
from dagster_project.engine.page import markdown

if TYPE_CHECKING:
    from quality.expectations import Outcome

CHECK = "contract"
VERSION = "lake version"


def contract_check(contract: Contract) -> dg.AssetChecksDefinition:
    """Return the asset check that every expectation of `contract` holds."""

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
    """Return one check for each contract of the catalog."""
    return [contract_check(contract) for contract in CONTRACTS.values()]


def require_passing(instance: dg.DagsterInstance, settings: Settings, names: Iterable[str]) -> None:
    """Check that the current version of each of the tables `names` fulfils its contract.

    Tables that do not exist yet are skipped. A table is checked again only if its version has changed since its last
    check.

    Raises:
        WatershedError: A table fails its contract. The error names the table, the expectation and the observed value.
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
                f"see `watershed check {name}`; correct its rows or materialise it again",
            )


def _passed(instance: dg.DagsterInstance, name: str, version: int) -> bool:
    """Whether the last check of the table read this version, and passed or only warned."""
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

    # Partitions are made one after another, so that a table lacks some until the last is made.
    return check(settings, [name], partial=True)


def _result(settings: Settings, contract: Contract) -> dg.AssetCheckResult:
    lake = Lake.of(settings)
    version = None if lake.damage(contract.name) else lake.version(contract.name)
    outcomes = _outcomes(settings, contract.name)
    failed = [outcome for outcome in outcomes if outcome.failed]
    warned = [outcome for outcome in outcomes if outcome.warned]
    return dg.AssetCheckResult(
        passed=not (failed or warned),
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        description=_described(failed or warned, len(outcomes)),
        metadata={
            VERSION: version,
            **_partitions(settings, contract),
            "failed": len(failed),
            "warned": len(warned),
            "expectations": dg.MetadataValue.md(_as_markdown(outcomes)),
        },
    )


def _described(broken: "list[Outcome]", expectations: int) -> str:
    """Return a sentence for the page of the check. Dagster reads it as Markdown, and example rows quote the crawl."""
    return markdown(broken[0].line()) if broken else f"All {expectations} expectations hold."


def _partitions(settings: Settings, contract: Contract) -> dict[str, str]:
    expected, lacking = lacking_partitions(Lake.of(settings), contract.name)
    return {"partitions": f"{len(expected) - len(lacking):,} of {len(expected):,} partitions"} if expected else {}


def _as_markdown(outcomes: "list[Outcome]") -> str:
    rows = [
        f"| {_verdict(outcome)} | {markdown(outcome.label)} | {markdown(outcome.observed)} | {outcome.violations} |"
        for outcome in sorted(outcomes, key=lambda outcome: outcome.passed)
    ]
    return "\n".join(["| | expectation | observed | violations |", "|---|---|---|---|", *rows])


def _verdict(outcome: "Outcome") -> str:
    return "ok" if outcome.passed else "**FAILED**" if outcome.failed else "warned"
