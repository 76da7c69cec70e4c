"""The command `watershed bom`: what a model was made from, for those who must answer for it."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say


@click.command("bom")
@click.argument("model")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["spdx", "cyclonedx", "eu-summary"]),
    default="spdx",
    show_default=True,
    help="The format: SPDX 3.0.1, CycloneDX 1.6, or a draft of the EU's public summary of training content.",
)
@click.option("--small", is_flag=True, help="Lists the domains that the EU asks of small and medium enterprises.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Writes the document to this file.",
)
@user_errors()
def bom_command(model: str, format_: str, small: bool, output: Path | None) -> None:
    """Write the bill of materials of a model: training data, evaluations, inherited licences, energy and limits.

    Everything in it follows from the lineage of the lake. In the EU's summary, each number has the query behind it.

    \b
    Examples:
      watershed bom 70k-1xC -o model.spdx.json
      watershed bom 70k-1xC --format cyclonedx -o model.cdx.json
      watershed bom 70k-1xC --format eu-summary
    """
    import json

    from catalog.cards.bom.cyclonedx import cyclonedx_bom
    from catalog.cards.bom.eu_summary import eu_summary
    from catalog.cards.bom.facts import model_facts
    from catalog.cards.bom.spdx import spdx_bom
    from catalog.cards.site.reading import SiteLake
    from catalog.files import write_whole
    from catalog.settings import load_settings

    site = SiteLake.of(load_settings(), {})
    with site.connection:
        facts = model_facts(site, model)
        if format_ == "eu-summary":
            text = eu_summary(site, facts, small=small).markdown()
        else:
            made = spdx_bom(facts) if format_ == "spdx" else cyclonedx_bom(facts)
            text = json.dumps(made, indent=2, ensure_ascii=False) + "\n"
    if output:
        write_whole(output, text.encode())
        say(f"{output}: {facts.run}, trained on {len(facts.trained_on)} tables, {len(facts.licences)} licences")
    else:
        data(text, nl=False)
