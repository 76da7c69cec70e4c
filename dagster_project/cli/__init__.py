"""The command line `watershed COMMAND`. COMMANDS has the module of each command, in the order of the help.

Commands start quickly because they import packages only when they run. At its top, the module of a command imports
click, the error handling and little else, because `watershed --help` imports all of these modules
(tests/dagster_project/test_imports_at_start.py).
"""

from __future__ import annotations

import importlib
import sys

import click

COMMANDS = {
    "demo": ("dagster_project.cli.demo", "demo_command"),
    "make": ("dagster_project.cli.make", "make_command"),
    "curate": ("dagster_project.cli.curate", "curate_command"),
    "shards": ("dagster_project.cli.shards", "shards_command"),
    "ui": ("dagster_project.cli.ui", "ui_command"),
    "sql": ("dagster_project.cli.sql", "sql_command"),
    "tables": ("dagster_project.cli.tables", "tables_command"),
    "describe": ("dagster_project.cli.tables", "describe_command"),
    "add": ("dagster_project.cli.add", "add_command"),
    "mixture": ("dagster_project.cli.mixture", "mixture_command"),
    "search": ("dagster_project.cli.search", "search_command"),
    "diff": ("dagster_project.cli.diff", "diff_command"),
    "check": ("dagster_project.cli.check", "check_command"),
    "repair": ("dagster_project.cli.repair", "repair_command"),
    "site": ("dagster_project.cli.site", "site_command"),
    "croissant": ("dagster_project.cli.croissant", "croissant_command"),
    "licences": ("dagster_project.cli.licences", "licences_command"),
    "bom": ("dagster_project.cli.bom", "bom_command"),
    "trace": ("dagster_project.cli.trace", "trace_command"),
    "forget": ("dagster_project.cli.forget", "forget_command"),
    "unused": ("dagster_project.cli.unused", "unused_command"),
    "ladder": ("dagster_project.cli.ladder", "ladder_command"),
    "registry": ("dagster_project.cli.registry", "registry_command"),
    "cheatsheet": ("dagster_project.cli.cheatsheet", "cheatsheet_command"),
    "compare": ("dagster_project.cli.compare", "compare_command"),
    "plan": ("dagster_project.cli.plan", "plan_command"),
    "model": ("dagster_project.cli.model", "model_command"),
    "evals": ("dagster_project.cli.evals", "evals_command"),
    "dialogues": ("dagster_project.cli.dialogues", "dialogues_command"),
    "tulu": ("dagster_project.cli.tulu", "tulu_command"),
    "scholar": ("dagster_project.cli.scholar", "scholar_command"),
    "router": ("dagster_project.cli.router", "router_command"),
    "encoder": ("dagster_project.cli.encoder", "encoder_command"),
    "reranker": ("dagster_project.cli.reranker", "reranker_command"),
    "mathfish": ("dagster_project.cli.mathfish", "mathfish_command"),
    "pictures": ("dagster_project.cli.pictures", "pictures_command"),
    "annotate": ("dagster_project.cli.annotate", "annotate_command"),
    "captions": ("dagster_project.cli.captions", "captions_command"),
    "mcp": ("dagster_project.cli.mcp", "mcp_command"),
    "ask": ("dagster_project.cli.ask", "ask_command"),
    "serve": ("dagster_project.cli.serve", "serve_command"),
    "score": ("dagster_project.cli.score", "score_command"),
    "rank": ("dagster_project.cli.rank", "rank_command"),
    "rescore": ("dagster_project.cli.rescore", "rescore_command"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        return getattr(importlib.import_module(module), name)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="watershed")
def main() -> None:
    """Watershed: a data lake and catalog for building foundation models.

    `watershed COMMAND --help` explains a command and gives examples. All commands work on the project in the current
    folder, or in the folder that the environment variable WATERSHED_PROJECT names.

    \b
    Examples:
      # Make a lake from a crawl of this machine, and query it.
      watershed demo --size smoke
      watershed tables
      watershed sql "SELECT state, count(*) FROM dclm.documents GROUP BY ALL"
      watershed ui
      # Filter documents of your own by a published recipe; this needs no lake.
      watershed curate documents.jsonl --recipe dclm-baseline --out curated
    """
    from dagster_project.cli.screen.say import print_traceback

    sys.excepthook = print_traceback
