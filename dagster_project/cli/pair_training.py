"""What `watershed encoder train` and `watershed reranker train` share: their options, and the run of the trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dagster_project.cli.screen.say import say

pairs_argument = click.argument("pairs", nargs=-1, required=True, type=click.Path(path_type=Path))
out_option = click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The folder of the run. A second run resumes."
)
seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, help="Decides new weights, the order of the pairs, and dropout."
)


def epochs_option(default: float) -> Callable[[Any], Any]:
    """The option --epochs."""
    return click.option(
        "--epochs",
        type=click.FloatRange(0, min_open=True),
        default=default,
        show_default=True,
        help="How often the pairs are read.",
    )


def train_on_pairs(  # noqa: PLR0917 - what every trainer of pairs takes
    trainer: str, label: str, pairs: Sequence[Path], out: Path, encoder: str, heldout: Path | None, **options: Any
) -> Path:
    """Train on pairs, and print what was read and the gain on held-out pairs; return the folder of the run.

    Args:
        trainer: the module, such as trainers.embed.
        label: the name of the progress bar.
        pairs: files of pairs.
        out: the folder of the run.
        encoder: the model to begin with, as a user names it.
        heldout: the file of held-out pairs.
        options: more fields of the trainer's configuration.

    Raises:
        WatershedError: the trainer failed.
    """
    import json

    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.engine.encoders import base_folder
    from dagster_project.engine.trainer_process import run_trainer
    from trainers.embedding.heldout import gain_lines

    settings, place = load_settings(), out.absolute()
    config: Mapping[str, Any] = {
        "data": [str(path.absolute()) for path in pairs],
        "out": str(place),
        "encoder": base_folder(settings, encoder),
        "heldout": [str(heldout.absolute())] if heldout else [],
        "device": settings.trainer.device,
        **options,
    }
    with Bars(wide_console()).listening():
        run_trainer(trainer, config, label)
    result = json.loads((place / "result.json").read_text())
    say(f"{result['pairs']:,} pairs, {result['steps']:,} steps, loss {result['train_loss']:.3f}")
    for line in gain_lines(result):
        say(line)
    return place
