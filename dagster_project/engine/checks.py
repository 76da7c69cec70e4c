"""Asset checks of every table: that its rows fulfil the contract, and that it is up to date.

The check of the contract blocks, so that nothing downstream of a broken table runs. It records the Delta version of the
table that it read. Before an asset runs, the last check of every table upstream of it is looked up. A table whose
version has changed since its last check is checked again, and the result is recorded at that table. This also catches
rows that were changed outside Dagster. A partition whose rows break the contract is due.

`up_to_date` warns if a partition is due, and says why; `dagster_project.engine.due` keeps it current.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import dagster as dg

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.inventory import lacking_partitions
from catalog.lake import Lake
from catalog.settings import Settings, load_settings
from catalog.tables import CONTRACTS
from dagster_project.engine.broken_rows import broken_rows, mend, places
from dagster_project.engine.due import UP_TO_DATE, up_to_date
from dagster_project.engine.markdown import markdown, plain
from dagster_project.engine.partitions import Partition
from dagster_project.engine.steps import REGISTERED, State, Steps

if TYPE_CHECKING:
    from quality.outcome import Outcome

CHECK = "contract"
VERSION = "lake version"


def table_checks(contract: Contract, *, made: bool) -> dg.AssetChecksDefinition:
    """Return the asset checks of a table: `contract`, and `up_to_date` if it is `made` by an asset."""
    key = dg.AssetKey(contract.name.split("."))
    count = len(contract.all_expectations())
    specs = [
        dg.AssetCheckSpec(
            CHECK,
            asset=key,
            blocking=True,
            description=f"This check says whether the rows of {contract.name} fulfil the {count} expectations of "
            "its contract. Nothing downstream is made while they do not.",
        )
    ]
    if made:
        specs.append(
            dg.AssetCheckSpec(
                UP_TO_DATE,
                asset=key,
                description=f"This check says whether {contract.name} is what its recipe and the tables that it reads "
                "give now. A warning names the partitions that are due, and why.",
            )
        )

    @dg.multi_asset_check(name=f"{contract.family}__{contract.table}__checks", specs=specs, can_subset=True)
    def check(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        settings = load_settings()
        selected = {each.name for each in context.op_execution_context.selected_asset_check_keys}
        if CHECK in selected:
            yield _result(_evaluation(settings, contract))
        if UP_TO_DATE in selected:
            yield _result(up_to_date(State(Steps(REGISTERED), settings), contract))

    return check


def contract_checks() -> list[dg.AssetChecksDefinition]:
    """Return the checks of each contract of the catalog."""
    made = Steps(REGISTERED).by_table
    return [table_checks(contract, made=contract.name in made) for contract in CONTRACTS.values()]


def require_passing(instance: dg.DagsterInstance, settings: Settings, names: Iterable[str]) -> None:
    """Check that the current version of each of the tables `names` fulfils its contract.

    Tables that do not exist yet are skipped. A table is checked again only if its version has changed since its last
    check. The result is recorded at that table.

    Raises:
        WatershedError: A table fails its contract. The error names the table, the expectation, the observed value, the
            partitions, and what to click.
    """
    for name in names:
        evaluation = checked(instance, settings, name)
        if evaluation is not None and not _stands(evaluation):
            raise WatershedError(
                f"{name} fails its contract: {plain(evaluation.description or '')}",
                mend(CONTRACTS[name], _named(evaluation)),
            )


def checked(instance: dg.DagsterInstance, settings: Settings, name: str) -> dg.AssetCheckEvaluation | None:
    """Return the check of the current version of a table: the last one, or a new one, which is recorded.

    The result is None for a table that does not exist.
    """
    version = Lake.of(settings).version(name)
    if version is None:
        return None
    last = _last(instance, name)
    if last is not None and VERSION in last.metadata and last.metadata[VERSION].value == version:
        return last
    evaluation = _evaluation(settings, CONTRACTS[name])
    instance.report_runless_asset_event(evaluation)
    return evaluation


def _stands(evaluation: dg.AssetCheckEvaluation) -> bool:
    return evaluation.passed or evaluation.severity == dg.AssetCheckSeverity.WARN


def _last(instance: dg.DagsterInstance, name: str) -> dg.AssetCheckEvaluation | None:
    """The last check of the contract of a table that was evaluated; None if none was or it has not ended."""
    key = dg.AssetCheckKey(dg.AssetKey(name.split(".")), CHECK)
    for record in instance.event_log_storage.get_asset_check_execution_history(key, limit=1):
        event = record.event.dagster_event if record.event else None
        if event and event.event_type_value == "ASSET_CHECK_EVALUATION":
            return event.asset_check_evaluation_data
    return None


def _result(evaluation: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=evaluation.asset_key,
        check_name=evaluation.check_name,
        passed=evaluation.passed,
        severity=evaluation.severity,
        description=evaluation.description,
        metadata=evaluation.metadata,
    )


def _outcomes(settings: Settings, name: str) -> "list[Outcome]":
    """The outcomes of a table, without comparing its rows with those of partitions that are to be made again.

    An archive that has moved is, until all of a backfill is done, in the old and in the new partition.
    """
    from quality.gate import check, remember

    # Partitions are made one after another, so that a table lacks some until the last is made.
    outcomes = check(settings, [name], partial=True)
    if any(outcome.failed and outcome.partitions for outcome in outcomes) and (outdated := _outdated(settings, name)):
        outcomes = check(settings, [name], partial=True, outdated={name: outdated})
    # A lake that this process can only read is checked as well.
    with suppress(OSError, WatershedError):
        remember(Lake.of(settings), outcomes)
    return outcomes


def _outdated(settings: Settings, name: str) -> list[Partition]:
    """The partitions of a table whose rows are those of other archives, recipes or settings than the current ones."""
    state = State(Steps(REGISTERED), settings)
    step = state.steps.by_table.get(name)
    if step is None or step.cut is None:
        return []
    with suppress(WatershedError):
        return [
            partition
            for key in state.keys(step)
            if state.recorded(name, key) is not None
            and (partition := state.partition(step, key)) is not None
            and state.outdated(name, key)
        ]
    return []


def _evaluation(settings: Settings, contract: Contract) -> dg.AssetCheckEvaluation:
    lake = Lake.of(settings)
    version = None if lake.damage(contract.name) else lake.version(contract.name)
    outcomes = _outcomes(settings, contract.name)
    failed = [outcome for outcome in outcomes if outcome.failed]
    warned = [outcome for outcome in outcomes if outcome.warned]
    found = failed or warned
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(contract.name.split(".")),
        check_name=CHECK,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if failed else dg.AssetCheckSeverity.WARN,
        # Dagster reads it as Markdown, and example rows quote the crawl.
        description=markdown(_sentence(contract, found)) if found else f"All {len(outcomes)} expectations hold.",
        metadata={
            VERSION: version,
            **_partitions(settings, contract),
            "failed": len(failed),
            "warned": len(warned),
            **_fault(contract, found, bool(failed)),
            "expectations": dg.MetadataValue.md(_as_markdown(outcomes)),
        },
    )


def _sentence(contract: Contract, found: "list[Outcome]") -> str:
    first, more = found[0], f" ({len(found) - 1} more expectations do not hold.)" if len(found) > 1 else ""
    where = places(contract, found[:1])
    return f"{f'{where}: ' if where else ''}expected {first.statement}; observed {first.observed}.{more}"


def _fault(contract: Contract, found: "list[Outcome]", failed: bool) -> dict[str, Any]:
    if not found:
        return {}
    where = places(contract, found)
    shown: dict[str, Any] = {"where": where} if where else {}
    if failed and contract.name in Steps(REGISTERED).by_table:
        shown["what to do"] = dg.MetadataValue.md(mend(contract, where, links=True))
    return {**shown, "example rows": dg.MetadataValue.md(broken_rows(contract, found))}


def _named(evaluation: dg.AssetCheckEvaluation) -> str:
    return str(evaluation.metadata["where"].value) if "where" in evaluation.metadata else ""


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
