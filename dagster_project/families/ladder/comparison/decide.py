"""`watershed compare`: which of two mixtures is better at a target, decided by small runs and, if asked, checked there.

The decision is stored in ladder.comparisons before any target is trained. What decides is the mean of the tasks' bits
per byte; accuracy is reported beside it, but at small scale it hardly leaves chance and decides worse (DataDecide,
arXiv 2504.11393).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import WHOLE, Lake
from catalog.settings import Settings
from catalog.tables.ladder import COMPARISON_RUNS, COMPARISONS
from dagster_project.families.dclm.recipes import JUDGES, RULES, SEQUENCE_LENGTH, mixture_recipe, shard_recipe
from dagster_project.families.ladder.comparison.runs import Measured, planned, train_all
from dagster_project.families.models.runs import ladder, target_runs
from spark_jobs.dclm.compared_mixtures import Curation, Dataset, Mixture, parse_mixture, write_datasets

if TYPE_CHECKING:
    from trainers.ladder.decide import Array, Prediction, Share

CODE_VERSION = "1"
"""Raised when the same runs would give another decision."""
MEAN = "mean"
"""The tasks' mean, among the tasks."""
DECIDES = "bits_per_byte"
LEAST_DIFFERENCES = 3

PAST_SQL = """
SELECT count(*) FILTER (decided_right) AS held, count(*) AS checked FROM (
    FROM ladder.comparisons
    WHERE task = 'mean' AND measure = $measure AND comparison <> $but AND decided_right IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY least(first, second), greatest(first, second), target ORDER BY stored_at DESC) = 1
)
"""
"""The last checked decision on every pair of mixtures and target."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is compared, and on what."""

    first: Mixture
    second: Mixture
    runs: tuple[str, ...]
    """Small runs, by FLOPs."""
    target: str
    seeds: int
    tasks: tuple[str, ...]

    @property
    def mixtures(self) -> tuple[Mixture, Mixture]:
        return self.first, self.second


@dataclass(frozen=True, kw_only=True)
class Decided:
    """One task's differences by one measure, and what they say of the target."""

    task: str
    measure: str
    flops: tuple[float, ...]
    differences_RS: Array
    """Of the small runs, positive where the first is better."""
    scale: float
    """What the measure's prior is a share of."""
    prediction: Prediction
    measured_S: Array | None = None
    """Of the targets, where they were trained."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that came of it."""

    id: str
    plan: Plan
    datasets: tuple[Dataset, ...]
    runs: tuple[Measured, ...]
    """The targets among them, where they were trained."""
    decided: tuple[Decided, ...]
    target_flops: float
    target_tokens: int

    def of(self, task: str, measure: str = DECIDES) -> Decided:
        """What was decided of a task by a measure."""
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
    """The comparison that is asked for, with what is not said taken from the settings' ladder.

    Args:
        settings: whose lake and ladder.
        names: the mixtures.
        target: size-multiplexC; the ladder's target by default.
        sizes: of the small runs, such as 70k for the target's multiple or 70k-0.2xC; the ladder's sizes by default.
        seeds: of every run.
        tasks: of evals.tasks; all by default.

    Raises:
        WatershedError: something that is asked for does not exist, or too little is to decide by.
        TrainerError: a size is none.
    """
    from trainers.pretraining.presets import parse, plan, run_name

    first, second = (parse_mixture(name, curation()) for name in names)
    if first.literals == second.literals:
        raise WatershedError(f"{first.name} and {second.name} are the same mixture", "name two that differ")
    target = target or target_runs(settings)[0]
    multiple = parse(target)[1]
    sizes = sizes or ladder(settings).sizes
    runs = sorted((run if run.endswith("xC") else run_name(run, multiple) for run in sizes), key=_flops)
    if not runs or _flops(runs[-1]) >= plan(target)["flops"]:
        raise WatershedError(f"the small run {runs[-1]} is no smaller than the target {target}", "give smaller --sizes")
    if seeds < 1 or len(set(runs)) * seeds < LEAST_DIFFERENCES:
        raise WatershedError(
            f"{len(set(runs))} sizes and {seeds} seeds tell no noise from a difference", "give more --seeds or --sizes"
        )
    known = Lake.of(settings).read("evals.tasks", ["task"])["task"].to_pylist()
    if unknown := [task for task in tasks if task not in known]:
        raise WatershedError(f"no task {unknown[0]!r} in evals.tasks", f"choose among {', '.join(sorted(known))}")
    return Plan(
        first=first,
        second=second,
        runs=tuple(dict.fromkeys(runs)),
        target=target,
        seeds=seeds,
        tasks=tuple(sorted(tasks or known)),
    )


def _flops(run: str) -> float:
    from trainers.pretraining.presets import plan

    return plan(run)["flops"]


def compare(settings: Settings, plan: Plan, *, check: bool, say: Callable[[str], None]) -> Comparison:
    """Train both mixtures small, decide and store the decision; with `check`, train the targets and hold it to them.

    Args:
        settings: whose lake.
        plan: what is compared.
        check: whether the targets are trained.
        say: is told of every run that ends.

    Raises:
        WatershedError: the lake lacks what is needed, a run failed, or a mixture has too few documents.
    """
    from trainers.pretraining.presets import plan as reckoned

    lake = Lake.of(settings)
    target = reckoned(plan.target, _vocabulary(lake), SEQUENCE_LENGTH)
    datasets = tuple(write_datasets(settings, curation(), plan.mixtures, target["tokens"]))
    questions = lake.written("evals.examples")[WHOLE].fingerprint
    small = planned(lake, datasets, plan.runs, plan.seeds)
    large = planned(lake, datasets, (plan.target,), plan.seeds)
    folders = sorted(run.folder.relative_to(lake.files).as_posix() for run in (*small, *large))
    comparison = Comparison(
        id=fingerprint(CODE_VERSION, [dataset.fingerprint for dataset in datasets], folders, questions, plan.tasks),
        plan=plan,
        datasets=datasets,
        runs=(runs := tuple(train_all(settings, small, say))),
        decided=decide(plan, runs, target["flops"]),
        target_flops=target["flops"],
        target_tokens=target["tokens"],
    )
    store(lake, comparison)
    if check:
        say(f"the decision is stored; now {plan.target} on both")
        comparison = checked(comparison, tuple(train_all(settings, large, say)))
        store(lake, comparison)
    return comparison


def _vocabulary(lake: Lake) -> int:
    from spark_jobs.dclm.tokenizer import stored_tokenizer

    return stored_tokenizer(lake)[1]["vocab_size"]


def decide(plan: Plan, runs: Sequence[Measured], target_flops: float) -> tuple[Decided, ...]:
    """Every task and their mean by every measure.

    Args:
        plan: what is compared.
        runs: of both mixtures, all small runs and seeds.
        target_flops: of the target.
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
    """The same decisions with the targets' measurements beside them."""
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
    """What `mixture` reached on a task or, for MEAN, on the mean of all: a row a run by FLOPs, an entry a seed."""
    tasks = plan.tasks if task == MEAN else (task,)
    mine = {(each.run.name, each.run.seed): each for each in runs if each.run.dataset.mixture == mixture}
    names = [name for name in (*plan.runs, plan.target) if (name, 0) in mine]
    return [
        [sum(mine[name, seed].tasks[t][measure] for t in tasks) / len(tasks) for seed in range(plan.seeds)]
        for name in names
    ]


def store(lake: Lake, comparison: Comparison) -> None:
    """Replace this comparison's rows of ladder.comparison_runs and ladder.comparisons.

    A decision keeps the time at which it was first stored, and a measurement that was made before stays.
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
    now, plan, said = datetime.now(UTC), comparison.plan, each.prediction
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
        "predicted": said.difference,
        "low": said.low,
        "high": said.high,
        "probability": said.probability,
        "decision": better(plan, each).name,
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


def better(plan: Plan, each: Decided) -> Mixture:
    """The mixture that is decided for."""
    return plan.first if each.prediction.probability >= 0.5 else plan.second


def decided_right(each: Decided) -> bool | None:
    """Whether the measured difference has the sign that was decided for; None where it was not measured."""
    if each.measured_S is None:
        return None
    return bool((each.measured_S.mean() > 0) == (each.prediction.probability >= 0.5))


def standard_error(values_S: Array) -> float | None:
    """Of their mean; None for a single one."""
    return float(values_S.std(ddof=1) / len(values_S) ** 0.5) if len(values_S) > 1 else None


def past(settings: Settings, *, but: str = "", measure: str = DECIDES) -> Share:
    """How many checked decisions of ladder.comparisons held, but for the comparison `but`."""
    from catalog.sql.query import connect
    from trainers.ladder.decide import share_right

    if not Lake.of(settings).exists(COMPARISONS.name):
        return share_right(0, 0)
    ((held, of),) = connect(settings).execute(PAST_SQL, {"measure": measure, "but": but}).fetchall()
    return share_right(held, of)
