"""Training side by side with peers: an optimiser step, and reading sequences.

    uv run --group bench python -m benchmarks.trainers [--json FILE] [--only steps|loaders|workers|memory]

All sides compute the same, in turns, on one core; of each the fastest turn counts. `workers` has no peers: it times a
step of the training loop with one worker thread and with more, by the clock and on all cores. Where torch sees a GPU,
larger shapes run on it too, in bfloat16, with their MFU. `docs/performance.md` says what the numbers mean.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.curation_stages.contest import on_one_core

SEQUENCES, LENGTH, ROUNDS, STEPS = 4096, 2048, 3, 30


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the rows there too.")
@click.option("--only", type=click.Choice(["steps", "loaders", "workers", "memory"]), help="One part alone.")
@click.option("--sequences", default=SEQUENCES, show_default=True, help="That the loaders read, of 2048 + 1 tokens.")
@click.option("--gpu-only", is_flag=True, help="Leave out what runs on the CPU.")
def main(*, json_file: Path | None, only: str | None, sequences: int, gpu_only: bool) -> None:
    """Run the trainers beside their peers."""
    found: dict[str, object] = {"load average before": os.getloadavg()}
    if only in (None, "workers") and not gpu_only:
        found["workers"] = _workers()
    if not gpu_only:
        on_one_core()
    if only in (None, "steps"):
        found["steps"] = _steps(gpu_only)
    if only in (None, "memory"):
        found["memory"] = _memory()
    if only in (None, "loaders") and not gpu_only:
        found["shard counts"] = _shard_counts()
        found["loaders"] = _loaders(sequences)
    found["load average after"] = os.getloadavg()
    if json_file:
        json_file.write_text(json.dumps(found, indent=1) + "\n")


def _steps(gpu_only: bool) -> list[dict[str, object]]:
    from benchmarks.trainer_stages.steps import contest, works

    rows = []
    print("| step | side | tokens/s | ours over it | largest difference of losses | MFU | device |")
    print("|---|---|---|---|---|---|---|")
    for work in works():
        if gpu_only and work.device == "cpu":
            continue
        for row in contest(work, _report):
            mfu = f"{row.mfu:.1%}" if row.mfu is not None else ""
            print(
                f"| {row.work} | {row.side} | {row.tokens_s:,.0f} | {row.ours_over_it:.2f} | "
                f"{row.loss_difference:.1e} | {mfu} | {row.device} |",
                flush=True,
            )
            rows.append(asdict(row))
    return rows


def _memory() -> list[dict[str, object]]:
    import torch

    if not torch.cuda.is_available():
        return []
    from benchmarks.trainer_stages.memory import contest

    print("\n| step | sequences | computed again | compiled | planned, GB | peak, GB | planned over peak |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for row in contest(_report):
        print(
            f"| {row.shape} | {row.sequences} | {'yes' if row.recompute else 'no'} | {'yes' if row.compiled else 'no'} "
            f"| {row.planned / 1e9:.1f} "
            + (f"| {row.peak / 1e9:.1f} | {row.planned / row.peak:.2f} |" if row.peak else "| does not fit | |"),
            flush=True,
        )
        rows.append(asdict(row))
    return rows


def _workers() -> list[dict[str, object]]:
    from benchmarks.trainer_stages.workers import PRESETS, contest

    print("| preset | parts | workers | step, ms | over one part, one worker |")
    print("|---|---|---|---|---|")
    rows = contest(PRESETS, STEPS, _report)
    for row in rows:
        print(f"| {row.preset} | {row.parts} | {row.workers} | {row.step_ms:.1f} | {row.speedup:.2f} |", flush=True)
    print()
    return [asdict(row) for row in rows]


def _loaders(sequences: int) -> list[dict[str, object]]:
    from benchmarks.trainer_stages.loaders import contest

    with tempfile.TemporaryDirectory(prefix="watershed-benchmark-") as folder:
        rows = contest(Path(folder), sequences, LENGTH, ROUNDS, _report)
    print("\n| loader | sequences/s | ours over it | first batch after a stop, ms | goes on exactly | same tokens |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        word = ("no", "yes")
        print(
            f"| {row.side} | {row.sequences_s:,.0f} | {row.ours_over_it:.1f} | {row.resume_ms:,.1f} | "
            f"{word[row.resumed_exactly]} | {word[row.same_tokens]} |",
            flush=True,
        )
    return [asdict(row) for row in rows]


def _shard_counts() -> list[dict[str, object]]:
    from benchmarks.trainer_stages.loaders import shard_counts

    with tempfile.TemporaryDirectory(prefix="watershed-benchmark-") as folder:
        rows = shard_counts(Path(folder), LENGTH, ROUNDS, _report)
    print("\n| our loader, shards | sequences/s | over 100 shards |\n|---|---|---|")
    for row in rows:
        print(f"| {row.shards:,} | {row.sequences_s:,.0f} | {row.over_100_shards:.2f} |", flush=True)
    return [asdict(row) for row in rows]


def _report(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
