"""`watershed demo dialogues`: SmolLM2 and a tiny model of our own talk to themselves, stage by stage, in Dagster."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.cli.demo_models import SMOLLM2, TINY, both_served, model_entries, require_smollm2

if TYPE_CHECKING:
    from catalog.settings import Settings

TEMPERATURE = 0.8
"""Lower, a model of this size repeats the turns before; higher, it loses the thread."""


@dataclass(frozen=True, kw_only=True)
class DialoguesSize:
    """How many dialogues each model holds, and how long they are."""

    smollm2: int
    tiny: int
    turns: int
    turn_tokens: int
    text_tokens: int
    run: str
    """The preset of the tiny model."""


SIZES = {
    "smoke": DialoguesSize(smollm2=2, tiny=12, turns=4, turn_tokens=24, text_tokens=48, run="70k-0.3xC"),
    "small": DialoguesSize(smollm2=12, tiny=200, turns=6, turn_tokens=48, text_tokens=96, run="130k-0.5xC"),
    "standard": DialoguesSize(smollm2=40, tiny=200, turns=6, turn_tokens=48, text_tokens=96, run="130k-0.5xC"),
}


def run_dialogues(size: str) -> None:
    """Make the dialogues of both models, and print their statistics and three of them.

    Raises:
        WatershedError: the package of SmolLM2 is not installed, or a stage failed.
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.dialogues import print_dialogues, print_statistics
    from dagster_project.families.dialogues.tiny_model import train_tiny_model
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    require_smollm2()
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    with Bars(console).listening():
        tiny = train_tiny_model(load_settings(), planned.run)
    settings = _choose(load_settings(), planned, tiny)
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with both_served(settings), Bars(console).listening():
        make_by_command(load_settings(), TABLES["dialogues"])
    print_statistics(console, settings)
    print_dialogues(console, settings, "", 3)
    console.print(
        f"{time.monotonic() - began:,.0f} s. More of them: `watershed dialogues show`; every request: "
        "`watershed sql 'SELECT * FROM models.requests'`; in Dagster: `watershed ui`",
        soft_wrap=True,
    )


def _choose(settings: Settings, size: DialoguesSize, tiny: Path) -> Settings:
    from dagster_project.cli.demo_choices import write_choices

    dialogues = {
        "models": [SMOLLM2, TINY],
        "counts": {SMOLLM2: size.smollm2, TINY: size.tiny},
        "subtopics": 5,
        "turns": size.turns,
        "turn_tokens": size.turn_tokens,
        "text_tokens": size.text_tokens,
        "temperature": TEMPERATURE,
    }
    return write_choices(settings, {"models": model_entries(tiny), "dialogues": dialogues})
