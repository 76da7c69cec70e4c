"""The commands `watershed tulu`: mixtures, comparisons of models, and what post-training runs left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say

FOLDER = click.Path(path_type=Path)


@click.group("tulu")
def tulu_command() -> None:
    """List and export mixtures, compare models, and record post-training runs.

    \b
    Examples:
      watershed tulu mixtures
      watershed tulu export tulu-3-sft --out sft
      watershed tulu compare tulu-8b-dpo --baseline tulu-8b-sft
    """


@tulu_command.command("mixtures")
@click.argument("name", required=False)
@user_errors()
def mixtures_command(name: str | None) -> None:
    """List the mixtures, or the sources of one with count, licence and revision.

    \b
    Examples:
      watershed tulu mixtures
      watershed tulu mixtures tulu-3-sft
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.render import console, print_rows
    from spark_jobs.tulu.sources import load_mixture, mixture_names

    own = load_settings().project / "mixtures"
    if name is None:
        found = [load_mixture(each, own) for each in mixture_names(own)]
        rows = [(each.name, each.kind, each.total, len(each.sources), each.reference) for each in found]
        print_rows(console(), ("mixture", "kind", "rows", "sources", "reference"), rows)
        return
    mixture = load_mixture(name, own)
    wanted = mixture.wanted()
    rows = [
        (each.name, wanted[each.name], each.repository or each.table, each.revision, each.licence)
        for each in mixture.sources
    ]
    print_rows(console(), ("source", "rows", "data set", "revision", "licence"), rows)
    say(f"{len(mixture.sources)} sources, {sum(wanted.values()):,} rows")


@tulu_command.command("export")
@click.argument("mixture")
@click.option("--out", required=True, type=FOLDER, help="The folder that is written; it must not exist.")
@user_errors()
def export_command(mixture: str, out: Path) -> None:
    """Write a mixture as JSON-lines files that the trainers read, with a manifest of sources and digests.

    The same mixture gives the same bytes. Each line has the id, the source, the licence and the revision of its row.

    \b
    Examples:
      watershed tulu export tulu-3-sft --out sft
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.tulu.exporting import export

    settings = load_settings()
    lake = Lake.of(settings)
    if not lake.exists("tulu.mixture"):
        raise WatershedError("tulu.mixture does not exist", "make it: `watershed make tulu.mixture`")
    manifest = export(settings, lake, mixture, out)
    say(f"{out}: {manifest['rows']:,} rows in {len(manifest['files'])} files")


@tulu_command.command("record")
@click.argument("folder", type=FOLDER)
@click.option("--run", "name", default="", help="The name of the run in the tables; by default that of the folder.")
@click.option(
    "--data", "files", multiple=True, type=FOLDER, help="A file that the run trained on; repeated, in the run's order."
)
@click.option("--before", default="", help="The recorded run that this one began from; its replies are shown beside.")
@user_errors(RUN_AGAIN)
def record_command(folder: Path, name: str, files: tuple[Path, ...], before: str) -> None:
    """Store what a post-training run left: losses of rows, rollouts, curves and held-out replies.

    FOLDER is the run's folder, as `trainers.sft`, `dpo`, `reward` or `rlvr` wrote it. A rollout whose tokens are not
    those that were sampled is refused. A second record of a run replaces the first. Dagster's page of the run shows its
    curves and sample replies.

    \b
    Examples:
      watershed tulu record runs/sft --data sft/part-00000.jsonl
      watershed tulu record runs/rlvr --run grpo-1 --data prompts.jsonl --before sft
    """
    from catalog.settings import load_settings
    from dagster_project.families.tulu.runs import record
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    settings = load_settings()
    counts = record(settings, folder, run=name, data=files, before=before)
    make_by_command(settings, TABLES["tulu_training"])
    run = name or folder.absolute().name
    for table, rows in counts.items():
        if rows:
            say(f"{table}: {rows:,} rows of {run}")


@tulu_command.command("recompute")
@click.argument("run")
@click.argument("step", type=click.IntRange(1))
@click.option("--model", default="", help="The weights that the run began with; the first update needs them.")
@click.option("--value", default="", help="The reward model that PPO's value model began with, for the first update.")
@user_errors(RUN_AGAIN)
def recompute_command(run: str, step: int, model: str, value: str) -> None:
    """Compute an update of a run from verified rewards again, from tulu.rollouts and the checkpoint before it.

    Prints the loss and the norm of the gradient, and those that the run recorded. A rollout whose tokens are not those
    that were sampled is refused.

    \b
    Examples:
      watershed tulu recompute grpo-1 17
      watershed tulu recompute grpo-1 1 --model runs/dpo
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.tulu.recomputing import recompute

    settings = load_settings()
    found = recompute(settings, Lake.of(settings), run, step, model=model, value=value)
    say(f"update {found.step} of {run}: {found.rollouts} rollouts, weights before it {found.weights[:12]}")
    for name, now, then in (
        ("loss", found.loss, found.recorded_loss),
        ("gradient norm", found.grad_norm, found.recorded_grad_norm),
    ):
        recorded = "the run recorded none" if then is None else f"recorded {then:.9f}, difference {abs(now - then):.1e}"
        say(f"{name} {now:.9f} ({recorded})")


@tulu_command.command("draw")
@click.argument("answers", type=FOLDER)
@click.option("--data", required=True, type=FOLDER, help="The prompts that were answered.")
@click.option(
    "--for",
    "use",
    required=True,
    type=click.Choice(["best", "pairs"]),
    help="What is written: `best` gives chats for trainers.sft, `pairs` gives preference pairs for trainers.dpo.",
)
@click.option("--seed", default=0, show_default=True, type=int, help="The seed of the choice among equal replies.")
@click.option("--out", required=True, type=FOLDER, help="The file that is written.")
@user_errors()
def draw_command(answers: Path, *, data: Path, use: Literal["best", "pairs"], seed: int, out: Path) -> None:
    """Make training data of a policy's own replies: rejection sampling, or a round of online preference optimisation.

    ANSWERS is answers.jsonl of `trainers.answer_problems` with several `samples`. `best` takes a verified reply to each
    prompt, `pairs` a verified and a refuted one. The same replies and the same seed give the same bytes.

    \b
    Examples:
      watershed tulu draw answers/sft/answers.jsonl --data prompts.jsonl --for best --out rejection.jsonl
      watershed tulu draw answers/dpo/answers.jsonl --data prompts.jsonl --for pairs --out round-1.jsonl
    """
    import json

    from catalog.errors import WatershedError
    from catalog.files import write_whole
    from dagster_project.families.tulu.records import lines
    from spark_jobs.tulu.own_replies import drawn

    rows, left_out = drawn((row for _, row in lines(answers)), [row for _, row in lines(data)], use, seed)
    reasons = "; ".join(f"{count:,} prompts have {reason}" for reason, count in left_out.items())
    if not rows:
        raise WatershedError(
            f"no prompt can be used: {reasons or 'there is none'}", "draw more samples, or other prompts"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    say(f"{out}: {len(rows):,} rows{f'; {reasons}' if reasons else ''}")


@tulu_command.command("evaluate")
@click.argument("names", nargs=-1, required=True, metavar="TASK...")
@click.option("--model", required=True, help="The entry of [models] that is asked.")
@click.option("--data", required=True, type=FOLDER, help="A folder with TASK.jsonl, and TASK.examples.jsonl for shots.")
@click.option("--judge", default="", help="The entry of [models] that judges replies, where the metric is a judge's.")
@click.option("--out", required=True, type=FOLDER, help="The folder of results; MODEL/TASK.jsonl is written in it.")
@user_errors(RUN_AGAIN)
def evaluate_command(names: tuple[str, ...], *, model: str, data: Path, judge: str, out: Path) -> None:
    """Ask a model the declared tasks, as published, and write its replies where `[tulu] results` finds them.

    The instances of a task are rows of its data set. Its examples are as many rows as the task has shots. Replies are
    in models.requests, so an interrupted command asks only what is left. `watershed make tulu.results` scores them.

    \b
    Examples:
      watershed tulu evaluate gsm8k ifeval --model tuned --data evaluations --out results
      watershed tulu evaluate xstest --model tuned --judge large --data evaluations --out results
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.tulu.evaluating import evaluate

    settings = load_settings()
    for path, rows in evaluate(settings, Lake.of(settings), names, model=model, data=data, judge=judge, out=out):
        say(f"{path}: {rows:,} replies")


@tulu_command.command("compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--baseline", required=True, help="The model that the others are compared with.")
@click.option("--unseal", metavar="WHY", help="Reads the unseen suite too, and records the look with this reason.")
@user_errors()
def compare_command(models: tuple[str, ...], baseline: str, unseal: str | None) -> None:
    """Compare models with a baseline on each task: paired difference, 95% interval, smallest difference to be seen.

    Results of the unseen suite are sealed: only --unseal reads them, and tulu.looks records each look.

    \b
    Examples:
      watershed tulu compare tulu-8b-dpo --baseline tulu-8b-sft
      watershed tulu compare tulu-8b-rlvr --baseline tulu-8b-dpo --unseal "final table of the report"
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.names import close
    from catalog.settings import load_settings
    from dagster_project.cli.screen.render import console, print_rows
    from dagster_project.families.tulu import results
    from spark_jobs.tulu.suites import tasks

    lake = Lake.of(load_settings())
    found = dict(results.results(lake))
    if unseal is not None:
        sealed = [name for name, task in tasks().items() if task.sealed]
        results.record_look(lake, [*models, baseline], sealed, unseal, "watershed tulu compare")
        found |= results.results(lake, sealed=True)
    known = {model for by_model in found.values() for model in by_model}
    if unknown := [name for name in (*models, baseline) if name not in known]:
        raise WatershedError(
            f"{unknown[0]!r} has no results{close(unknown[0], known)}",
            f"use {', '.join(sorted(known))}" if known else "set [tulu] results, and `watershed make tulu.results`",
        )
    rows = results.comparisons(found, baseline, models)
    names = ("model", "task", "metric", "pairs", "mean", "baseline", "difference", "95% interval", "could be seen", "")
    print_rows(console(), names, [_shown(row) for row in rows])


def _shown(row: dict) -> tuple[object, ...]:
    interval = "" if row["low"] is None else f"{row['low']:+.3f} .. {row['high']:+.3f}"
    seen = "" if row["seen"] is None else f"{row['seen']:.3f}"
    finding = "" if not row["clear"] else "better" if row["difference"] > 0 else "worse"
    means = (f"{row['mean']:.3f}", f"{row['baseline_mean']:.3f}", f"{row['difference']:+.3f}")
    return row["model"], row["task"], row["metric"], row["pairs"], *means, interval, seen, finding


@tulu_command.command("power")
@click.argument("difference", type=click.FloatRange(0, 1, min_open=True))
@click.option(
    "--variance",
    default=1 / 9,
    show_default="1/9",
    type=click.FloatRange(0),
    help="The variance of the paired differences of single instances.",
)
@click.option(
    "--power",
    default=0.8,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="The probability to see the difference.",
)
@user_errors()
def power_command(difference: float, variance: float, power: float) -> None:
    """Say how many instances show a difference of two models, by a two-sided test at 5%.

    DIFFERENCE is the mean difference of scores, 0..1, such as 0.03 for three points.

    \b
    Examples:
      watershed tulu power 0.03
      watershed tulu power 0.01 --variance 0.05 --power 0.9
    """
    from spark_jobs.tulu.comparing import pairs_needed

    if not 0 < power < 1:
        raise click.BadParameter("the power is between 0 and 1", param_hint="--power")
    say(f"{pairs_needed(difference, variance, power=power):,}")
