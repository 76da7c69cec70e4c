"""`watershed ladder fit|plan`: forecast large models from small runs, and plan which runs to train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from dagster_project.cli.errors import user_errors
from dagster_project.cli.plan_scale import number

if TYPE_CHECKING:
    from trainers.ladder.forecast import Forecast
    from trainers.ladder.propose import Proposal
    from trainers.ladder.runs import LadderRuns

FILE = click.Path(path_type=Path)
LAKE_SQL = """
SELECT p.*, t.chance FROM ladder.points p JOIN evals.tasks t USING (task) ORDER BY parameters, tokens, task
"""


@click.group("ladder")
def ladder_command() -> None:
    """Forecast large models' task scores from small runs.

    \b
    watershed ladder fit --runs ladder --models ladder/models.json --out predictions.json
    watershed ladder fit --targets 1M-1xC=1.4e6,2.8e7 --out predictions.json   (from the lake)
    watershed ladder plan --target 7B-4T --budget 1%
    """


@ladder_command.command("fit")
@click.option("--runs", type=FILE, help="Folder of the runs' CSV files; the lake's ladder.points where not given.")
@click.option("--models", type=FILE, help="JSON with the runs' sizes; models.json in --runs by default.")
@click.option("--targets", multiple=True, metavar="NAME=PARAMS,TOKENS", help="Targets; those of --models by default.")
@click.option("--tasks", multiple=True, metavar="TASK", help="Tasks to forecast; all by default.")
@click.option("--mode", type=click.Choice(("paper", "auto")), default="auto", show_default=True)
@click.option("--out", type=FILE, required=True, help="JSON file of the forecasts; pictures go beside it.")
@click.option("--plots/--no-plots", default=True, show_default=True)
@click.argument("more", nargs=-1, metavar="[MORE TARGETS OR TASKS]...")
@user_errors
def fit_command(  # noqa: PLR0917 (click hands them over by name)
    runs: Path | None,
    models: Path | None,
    targets: tuple[str, ...],
    tasks: tuple[str, ...],
    mode: str,
    out: Path,
    plots: bool,
    more: tuple[str, ...],
) -> None:
    """Fit both steps of the scaling law and forecast targets, with 90% bands.

    `paper` is the published protocol (arXiv 2412.04403). `auto` chooses runs, intermediate loss, averaging and form
    by hold-outs inside the ladder. A measurement of a target is never asked for.
    """
    from trainers.ladder.forecast import fit_ladder, parse_target
    from trainers.ladder.runs import read_ladder
    from trainers.ladder.tasks import TASKS, chosen

    names = [name for said in (*tasks, *(word for word in more if "=" not in word)) for name in said.split(",")]
    wanted = (*targets, *(word for word in more if "=" in word))
    if runs is None:
        ladder = lake_ladder(tuple(names))
    else:
        ladder = read_ladder(runs, models or runs / "models.json", chosen(names, TASKS))
    aims = [parse_target(said, ladder.targets) for said in wanted] or list(ladder.targets.values())
    forecast = fit_ladder(ladder, aims, "paper" if mode == "paper" else "auto")
    _write(out, json.dumps(forecast.as_dict(), indent=1) + "\n")
    pictures = []
    if plots and forecast.fits:
        from trainers.ladder.pictures import plot_forecast

        pictures = plot_forecast(ladder, aims, forecast, out)
    _print_forecast(forecast)
    for path in (out, *pictures):
        click.echo(f"wrote {path}")


def lake_ladder(tasks: tuple[str, ...]) -> LadderRuns:
    """The ladder that the lake measured: every run as one checkpoint.

    Raises:
        WatershedError: no lake, or no points in it.
        TrainerError: a task that the lake has no points of.
    """
    import numpy as np

    from catalog.settings import load_settings
    from catalog.sql import connect
    from trainers.ladder.runs import LadderRuns, Run
    from trainers.ladder.tasks import BITS_PER_BYTE, chosen

    rows = connect(load_settings()).execute(LAKE_SQL).to_arrow_table().to_pylist()
    if not rows:
        raise WatershedError("ladder.points has no rows", "run `watershed demo`, or name CSV files with --runs")
    names = chosen(tasks, dict.fromkeys(row["task"] for row in rows))
    runs = []
    for run in dict.fromkeys(row["run"] for row in rows):
        mine = {row["task"]: row for row in rows if row["run"] == run}
        if missing := [name for name in names if name not in mine]:
            raise WatershedError(f"ladder.points: run {run} has no {missing[0]}", "make evals.results again")
        one = mine[names[0]]
        runs.append(
            Run(
                name=run,
                size=run.rsplit("-", 1)[0],
                parameters=float(one["parameters"]),
                tokens=float(one["tokens"]),
                flops_per_token=one["flops"] / one["tokens"],
                accuracy={name: np.array([mine[name]["accuracy"]]) for name in names},
                intermediates={BITS_PER_BYTE: {name: np.array([mine[name]["task_loss"]]) for name in names}},
            )
        )
    first = {row["task"]: row for row in rows}
    return LadderRuns(
        runs=tuple(runs),
        chance={name: first[name]["chance"] for name in names},
        targets={},
        questions={name: first[name]["examples"] for name in names},
    )


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _print_forecast(forecast: Forecast) -> None:
    for name, tasks in forecast.targets.items():
        click.echo(f"{name}, mode {forecast.mode}")
        for task, said in tasks.items():
            verdict = "" if said.predictable else f"  unpredictable: {said.reason}"
            click.echo(f"  {task:<16}{said.accuracy:7.1%}  {said.low:6.1%} to {said.high:6.1%}{verdict}")
    protocol = forecast.as_dict()["protocol"]
    if protocol["note"]:
        click.echo(protocol["note"])
        return
    click.echo(f"hold-outs: {len(forecast.errors)} forecasts, mean error by task in points:")
    click.echo("  " + ", ".join(f"{task} {100 * error:.1f}" for task, error in protocol["holdout_error"].items()))
    parts = ", ".join(f"{name} {share:.0%}" for name, share in forecast.coverage.items())
    click.echo(f"90% bands calibrated without a split hold, of it: {parts}")
    click.echo(f"averaged protocols: {len(forecast.protocols)}; the best: {protocol['best']}")


@ladder_command.command("plan")
@click.option("--target", required=True, metavar="NAME", help="7B-4T, 7B-5xC, 7B-1x, or NAME=PARAMS,TOKENS.")
@click.option("--budget", required=True, metavar="SHARE", help="Such as 1% of the target's FLOPs, or 2e21.")
@click.option("--gpu", default="h100", show_default=True)
@click.option("--gpus", type=int, default=8, show_default=True)
@click.option("--price", type=float, default=2.5, show_default=True, help="Of a GPU-hour.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@user_errors
def plan_command(  # noqa: PLR0917 (click hands them over by name)
    target: str, budget: str, gpu: str, gpus: int, price: float, as_json: bool
) -> None:
    """Propose the small runs that forecast a target best within a budget."""
    from dataclasses import asdict

    from trainers.ladder.propose import propose, target_workload

    aim = target_workload(target)
    found = propose(aim, budget_flops(budget, aim.flops), gpu=gpu, gpus=gpus, price=price)
    if as_json:
        click.echo(json.dumps({"target": target, "target_flops": aim.flops} | asdict(found)))
    else:
        _print_proposal(target, aim.flops, found)


def budget_flops(said: str, whole: float) -> float:
    """1% of `whole`, or FLOPs as said."""
    share = said.strip().endswith("%")
    value = number(said.strip().removesuffix("%"), "--budget")
    flops = value / 100 * whole if share else value
    if not flops > 0:
        raise WatershedError(f"--budget {said} is nothing", "write 1% of the target's FLOPs, or FLOPs such as 2e21")
    return flops


def _print_proposal(target: str, flops: float, found: Proposal) -> None:
    click.echo(f"{target}: {flops:.3g} FLOPs")
    for run in found.runs:
        click.echo(f"  {run.name:<12}{run.flops:>10.3g} FLOPs {run.gpu_hours:>9,.1f} GPU-hours {run.cost:>9,.0f}")
    hours, cost = (sum(getattr(run, name) for run in found.runs) for name in ("gpu_hours", "cost"))
    click.echo(f"  {'all':<12}{found.flops:>10.3g} FLOPs {hours:>9,.1f} GPU-hours {cost:>9,.0f}  ({found.share:.2%})")
    click.echo(f"the target takes {found.reach:,.0f} times the FLOPs of the largest run")
    click.echo(f"expected width of a predictable task's 90% band: {100 * found.width:.0f} points")
