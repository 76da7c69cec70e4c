"""The command `watershed reranker`: cross-encoders trained on pairs of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.group("reranker")
def reranker_command() -> None:
    """Train rerankers, which order the passages that a search of `watershed ask` found.

    \b
    Examples:
      watershed reranker train pairs.jsonl --heldout heldout.jsonl --out reranker
    """


@reranker_command.command("train")
@click.argument("pairs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder of the run. A second run resumes."
)
@click.option(
    "--encoder",
    default="all-minilm-l6-v2",
    show_default=True,
    help="The model to begin with: all-minilm-l6-v2, the folder of an encoder or of a cross-encoder, or `new` for a "
    "small one that is made from the texts.",
)
@click.option(
    "--heldout", type=click.Path(path_type=Path), help="Pairs on which the order is measured before and after training."
)
@click.option(
    "--epochs",
    type=click.FloatRange(0, min_open=True),
    default=5.0,
    show_default=True,
    help="How often the pairs are read.",
)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="The pairs of a step.")
@click.option(
    "--group",
    type=click.IntRange(2),
    default=16,
    show_default=True,
    help="The documents that a query is compared with: one that answers it, and hard negatives.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Decides new weights, the order of the pairs, and dropout."
)
@user_errors(RUN_AGAIN)
def train_command(
    pairs: tuple[Path, ...],
    out: Path,
    *,
    encoder: str,
    heldout: Path | None,
    epochs: float,
    batch: int,
    group: int,
    seed: int,
) -> None:
    """Train a cross-encoder on PAIRS, files of JSON lines with the fields query, positive and maybe negatives.

    `[scholar] reranker` takes the folder that is printed. With --heldout, MRR and nDCG@10 of the held-out queries are
    printed before and after training, with an interval of the gain, beside the order of a search by words.

    \b
    Examples:
      watershed reranker train pairs.jsonl --heldout heldout.jsonl --out reranker
      watershed reranker train pairs.jsonl --out reranker --encoder new --group 8
    """
    import json

    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.engine.encoders import base_folder
    from dagster_project.engine.trainer_process import run_trainer
    from trainers.embedding.heldout import gain_lines
    from trainers.rerank import MODEL

    settings, place = load_settings(), out.absolute()
    config = {
        "data": [str(path.absolute()) for path in pairs],
        "out": str(place),
        "encoder": base_folder(settings, encoder),
        "heldout": [str(heldout.absolute())] if heldout else [],
        "epochs": epochs,
        "batch": batch,
        "group": group,
        "seed": seed,
        "device": settings.trainer.device,
    }
    with Bars(wide_console()).listening():
        run_trainer("trainers.rerank", config, "reranker")
    result = json.loads((place / "result.json").read_text())
    say(f"{result['pairs']:,} pairs, {result['steps']:,} steps, loss {result['train_loss']:.3f}")
    for line in gain_lines(result):
        say(line)
    say(str(place / MODEL))
