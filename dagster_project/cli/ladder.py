"""`watershed ladder import|fit|outcomes|plan`: read published runs, forecast large models from small ones, see how
forecasts did, plan runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from catalog.tables.ladder import LAKE
from dagster_project.cli.plan import number
from dagster_project.cli.screen.errors import user_errors

if TYPE_CHECKING:
    from trainers.ladder.forecast import Forecast
    from trainers.ladder.propose import Proposal
    from trainers.ladder.runs import LadderRuns

FILE = click.Path(path_type=Path)


@click.group("ladder")
def ladder_command() -> None:
    """Forecast large models' task scores from small runs.

    \b
    watershed ladder fit --runs ladder --models ladder/models.json --out predictions.json
    watershed ladder import ladder --models ladder/models.json --name published
    watershed ladder fit --source published --out predictions.json             (from the lake)
    watershed ladder fit --targets 1M-1xC=1.4e6,2.8e7 --out predictions.json   (the lake's own runs)
    watershed ladder outcomes
    watershed ladder plan --target 7B-4T --budget 1%
    """


@ladder_command.command("import")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("--models", type=FILE, help="JSON with the runs' sizes and targets; models.json in DIR by default.")
@click.option("--name", help="Their `source` in the lake; the name of DIR by default.")
@click.option("--tasks", multiple=True, metavar="TASK", help="Tasks to read; by default all that every run has.")
@user_errors
def import_command(folder: Path, models: Path | None, name: str | None, tasks: tuple[str, ...]) -> None:
    """Read published runs into ladder.points and ladder.checkpoints, their targets into ladder.targets.

    DIR holds a CSV a run, a row a checkpoint. `watershed ladder fit --source NAME` then needs no files.
    """
    from catalog.settings import load_settings
    from dagster_project.families.ladder.published import import_ladder

    source = name or folder.absolute().name
    wanted = [task for said in tasks for task in said.split(",")]
    found = import_ladder(load_settings(), folder, models or folder / "models.json", source, wanted)
    click.echo(
        f"{source}: {found.runs} runs with {found.checkpoints:,} checkpoints, {found.targets} targets, "
        f"{len(found.tasks)} tasks ({', '.join(found.tasks)})"
    )
    if not found.written:
        click.echo("these very files were imported before: nothing to do")


@ladder_command.command("fit")
@click.option("--runs", type=FILE, help="Folder of the runs' CSV files; the lake's runs where not given.")
@click.option("--source", metavar="NAME", help="Runs of the lake that were imported as NAME; its own where not given.")
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
    source: str | None,
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
    if runs and source:
        raise WatershedError("--runs and --source both name runs", "give one of them")
    if runs is None:
        ladder = ladder_of(source or LAKE, tuple(names))
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


def ladder_of(source: str, tasks: tuple[str, ...]) -> LadderRuns:
    """The lake's own ladder, or one that was imported.

    Raises:
        WatershedError: the lake has no such ladder.
        TrainerError: a task that it has no points of.
    """
    from catalog.settings import load_settings
    from dagster_project.families.ladder.published import published_ladder
    from dagster_project.families.ladder.tables import lake_ladder

    settings = load_settings()
    return lake_ladder(settings, tasks) if source == LAKE else published_ladder(settings, source, tasks)


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
    click.echo(f"hold-outs: {len(forecast.errors)} forecasts; mean error in points, and what the 90% bands hold:")
    coverage = protocol["coverage"]
    for part, kind in (("by_split", "holdout_error_by_split"), ("by_task", "holdout_error")):
        for name, share in coverage[part].items():
            click.echo(f"  {name:<16}{100 * protocol[kind][name]:7.1f}{share:9.0%}")
    click.echo(f"  {'all':<16}{100 * mean_error(forecast):7.1f}{coverage['overall']:9.0%}")
    click.echo(f"averaged protocols: {len(forecast.protocols)}; the best on hold-outs: {protocol['best']}")


def mean_error(forecast: Forecast) -> float:
    """Mean absolute error of all forecasts on hold-outs, 0..1."""
    return sum(abs(error.error) for error in forecast.errors) / len(forecast.errors)


@ladder_command.command("outcomes")
@user_errors
def outcomes_command() -> None:
    """The lake's stored forecasts beside what their targets then measured, task by task."""
    from catalog.settings import load_settings
    from dagster_project.families.ladder.tables import stored_outcomes, summary

    rows = stored_outcomes(load_settings())
    for row in rows.to_pylist():
        said = f"{row['predicted']:7.1%}  {row['low']:6.1%} to {row['high']:6.1%}"
        verdict = "in band" if row["in_band"] else "outside"
        click.echo(
            f"{row['target']:<14}{row['task']:<16}{said}  measured {row['measured']:6.1%}"
            f"  error {100 * row['error']:+5.1f} points  {verdict}"
        )
    found = summary(rows)
    click.echo(f"mean error {100 * found['mean error']:.1f} points; {found['in band']:.0%} in band")


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
