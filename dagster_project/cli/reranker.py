"""The command `watershed reranker`: cross-encoders trained on pairs of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.pair_training import epochs_option, out_option, pairs_argument, seed_option, train_on_pairs
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
@pairs_argument
@out_option
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
@epochs_option(5.0)
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="The pairs of a step.")
@click.option(
    "--group",
    type=click.IntRange(2),
    default=16,
    show_default=True,
    help="The documents that a query is compared with: one that answers it, and hard negatives.",
)
@seed_option
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
    from trainers.rerank import MODEL

    options = {"epochs": epochs, "batch": batch, "group": group, "seed": seed}
    place = train_on_pairs("trainers.rerank", "reranker", pairs, out, encoder, heldout, **options)
    say(str(place / MODEL))
