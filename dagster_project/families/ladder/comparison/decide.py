"""The decision of `watershed compare`: which of two mixtures is better at a target scale, according to small runs.

The decision is stored in ladder.comparisons before any target is trained. Optionally the targets are then trained to
check it. The mean bits per byte of the tasks decides. Accuracy is reported too, but small models hardly exceed chance,
and decide less reliably by accuracy (DataDecide, arXiv 2504.11393).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake, partition_key
from catalog.names import close, find
from catalog.settings import Settings
from catalog.storage.records import measured_files
from catalog.tables.ladder import COMPARISON_RUNS, COMPARISONS
from dagster_project.families.dclm.recipes import JUDGES, RULES, SEQUENCE_LENGTH, mixture_recipe, shard_recipe
from dagster_project.families.ladder.comparison.runs import Asked, Measured, lake_questions, planned, train_all
from dagster_project.families.models.runs import ladder, target_runs
from spark_jobs.dclm.compared_mixtures import Curation, Dataset, Mixture, parse_mixture, write_datasets

if TYPE_CHECKING:
    from trainers.ladder.decide import Array, Prediction, Share

CODE_VERSION = "2"
"""Changed by hand when the code changes such that the same runs give another decision."""
MEAN = "mean"
"""The name of the mean of all tasks, which is treated as one more task."""
DECIDES = "bits_per_byte"
LEAST_DIFFERENCES = 3

PAST_SQL = """
SELECT count(*) FILTER (decided_right) AS held, count(*) AS checked FROM (
    FROM ladder.comparisons
    WHERE task = 'mean' AND measure = $measure AND comparison <> $except AND decided_right IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY least(first, second), greatest(first, second), target ORDER BY stored_at DESC) = 1
)
"""
"""Counts the last checked decision on every pair of mixtures and target, and how many of these held."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The mixtures, runs, seeds and tasks of a comparison."""

    first: Mixture
    second: Mixture
    runs: tuple[str, ...]
    """The small runs, by FLOPs."""
    target: str
    seeds: int
    tasks: tuple[str, ...]
    asked: str = "evals.examples, made of held-out documents of the lake's own mixture"
    """Where the questions come from, in words."""

    @property
    def mixtures(self) -> tuple[Mixture, Mixture]:
        """The two mixtures that are compared."""
        return self.first, self.second


@dataclass(frozen=True, kw_only=True)
class Decided:
    """The differences of one task by one measure, and the prediction for the target."""

    task: str
    measure: str
    flops: tuple[float, ...]
    differences_RS: Array
    """The differences by small run and seed. They are positive if the first mixture is better."""
    scale: float
    """The level of the measure, which scales its prior."""
    prediction: Prediction
    measured_S: Array | None = None
    """The measured differences at the target by seed, if targets were trained."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The results of a comparison."""

    id: str
    plan: Plan
    datasets: tuple[Dataset, ...]
    runs: tuple[Measured, ...]
    """The small runs, and the targets if they were trained."""
    decided: tuple[Decided, ...]
    target_flops: float
    target_tokens: int

    def of(self, task: str, measure: str = DECIDES) -> Decided:
        """Return the decision on a task by a measure."""
        return next(each for each in self.decided if (each.task, each.measure) == (task, measure))


def curation() -> Curation:
    """The recipes of the dclm assets, which decide what a mixture can take."""
    return Curation(rules=RULES, judges=JUDGES, mixture=mixture_recipe(), shards=shard_recipe())


def make_plan(
    settings: Settings,
    names: tuple[str, str],
    *,
    target: str = "",
    sizes: Sequence[str] = (),
    seeds: int = 3,
    tasks: Sequence[str] = (),
) -> Plan:
    """Return the plan of a comparison. Defaults come from the ladder of the settings.

    Args:
        settings: The settings of the project.
        names: The two mixtures, as `spark_jobs.dclm.compared_mixtures.parse_mixture` reads them.
        target: The target, as size-multiplexC. The default is the first target of the ladder.
        sizes: The small runs: a size such as 70k, with the multiple of the target, or a run such as 70k-0.2xC. The
            default is the sizes of the ladder.
        seeds: The number of seeds of every run.
        tasks: Tasks of evals.tasks. The default is all tasks.

    Raises:
        WatershedError: A mixture or task does not exist, the mixtures are equal, a small run is not smaller than the
            target, or there are too few runs to decide.
        TrainerError: No model has one of the sizes.
    """
    first, second = (parse_mixture(name, curation()) for name in names)
    if first.literals == second.literals:
        raise WatershedError(f"{first.name} and {second.name} are the same mixture", "name two that differ")
    runs, target = scales(settings, target, sizes, seeds)
    known = Lake.of(settings).read("evals.tasks", ["task"])["task"].to_pylist()
    if unknown := [task for task in tasks if find(task, known) is None]:
        raise WatershedError(
            f"no task {unknown[0]!r} in evals.tasks{close(unknown[0], known)}",
            f"choose among {', '.join(sorted(known))}",
        )
    tasks = [found for task in tasks if (found := find(task, known))]
    return Plan(
        first=first,
        second=second,
        runs=runs,
        target=target,
        seeds=seeds,
        tasks=tuple(sorted(tasks or known)),
    )


def scales(settings: Settings, target: str, sizes: Sequence[str], seeds: int) -> tuple[tuple[str, ...], str]:
    """Return the small runs by FLOPs, and the target; see `make_plan`.

    Raises:
        WatershedError: A small run is not smaller than the target, or there are too few runs to decide.
        TrainerError: No model has one of the sizes.
    """
    from trainers.pretraining.presets import canonical, parse, plan, run_name

    target = canonical(target) if target else target_runs(settings)[0]
    multiple = parse(target)[1]
    sizes = sizes or ladder(settings).sizes
    named = (run if run.lower().endswith("xc") else run_name(run, multiple) for run in sizes)
    runs = sorted((canonical(run) for run in named), key=_flops)
    if not runs or _flops(runs[-1]) >= plan(target)["flops"]:
        raise WatershedError(f"small run {runs[-1]} is not smaller than the target {target}", "give smaller --sizes")
    if seeds < 1 or len(set(runs)) * seeds < LEAST_DIFFERENCES:
        raise WatershedError(
            f"{len(set(runs))} sizes with {seeds} seeds are too few to separate a difference from noise",
            "give more --seeds or --sizes",
        )
    return tuple(dict.fromkeys(runs)), target


def _flops(run: str) -> float:
    from trainers.pretraining.presets import plan

    return plan(run)["flops"]


def compare(settings: Settings, plan: Plan, *, check: bool, log: Callable[[str], None]) -> Comparison:
    """Train small models on both mixtures, decide which mixture is better, and store the decision.

    Args:
        settings: The settings of the project.
        plan: The plan of the comparison.
        check: Whether to train the targets too, and to store whether the decision held.
        log: Receives a line of text for every run that ends.

    Raises:
        WatershedError: The lake lacks a table, a run failed, or a mixture has too few documents.
    """
    from trainers.pretraining.presets import plan as plan_run

    lake = Lake.of(settings)
    target = plan_run(plan.target, _vocabulary(lake), SEQUENCE_LENGTH)
    datasets = tuple(write_datasets(settings, curation(), plan.mixtures, target["tokens"]))
    return compare_on(settings, plan, datasets, lake_questions(settings), check=check, log=log)


def compare_on(
    settings: Settings,
    plan: Plan,
    datasets: tuple[Dataset, ...],
    asked: Asked,
    *,
    check: bool,
    log: Callable[[str], None],
) -> Comparison:
    """Train on two data sets, decide and store the decision; as `compare`, for any shards and questions."""
    from trainers.pretraining.presets import plan as plan_run

    lake = Lake.of(settings)
    target = plan_run(plan.target, datasets[0].vocab_size, SEQUENCE_LENGTH)
    small = planned(lake, datasets, plan.runs, plan.seeds)
    large = planned(lake, datasets, (plan.target,), plan.seeds)
    folders = sorted(run.folder.relative_to(lake.files).as_posix() for run in (*small, *large))
    runs = tuple(train_all(settings, small, asked, log))
    comparison = Comparison(
        id=fingerprint(
            CODE_VERSION, [dataset.fingerprint for dataset in datasets], folders, asked.identity, plan.tasks
        ),
        plan=plan,
        datasets=datasets,
        runs=runs,
        decided=decide(plan, runs, target["flops"]),
        target_flops=target["flops"],
        target_tokens=target["tokens"],
    )
    store(lake, comparison)
    if check:
        log(f"the decision is stored; now both mixtures are trained at {plan.target}")
        comparison = checked(comparison, tuple(train_all(settings, large, asked, log)))
        store(lake, comparison)
    return comparison


def _vocabulary(lake: Lake) -> int:
    from spark_jobs.dclm.tokenizer import stored_tokenizer

    return stored_tokenizer(lake)[1]["vocab_size"]


def decide(plan: Plan, runs: Sequence[Measured], target_flops: float) -> tuple[Decided, ...]:
    """Return the decision on every task and on their mean, by every measure.

    Args:
        plan: The plan of the comparison.
        runs: The measured small runs of both mixtures and all seeds.
        target_flops: The training FLOPs of the target.
    """
    from trainers.ladder.decide import MEASURES, level_of, paired_differences, predict_difference

    found = []
    flops = tuple(next(each.result["flops"] for each in runs if each.run.name == name) for name in plan.runs)
    for task in (*plan.tasks, MEAN):
        for measure in MEASURES:
            first, second = (scores(plan, runs, mixture, task=task, measure=measure.name) for mixture in plan.mixtures)
            differences, scale = paired_differences(first, second, measure), level_of(first, second, measure)
            found.append(
                Decided(
                    task=task,
                    measure=measure.name,
                    flops=flops,
                    differences_RS=differences,
                    scale=scale,
                    prediction=predict_difference(
                        flops, differences, target_flops, measure, scale=scale, seeds=plan.seeds
                    ),
                )
            )
    return tuple(found)


def checked(comparison: Comparison, targets: tuple[Measured, ...]) -> Comparison:
    """Return the comparison with the measurements of the targets added to its decisions."""
    from trainers.ladder.decide import MEASURES, paired_differences

    plan = comparison.plan
    measures = {measure.name: measure for measure in MEASURES}
    decided = []
    for each in comparison.decided:
        first, second = (
            scores(plan, targets, mixture, task=each.task, measure=each.measure) for mixture in plan.mixtures
        )
        (measured_S,) = paired_differences(first, second, measures[each.measure])
        decided.append(replace(each, measured_S=measured_S))
    return replace(comparison, decided=tuple(decided), runs=(*comparison.runs, *targets))


def scores(plan: Plan, runs: Sequence[Measured], mixture: Mixture, *, task: str, measure: str) -> list[list[float]]:
    """Return the scores of `mixture` on a task, or on the mean of all tasks for MEAN, by run and seed."""
    tasks = plan.tasks if task == MEAN else (task,)
    mine = {(each.run.name, each.run.seed): each for each in runs if each.run.dataset.mixture == mixture}
    names = [name for name in (*plan.runs, plan.target) if (name, 0) in mine]
    return [
        [sum(mine[name, seed].tasks[t][measure] for t in tasks) / len(tasks) for seed in range(plan.seeds)]
        for name in names
    ]


def store(lake: Lake, comparison: Comparison) -> None:
    """Replace this comparison's rows of ladder.comparison_runs and ladder.comparisons.

    A decision keeps the time at which it was first stored. Earlier measurements of the targets are kept.
    """
    partition = {"comparison": comparison.id}
    before = {}
    if lake.exists(COMPARISONS.name):
        rows = lake.table(COMPARISONS.name).to_pyarrow_table(filters=[("comparison", "=", comparison.id)])
        before = {(row["task"], row["measure"]): row for row in rows.to_pylist()}
    if any(row["measured"] is not None for row in before.values()) and comparison.decided[0].measured_S is None:
        return
    runs = pa.Table.from_pylist(_run_rows(comparison), schema=COMPARISON_RUNS.schema)
    lake.replace(COMPARISON_RUNS, runs, comparison.id, partition)
    files = measured_files(lake.files, [each.run.folder for each in comparison.runs if each.run.folder.exists()])
    lake.record_files(COMPARISON_RUNS.name, partition_key(partition), files)
    decisions = [_decision_row(comparison, each, before) for each in comparison.decided]
    lake.replace(COMPARISONS, pa.Table.from_pylist(decisions, schema=COMPARISONS.schema), comparison.id, partition)


def _run_rows(comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "comparison": comparison.id,
            "mixture": each.run.dataset.mixture.name,
            "dataset": each.run.dataset.fingerprint,
            "run": each.run.name,
            "seed": each.run.seed,
            "task": task,
            "is_target": each.run.name == comparison.plan.target,
            "flops": float(each.result["flops"]),
            "bits_per_byte": each.tasks[task]["bits_per_byte"],
            "accuracy": each.tasks[task]["accuracy"],
            "examples": each.tasks[task]["n"],
            "sha256": each.result["checkpoint_sha256"],
            **{name: each.result[name] for name in ("parameters", "tokens", "heldout_bits_per_byte", "seconds")},
        }
        for each in comparison.runs
        for task in comparison.plan.tasks
    ]


def _decision_row(
    comparison: Comparison, each: Decided, before: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    now, plan, predicted = datetime.now(UTC), comparison.plan, each.prediction
    stored = before.get((each.task, each.measure), {})
    row = {
        "comparison": comparison.id,
        "first": plan.first.name,
        "second": plan.second.name,
        "task": each.task,
        "measure": each.measure,
        "target": plan.target,
        "runs": list(plan.runs),
        "seeds": plan.seeds,
        "predicted": predicted.difference,
        "low": predicted.low,
        "high": predicted.high,
        "probability": predicted.probability,
        "decision": decision(plan, each),
        "stored_at": stored.get("stored_at") or now,
    }
    if each.measured_S is None:
        return row
    outcome = {
        "measured": float(each.measured_S.mean()),
        "measured_error": standard_error(each.measured_S),
        "decided_right": decided_right(each),
    }
    return row | outcome | {"checked_at": stored.get("checked_at") or now}


def better(plan: Plan, each: Decided) -> Mixture | None:
    """Return the mixture that the decision names as better, or None if the runs cannot tell."""
    return {"better": plan.first, "worse": plan.second, "cannot tell": None}[each.prediction.answer]


def decision(plan: Plan, each: Decided) -> str:
    """Return the name of the better mixture, or `cannot tell`."""
    found = better(plan, each)
    return found.name if found else each.prediction.answer


def decided_right(each: Decided) -> bool | None:
    """Return whether the measured difference has the predicted sign; None without a target or without a decision."""
    if each.measured_S is None or each.prediction.answer == "cannot tell":
        return None
    return bool((each.measured_S.mean() > 0) == (each.prediction.probability >= 0.5))


def standard_error(values_S: Array) -> float | None:
    """Return the standard error of the mean of the values, or None for a single value."""
    return float(values_S.std(ddof=1) / len(values_S) ** 0.5) if len(values_S) > 1 else None


def share_right_before(settings: Settings, *, except_comparison: str = "", measure: str = DECIDES) -> Share:
    """Return the share of checked decisions in ladder.comparisons that held.

    Args:
        settings: The settings of the project.
        except_comparison: The id of a comparison that is not counted.
        measure: The measure of the decisions.
    """
    from catalog.sql.query import connect
    from trainers.ladder.decide import share_right

    if not Lake.of(settings).exists(COMPARISONS.name):
        return share_right(0, 0)
    parameters = {"measure": measure, "except": except_comparison}
    ((held, of),) = connect(settings).execute(PAST_SQL, parameters).fetchall()
    return share_right(held, of)
