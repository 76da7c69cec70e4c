"""The command `watershed encoder`: encoders trained on pairs of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.pair_training import epochs_option, out_option, pairs_argument, seed_option, train_on_pairs
from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.group("encoder")
def encoder_command() -> None:
    """Train encoders of texts, which searches of `watershed ask` and of `[router]` use.

    \b
    Examples:
      watershed encoder train pairs.jsonl --out encoder
    """


@encoder_command.command("train")
@pairs_argument
@out_option
@click.option(
    "--encoder",
    default="all-minilm-l6-v2",
    show_default=True,
    help="The encoder to begin with: all-minilm-l6-v2, the folder of a model of sentence-transformers, or `new` for a "
    "small one that is made from the texts.",
)
@click.option("--rank", type=click.IntRange(0, 1024), default=0, help="The rank of adapters; 0 trains all weights.")
@click.option(
    "--queries-only",
    is_flag=True,
    help="Trains the side of the queries alone, so that an index of documents stays valid.",
)
@click.option(
    "--heldout", type=click.Path(path_type=Path), help="Pairs on which the order is measured before and after."
)
@epochs_option(3.0)
@click.option("--batch", type=click.IntRange(2), default=32, show_default=True, help="The pairs of a step.")
@click.option("--mined", type=click.IntRange(0), default=0, help="Hard negatives that are found for each pair.")
@seed_option
@user_errors(RUN_AGAIN)
def train_command(
    pairs: tuple[Path, ...],
    out: Path,
    *,
    encoder: str,
    rank: int,
    queries_only: bool,
    heldout: Path | None,
    epochs: float,
    batch: int,
    mined: int,
    seed: int,
) -> None:
    """Train an encoder on PAIRS, files of JSON lines with the fields query, positive and maybe negatives.

    `[scholar] encoder` takes the folder that is printed. With --rank it is a folder of adapters as peft writes it. With
    --heldout, MRR and nDCG@10 of the held-out queries are printed before and after training, with an interval of the
    gain.

    \b
    Examples:
      watershed encoder train pairs.jsonl --heldout heldout.jsonl --out encoder
      watershed encoder train pairs.jsonl --out expert --rank 8 --queries-only
    """
    from trainers.embed import ADAPTER, MODEL

    place = train_on_pairs(
        "trainers.embed",
        "encoder",
        pairs,
        out,
        encoder,
        heldout,
        trains="query" if queries_only else "both",
        adapters={"rank": rank} if rank else {},
        epochs=epochs,
        batch=batch,
        mined=mined,
        seed=seed,
    )
    say(str(place / (ADAPTER if rank else MODEL)))
