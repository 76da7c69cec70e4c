"""The commands `watershed mathfish`: the curriculum on the screen, prompts as files, and verdicts of teachers."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.group("mathfish")
def mathfish_command() -> None:
    """Look at standards, write the prompts of MathFish to a file, and judge problems on a local page.

    `watershed demo mathfish` makes the tables.

    \b
    Examples:
      watershed mathfish standard 3.NF.A.1
      watershed mathfish tasks tasks.jsonl
      watershed mathfish review
    """


@mathfish_command.command("standard")
@click.argument("standard")
@click.option("--to", "other", default="", metavar="STANDARD", help="Prints the distance in the coherence map too.")
@user_errors()
def standard_command(standard: str, other: str) -> None:
    """Show a standard: its path from the root of the curriculum, and its neighbours in the coherence map.

    \b
    Examples:
      watershed mathfish standard 3.NF.A.1
      watershed mathfish standard HSA-REI.B.4 --to 8.EE.C.7
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.names import close
    from catalog.settings import load_settings
    from dagster_project.families.mathfish.recipes import curriculum_in

    settings = load_settings()
    tree = curriculum_in(Lake.of(settings), settings)

    def known(written: str) -> str:
        found = tree.standardised(written)
        if found is None:
            raise WatershedError(
                f"no standard is called {written!r}{close(written, tree.rows)}",
                'list them by `watershed sql "SELECT standard, description FROM mathfish.standards"`',
            )
        return found

    found = known(standard)
    for depth, each in enumerate(tree.path(found)):
        say(f"{'  ' * depth}{each}: {tree[each].description}")
    own = tree[found].parent if tree[found].level == "Sub-standard" else found
    for relation, words in (("progress", "prepares"), ("related", "is related to")):
        ends = [(source, target) for source, target, kind in tree.edges if kind == relation]
        after = [target for source, target in ends if source == own]
        before = [source for source, target in ends if target == own]
        if relation == "related":
            after, before = sorted({*after, *before}), []
        for label, names in ((words, after), ("is prepared by", before)):
            if names:
                say(f"{label}: {', '.join(names)}")
    if other:
        target = known(other)
        inside = tree[target].parent if tree[target].level == "Sub-standard" else target
        length = tree.distance(own, inside)
        say(f"no path to {inside}" if length is None else f"{length} edges to {inside}")


@mathfish_command.command("tasks")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(["verification", "tagging"]), help="Writes prompts of one kind alone.")
@click.option("--wording", default="", metavar="NAME", help="The words of the prompts; by default plain.")
@user_errors()
def tasks_command(path: Path, kind: str | None, wording: str) -> None:
    """Write the prompts of `[mathfish]` to PATH in the format of allenai/mathfish-tasks.

    `watershed score mathfish-tagging` and `mathfish-verification` read such rows with a `response`.

    \b
    Examples:
      watershed mathfish tasks tagging.jsonl --kind tagging
      watershed mathfish tasks tasks.jsonl --wording whole
    """
    from dataclasses import replace

    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.names import close
    from catalog.settings import load_settings
    from dagster_project.families.mathfish.recipes import asked_in, curriculum_in, prompt_recipe
    from spark_jobs.mathfish.task_files import write_tasks
    from spark_jobs.mathfish.tasks import tasks_of
    from spark_jobs.mathfish.wordings import PLAIN, WORDINGS

    wording = wording or PLAIN
    if wording not in WORDINGS:
        raise WatershedError(
            f"no wording is called {wording!r}{close(wording, WORDINGS)}", f"choose one of {', '.join(WORDINGS)}"
        )

    settings = load_settings()
    lake, recipe = Lake.of(settings), prompt_recipe(settings, None)
    worded = replace(recipe.tasks, verification=wording, tagging=wording)
    tasks = tasks_of(curriculum_in(lake, settings), asked_in(lake, recipe), worded)
    count = write_tasks((task for task in tasks if kind in (None, task.kind)), path)
    say(f"{path}: {count:,} prompts")


@mathfish_command.command("show")
@user_errors()
def show_command() -> None:
    """Show how well each model answers, by grade and strategy, beside random answers, and write the plots.

    \b
    Examples:
      watershed mathfish show
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.mathfish import print_results, write_plots
    from dagster_project.cli.screen.render import console

    settings = load_settings()
    print_results(console(), settings)
    for path in write_plots(settings, settings.project / "mathfish"):
        say(str(path))


@mathfish_command.command("review")
@click.option("--collection", default="", metavar="NAME", help="Shows problems of this file alone, as in its name.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port; by default a free one.")
@user_errors(RUN_AGAIN)
def review_command(collection: str, port: int) -> None:
    """Serve a page on which teachers judge how well problems teach their standards, until Ctrl+C.

    The page is at an address of this machine alone. Verdicts are entered by the keys 1 to 4, and are in the table
    mathfish.verdicts at once.

    \b
    Examples:
      watershed mathfish review
      watershed mathfish review --collection generated --port 8123
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.mathfish.review.server import ReviewServer
    from dagster_project.families.mathfish.review.verdicts import Verdicts, items_of

    lake = Lake.of(load_settings())
    items = items_of(lake, collection)
    server = ReviewServer(Verdicts(lake, items), port)
    say(f"{len(items):,} problems to judge at {server.url} (Ctrl+C ends)")
    with server:
        server.serve_forever()


@mathfish_command.command("agreement")
@user_errors()
def agreement_command() -> None:
    """Show how far raters agree: Cohen's kappa of every two, and Fleiss' kappa of all.

    The published verdicts of teachers count as one more rater in the pairs.

    \b
    Examples:
      watershed mathfish agreement
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.mathfish.review.verdicts import Verdicts, agreement

    lake = Lake.of(load_settings())
    alignment = lake.read("mathfish.alignment").to_pylist() if lake.exists("mathfish.alignment") else []
    found = agreement(Verdicts(lake, ()).rows(), alignment)
    say(f"{found['judged']:,} problems with verdicts of {len(found['raters']):,} raters")
    for pair in found["pairs"]:
        kappa = "none (one category alone)" if pair["kappa"] is None else f"{pair['kappa']:.3f}"
        things = f"{pair['agreement']:.1%} of {pair['things']:,}"
        say(f"{pair['one']} and {pair['other']}: the same verdict for {things}, Cohen's kappa {kappa}")
    if found["fleiss"] is not None:
        say(f"all raters: Fleiss' kappa {found['fleiss']:.3f}")
