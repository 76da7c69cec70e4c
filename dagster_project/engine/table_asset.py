"""The decorator `table_asset`: it turns a contract and a function into a Dagster asset.

The function computes the rows. Everything else comes from the contract: key, description, column schema, lineage,
owner and group. Around the function, every asset does the same four things. It stops if an upstream table fails its
contract. It skips partitions that are up to date, if the run asks for it. It measures time and memory. It reports
what was written.
"""

# Annotations stay evaluated here: Dagster refuses a `context` that is annotated by a string.
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from inspect import getdoc
from typing import Any, NoReturn

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.storage.tags import PARENT_RUN_ID_TAG

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake, Part, partition_key
from catalog.progress import heard, listening, track
from catalog.reads import recording_reads
from catalog.settings import Settings, load_settings
from dagster_project.engine.checks import require_passing
from dagster_project.engine.cost import measured
from dagster_project.engine.events import inputs_of, materializations, report_by_hand
from dagster_project.engine.log_progress import LogLines
from dagster_project.engine.making import Body, Making
from dagster_project.engine.page import human, static_metadata
from dagster_project.engine.partitions import Cut, Partition
from dagster_project.engine.side_by_side import as_they_end, parallel_runs
from dagster_project.engine.steps import REGISTERED, Needs, Recipe, State, Step, Steps
from dagster_project.processes import PROCESS_TAG
from spark_jobs.spark.failures import JavaEnded, mendable
from trainers.process.errors import TrainerError

SKIP_FRESH_TAG = "watershed/skip_fresh"
"""The tag of runs that skip partitions that are up to date."""

FORCE_TAG = "watershed/force"
"""The tag with the tables that such a run makes again even if they are up to date, separated by commas."""

TABLES_READ = "tables read"
"""The metadata of the tables whose rows the body read, apart from its own."""

GROUP_PARTITIONS = 32
GROUP_BYTES = 64_000_000
"""Limits of a group of partitions that are made together.

A commit costs Spark one to three seconds of planning, however little it holds. Work of more than a minute does not need
to share a commit, and would be lost with a killed process."""

ENGINES = {"spark": "spark", "torch": "pytorch", "python": "python"}


def table_asset(
    *contracts: Contract,
    code_version: str,
    recipe: Recipe = lambda settings, partition: None,
    identity: Callable[[Any], Any] = lambda recipe: recipe,
    cut: Cut | None = None,
    keys: Callable[[Settings], Iterable[str]] | None = None,
    changes: Callable[[Settings, Partition | None], str] | None = None,
    needs: Needs | None = None,
    parallel: bool = False,
    together: Callable[[Lake], Mapping[str, int]] | None = None,
    engine: str = "python",
    cheap: bool = False,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Declare that the decorated function writes the tables `contracts`. `Step` describes the other arguments.

    The function receives a `Making`, whose `recipe` is the value that `recipe` returns. It returns counts, which become
    metadata of the materialisation. Partitions of a `parallel` step run in `[trainer] parallel_runs` threads.

    A step with `together` makes its partitions in groups, within GROUP_BYTES and GROUP_PARTITIONS, and writes a group
    in one commit; `together` returns the bytes that are read, by partition key. Its function returns a list with the
    counts of each partition. If a group fails, its halves are tried apart, so that only partitions that fail alone are
    not made.

    A `cheap` step takes seconds. `[automation] cheap_tables` makes it again as soon as a table that it reads changes.

    Example:
        >>> from catalog.tables.dclm import TOKENIZER
        >>> @table_asset(TOKENIZER, code_version="1", recipe=lambda settings, partition: TokenizerRecipe())
        ... def tokenizer(making: Making) -> dict[str, Any]:
        ...     return write_tokenizer(making.spark, making.lake, making.recipe, making.fingerprint)
    """
    step = Step(
        contracts=contracts,
        code_version=code_version,
        recipe=recipe,
        identity=identity,
        cut=cut,
        keys=keys,
        changes=changes,
        needs=needs,
        engine=engine,
    )
    REGISTERED.append(step)

    def decorate(body: Body) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=body.__name__,
            specs=[
                _spec(contract, step, engine, _sentence(getdoc(body) or ""), body, cheap=cheap)
                for contract in contracts
            ],
            partitions_def=cut.definition if cut else None,
            backfill_policy=dg.BackfillPolicy.single_run() if cut else None,
            op_tags={"watershed/engine": engine},
        )
        def asset(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
            yield from _materialize(context, step, body, parallel, together)

        return asset

    return decorate


def command_spec(contract: Contract, command: str) -> dg.AssetSpec:
    """Return the asset of a table that `command` writes: Dagster shows and checks it, but never makes it."""
    written = Step(contracts=(contract,), code_version="1")
    return _spec(contract, written, "python", f"The command `{command}` writes this table.")


def _spec(
    contract: Contract, step: Step, engine: str, doc: str, body: Body | None = None, *, cheap: bool = False
) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=contract.name.split("."),
        deps=[name.split(".") for name in contract.upstream],
        description=f"{contract.description}\n\n{doc}".strip(),
        group_name=contract.family,
        automation_condition=dg.AutomationCondition.eager() if cheap else None,
        code_version=step.code_version,
        kinds={"deltalake", ENGINES[engine]},
        partitions_def=step.cut.definition if step.cut else None,
        metadata=static_metadata(contract, body, load_settings().dagster.code_url),
    )


def _sentence(doc: str) -> str:
    """Return the docstring of a body, whose subject is the step: "This step trains ..."."""
    return f"This step {doc[:1].lower()}{doc[1:]}" if doc else ""


def _materialize(
    context: dg.AssetExecutionContext,
    step: Step,
    body: Body,
    parallel: bool,
    together: Callable[[Lake], Mapping[str, int]] | None,
) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    made: list[Made] = []
    try:
        yield from _made(context, Work(step, body, parallel, together), made)
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        # A command of the command line ends by itself. A run that another run executes is cancelled with it.
        if PROCESS_TAG in context.run.tags and PARENT_RUN_ID_TAG not in context.run.tags:
            raise
        # A stack trace of the place where the work was interrupted would say nothing.
        raise _cancelled(step, len(made)) from None


@dataclass(frozen=True)
class Work:
    """What an asset does: see `table_asset`."""

    step: Step
    body: Body
    parallel: bool
    together: Callable[[Lake], Mapping[str, int]] | None


def _made(
    context: dg.AssetExecutionContext, work: Work, made: "list[Made]"
) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    """Make what is due, and add to `made` what was committed."""
    step, together, settings = work.step, work.together, load_settings()
    lake = Lake.of(settings)
    # Before the lake and the crawl are read, which may take long.
    asked = f"{_count(len(context.partition_keys))} asked for" if step.cut else "the whole table"
    context.log.info("%s: %s; checking the tables that it reads", step.name, asked)
    report_by_hand(context)
    try:
        require_passing(context.instance, settings, Steps(REGISTERED).ancestors(step))
        due = _due(context, settings, step)
        _plan(settings, step)
        groups = grouped(due, together(lake)) if together and due else [[part] for part in due]
    except (WatershedError, TrainerError) as error:
        raise _failure(error) from error
    inputs, failed = inputs_of(context.instance, step.upstream), list[Failed]()
    with nullcontext() if heard() else listening(LogLines(context.log)):
        makings = [Making(context, step, settings, group) for group in groups]
        for results in _make_all(makings, step, work.body, parallel_runs(settings) if work.parallel else 1):
            failed += [(part, result) for part, result in results if isinstance(result, Exception)]
            good = [(part, result) for part, result in results if not isinstance(result, Exception)]
            made += good
            yield from materializations(context, step, lake, good, inputs)
    if failed:
        _refuse(context, step, made, failed)
    for contract in step.contracts:
        yield dg.MaterializeResult(asset_key=dg.AssetKey(contract.name.split(".")))


def _key(step: Step, part: Part) -> str:
    assert step.cut and part.partition is not None
    return step.cut.key(part.partition)


def _failure(error: WatershedError | TrainerError, others: int = 0) -> dg.Failure:
    # Cause and mend are enough for the user. A stack trace would hide them.
    also = f" ({others} more partitions failed)" if others else ""
    return dg.Failure(f"{error.cause}{also}\n{error.mend}", allow_retries=False)


def _cancelled(step: Step, committed: int) -> dg.Failure:
    kept = f"{_count(committed)} of {step.name} had been committed and {'is' if committed == 1 else 'are'} kept"
    kept = kept if committed and step.cut else f"{step.name} is as it was before"
    return dg.Failure(f"The run was cancelled. {kept}.\nRe-execute the run to make the rest.", allow_retries=False)


def _count(partitions: int) -> str:
    return f"{partitions:,} {'partition' if partitions == 1 else 'partitions'}"


def _refuse(context: dg.AssetExecutionContext, step: Step, made: "list[Made]", failed: "list[Failed]") -> NoReturn:
    """Fail the run, and name the partitions that failed."""
    first = failed[0][1]
    if step.cut:
        keys = ", ".join(_key(step, part) for part, _ in failed)
        context.log.error(f"{step.name}: {len(failed)} of {len(failed) + len(made)} partitions failed: {keys}")
    if isinstance(first, (WatershedError, TrainerError)):
        raise _failure(first, len(failed) - 1) from first
    raise first


def _due(context: dg.AssetExecutionContext, settings: Settings, step: Step) -> list[Part]:
    """Return what this run has to make: all selected partitions, or those that are due if the run skips fresh ones."""
    state = State(Steps(REGISTERED), settings)
    if context.run.tags.get(SKIP_FRESH_TAG) == "true":
        forced = set(context.run.tags.get(FORCE_TAG, "").split(","))
        again = any(contract.name in forced for contract in step.contracts)
        partitions = state.all(step) if again else state.due(step)
    else:
        partitions = [_existing(state, step, key) for key in context.partition_keys] if step.cut else [None]
    return [Part(part, _fingerprint(state, step, part)) for part in partitions]


def _existing(state: State, step: Step, key: str) -> Partition:
    """Return the partition columns of a key, if there is such a partition."""
    assert step.cut
    if (partition := step.cut.columns(key)) not in state.all(step):
        raise WatershedError(
            f"{step.name} has no partition {key}: nothing that it would hold exists",
            "choose another partition; the list follows what exists, also the archives of `[crawl] inputs`",
        )
    return partition


def _plan(settings: Settings, step: Step) -> None:
    """Record which partitions the tables of the step are to have, so that a table which lacks some is seen."""
    if step.cut:
        lake, keys = Lake.of(settings), [partition_key(partition) for partition in step.partitions(settings)]
        for contract in step.contracts:
            lake.plan_partitions(contract.name, keys)


def grouped(parts: Sequence[Part], weights: Mapping[str, int]) -> list[list[Part]]:
    """Neighbours to be made together, within GROUP_PARTITIONS and GROUP_BYTES; a part that weighs more is alone."""
    groups: list[list[Part]] = []
    held = 0
    for part in parts:
        weight = weights.get(part.key, 0)
        if not groups or len(groups[-1]) == GROUP_PARTITIONS or held + weight > GROUP_BYTES:
            groups.append([])
            held = 0
        groups[-1].append(part)
        held += weight
    return groups


Made = tuple[Part, dict[str, Any]]
Failed = tuple[Part, Exception]
Result = tuple[Part, dict[str, Any] | Exception]


def _make_all(makings: list[Making], step: Step, body: Body, workers: int) -> "Iterator[list[Result]]":
    """Run the body for each item of `makings` in `workers` threads, and return the results of each as it ends.

    A failure does not stop the others.
    """
    total = sum(len(making.parts) for making in makings)
    own = {contract.name for contract in step.contracts}
    with track(step.name, total, "partitions" if step.cut else "") as task:

        def make(making: Making) -> list[Result]:
            parts = making.parts
            try:
                with measured() as cost, recording_reads() as read:
                    counts = body(making)
                _record_files(making)
            except Exception as error:
                failure = mendable(error, step.name)
                if len(parts) == 1 or isinstance(failure, JavaEnded):
                    return [(part, failure) for part in parts]
                # Halves, and theirs: a few that fail among many cost a few attempts each.
                middle = len(parts) // 2
                return [each for half in (parts[:middle], parts[middle:]) for each in make(replace(making, parts=half))]
            task.advance(len(parts))
            shared = {
                **making.metadata,
                # What the parts of a group took adds up to what the group took.
                "seconds": round(cost.seconds / len(parts), 2),
                "peak memory (MB)": round(cost.peak_bytes / 1e6, 1),
                TABLES_READ: dg.MetadataValue.json(sorted(read - own)),
            }
            each = counts if isinstance(counts, list) else [counts]
            return [
                (
                    part,
                    {
                        **{name: human(name, value) for name, value in counted.items()},
                        **shared,
                        "fingerprint": part.fingerprint,
                    },
                )
                for part, counted in zip(parts, each, strict=True)
            ]

        # The longest runs start first, so that the last one to start is the shortest.
        ordered = makings if workers == 1 else makings[::-1]
        yield from as_they_end(make, ordered, workers)


def _record_files(making: Making) -> None:
    """Store the sizes and digests of the files that the body wrote with the commit that marks its completion."""
    if making.files:
        for part in making.parts:
            making.lake.record_files(making.step.name, part.key, making.files)


def _fingerprint(state: State, step: Step, partition: Partition | None) -> str:
    fingerprint = state.steps.made_from(step, state.settings, partition, state.recorded)
    if fingerprint is None:
        missing = [name for name in step.upstream if not state.lake.exists(name)] or list(step.upstream)
        raise WatershedError(
            f"{step.name} reads {', '.join(missing)}, which does not exist yet or lacks partitions",
            f"materialise {', '.join(missing)} first, or run `watershed demo`",
        )
    return fingerprint
