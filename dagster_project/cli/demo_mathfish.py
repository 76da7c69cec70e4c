"""`watershed demo mathfish`: SmolLM2 and a tiny model of our own verify, tag, judge and solve problems, in Dagster."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from dagster_project.cli.demo_models import SMOLLM2, TINY, both_served, model_entries, require_smollm2

if TYPE_CHECKING:
    from catalog.settings import Settings


@dataclass(frozen=True, kw_only=True)
class MathfishSize:
    """How many problems of each file are asked about, and how much is trained and written."""

    each: int
    characters: int
    """Most characters of a problem in a prompt."""
    solve_tokens: int
    run: str
    """The preset of the tiny model."""
    lessons: int
    """Made problems of each label that the tiny model reads about."""
    wording_problems: int
    """Problems of each file on which the wordings of the prompts are compared."""


SIZES = {
    "smoke": MathfishSize(each=1, characters=240, solve_tokens=32, run="70k-0.3xC", lessons=6, wording_problems=0),
    "small": MathfishSize(each=6, characters=500, solve_tokens=96, run="130k-0.5xC", lessons=20, wording_problems=1),
    "standard": MathfishSize(
        each=60, characters=1000, solve_tokens=160, run="130k-0.5xC", lessons=20, wording_problems=6
    ),
}


def run_mathfish(size: str, standards: str = "", problems: Sequence[str] = ()) -> None:
    """Ask both models about problems, and print their accuracy by grade beside that of random answers.

    Args:
        size: a key of SIZES.
        standards: a file of standards in MathFish's schema; empty for the curriculum that comes with Watershed.
        problems: files of problems; one that ends with .csv has teachers' verdicts. Empty for made problems.

    Raises:
        WatershedError: the package of SmolLM2 is not installed, a file cannot be read, or a step failed.
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.mathfish import print_results, write_plots
    from dagster_project.families.mathfish.recipes import curriculum_in
    from dagster_project.families.mathfish.tiny_model import train_tiny_model
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command

    require_smollm2()
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    settings = _choose(load_settings(), planned, standards, problems)
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with Bars(console).listening():
        make_by_command(settings, TABLES["mathfish_data"])
        tree = curriculum_in(Lake.of(settings), settings)
        tiny = train_tiny_model(settings, tree, planned.run, planned.lessons)
    settings = _choose_models(settings, tiny)
    with both_served(settings), Bars(console).listening():
        make_by_command(load_settings(), TABLES["mathfish"])
    print_results(console, settings)
    pictures = write_plots(settings, settings.project / "mathfish")
    console.print(
        f"{time.monotonic() - began:,.0f} s. Plots: {', '.join(map(str, pictures))}\n"
        'Every reply: `watershed sql "SELECT * FROM mathfish.answers"`; in Dagster: `watershed ui`; '
        "judge problems yourself: `watershed mathfish review`",
        soft_wrap=True,
        markup=False,
    )


def _choose(settings: Settings, size: MathfishSize, standards: str, problems: Sequence[str]) -> Settings:
    from dagster_project.cli.demo_choices import write_choices

    places = [str(Path(place).expanduser().absolute()) for place in problems]
    sheets = [place for place in places if place.lower().endswith(".csv")]
    if len(sheets) > 1:
        raise WatershedError("there are two files of teachers' verdicts", "give one .csv file with --problems")
    mathfish: dict[str, Any] = {
        "standards": str(Path(standards).expanduser().absolute()) if standards else "",
        "problems": [place for place in places if place not in sheets],
        "teachers": sheets[0] if sheets else "",
        "models": [],
        "problems_each": size.each,
        "wording_problems": size.wording_problems,
        "problem_characters": size.characters,
        "reply_tokens": 12,
        "solve_tokens": size.solve_tokens,
    }
    return write_choices(settings, {"mathfish": mathfish})


def _choose_models(settings: Settings, tiny: Path) -> Settings:
    from dataclasses import asdict

    from dagster_project.cli.demo_choices import write_choices

    mathfish = asdict(settings.mathfish) | {"models": [SMOLLM2, TINY]}
    return write_choices(settings, {"models": model_entries(tiny), "mathfish": mathfish})
