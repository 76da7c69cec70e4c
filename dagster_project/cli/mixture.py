"""The command `watershed mixture`: the recipes of pretraining mixtures, and the proportions of those that were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from catalog.settings import Settings


@click.group("mixture")
def mixture_command() -> None:
    """Mix tables and files into one set of training shards, by recipes in the project's folder `mixtures`.

    `mixtures/NAME.toml` declares the table mixture.NAME, which `watershed make mixture.NAME` makes: documents are
    deduplicated across the sources and decontaminated, and their licences are carried. docs/mixtures.md explains the
    recipe.

    \b
    Examples:
      watershed mixture list
      watershed mixture copy olmoe_mix_0924
      watershed mixture show base
    """


@mixture_command.command("list")
@user_errors()
def list_command() -> None:
    """List the recipes of the project and those that come with Watershed.

    \b
    Examples:
      watershed mixture list
    """
    from catalog.lake import Lake
    from catalog.projects.mixture_file import FAMILY, SHIPPED, read_mixture
    from catalog.projects.registry import own_mixtures
    from catalog.settings import load_settings
    from catalog.tables import UNUSABLE

    settings = load_settings()
    lake = Lake.of(settings)
    for name, mixture in own_mixtures().items():
        state = "made" if lake.exists(name) else f"not made yet: run `watershed make {name}`"
        say(f"{mixture.recipe.name}: {len(mixture.recipe.sources)} sources, {state}")
    for name, fault in UNUSABLE.items():
        say(f"{name.removeprefix(f'{FAMILY}.')}: cannot be used: {fault.cause}")
    for path in sorted(SHIPPED.glob("*.toml")):
        say(f"{path.stem}: comes with Watershed; {read_mixture(path).description}")


@mixture_command.command("copy")
@click.argument("recipe")
@click.option("--as", "name", metavar="NAME", help="The name of the mixture; by default that of the recipe.")
@user_errors()
def copy_command(recipe: str, name: str | None) -> None:
    """Copy a recipe that comes with Watershed into the project's folder `mixtures`, to be changed there.

    \b
    Examples:
      watershed mixture copy olmoe_mix_0924
      watershed mixture copy olmoe_mix_0924 --as code_and_papers
    """
    from catalog.errors import WatershedError
    from catalog.names import close
    from catalog.projects.entries import NAME
    from catalog.projects.mixture_file import SHIPPED
    from catalog.projects.registry import MIXTURES
    from catalog.settings import load_settings

    shipped = {path.stem: path for path in SHIPPED.glob("*.toml")}
    if recipe not in shipped:
        raise WatershedError(f"no recipe is called {recipe!r}{close(recipe, shipped)}", f"use {', '.join(shipped)}")
    settings, name = load_settings(), name or recipe
    if not NAME.fullmatch(name):
        raise WatershedError(f"{name!r} is not a name of a mixture", "use lower-case letters, digits and underscores")
    target = settings.project / MIXTURES / f"{name}.toml"
    if target.exists():
        raise WatershedError(f"{target} exists", "give another name with --as, or remove it")
    _write(settings, target, shipped[recipe])


def _write(settings: Settings, target: Path, recipe: Path) -> None:
    from catalog.files import write_whole
    from catalog.projects.mixture_file import read_mixture

    target.parent.mkdir(exist_ok=True)
    write_whole(target, recipe.read_bytes())
    made = read_mixture(target)
    say(f"{made.table}: written to {target.relative_to(settings.project)}")
    for source in made.sources:
        say(f"  it reads {source.table or ', '.join(source.files)} as {source.name}")
    say(f"Change it as you need, then run `watershed make {made.table}`.")


@mixture_command.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Prints a JSON object a source.")
@user_errors()
def show_command(name: str, as_json: bool) -> None:
    """Show the proportions of a mixture: what its recipe asks of each source, and what a pass reads of it.

    \b
    Examples:
      watershed mixture show base
      watershed mixture show base --json
    """
    import json

    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.projects.mixture_file import FAMILY
    from catalog.settings import load_settings
    from catalog.tables import contract
    from dagster_project.cli.screen.render import console, print_rows

    settings = load_settings()
    table = contract(f"{FAMILY}.{name.removeprefix(f'{FAMILY}.')}").name
    lake = Lake.of(settings)
    if not lake.exists(f"{table}_sources"):
        raise WatershedError(f"{table} is not made yet", f"run `watershed make {table}`")
    rows = sorted(lake.read(f"{table}_sources").to_pylist(), key=lambda row: row["place"])
    if as_json:
        for row in rows:
            data(json.dumps(row))
        return
    shown = (
        "source",
        "asked_by",
        "asked_share",
        "share",
        "tokens",
        "documents",
        "epochs",
        "duplicates",
        "contaminated",
    )
    print_rows(console(), shown, [[row[column] for column in shown] for row in rows])
