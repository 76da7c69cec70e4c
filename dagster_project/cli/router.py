"""The commands `watershed router`: which expert answers a query, and how the methods compare."""

from __future__ import annotations

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say


@click.group("router")
def router_command() -> None:
    """Choose an expert of an encoder for each query, and compare that with a single encoder.

    `[router] domains` names folders in BEIR's layout. `watershed make router.comparisons` trains an expert on each.

    \b
    Examples:
      watershed router table
      watershed router route "How are two arrays joined along an axis?"
    """


@router_command.command("table")
@user_errors(RUN_AGAIN)
def table_command() -> None:
    """Print nDCG@10 of every method by domain, and the paired tests of the router against the baselines.

    \b
    Examples:
      watershed router table
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import wide_console
    from dagster_project.cli.screen.router import print_router

    print_router(wide_console(), Lake.of(load_settings()))


@router_command.command("route")
@click.argument("query")
@click.option("--seed", type=int, help="The seed of the experts. The default is the first of `[router] seeds`.")
@click.option(
    "--top", default=5, show_default=True, type=click.IntRange(1, 100), help="How many documents are printed."
)
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON object.")
@user_errors(RUN_AGAIN)
def route_command(query: str, seed: int | None, top: int, as_json: bool) -> None:
    """Print the expert that the router chooses for QUERY, and the documents of all domains that it finds.

    \b
    Examples:
      watershed router route "How are two arrays joined along an axis?"
    """
    import json

    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.router.recipes import domain_keys, project_experts, run_name
    from spark_jobs.router.answering import routed_documents

    settings = load_settings()
    chosen = settings.router.seeds[0] if seed is None and settings.router.seeds else seed or 0
    domains, encoder = list(domain_keys(settings)), project_experts(settings)
    found = routed_documents(Lake.of(settings), domains, encoder, query, seed=chosen, run_of=run_name, top=top)
    if as_json:
        say(json.dumps(found, ensure_ascii=False))
        return
    for expert, similarity in found["experts"].items():
        say(f"{similarity:8.4f}  {expert}{'  (chosen)' if expert == found['expert'] else ''}")
    for each in found["documents"]:
        say(f"\n{each['score']:8.4f}  {each['domain']}: {each['document']}\n{' ' * 10}{each['text'][:200]}")
