"""The command `watershed mcp`: a read-only server of the Model Context Protocol over the lake, for agents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors

if TYPE_CHECKING:
    from catalog.agents.tools import Tools

INSTRUCTIONS = (
    "This server reads a data lake of foundation models. Search first, describe what you found, then query it in "
    "DuckDB's SQL: FROM family.table. Nothing can be written. Columns with personal data are masked."
)


@click.command("mcp")
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="The most seconds that a query may take.",
)
@click.option(
    "--rows", type=click.IntRange(1, 10_000), default=200, show_default=True, help="The most rows of a query."
)
@click.option("--memory", default="2GB", show_default=True, help="The most memory that a query may use.")
@click.option(
    "--texts",
    is_flag=True,
    help="Shows running text that may hold personal data, with e-mail addresses, IP addresses and telephone numbers "
    "replaced. The default leaves such texts out.",
)
@user_errors(signals=False)
def mcp_command(seconds: float, rows: int, memory: str, texts: bool) -> None:
    """Serve the lake to agents over the Model Context Protocol, on standard input and output.

    The tools are search, describe, trace and sql. They only read: DuckDB refuses everything but the lake's files, a
    query is one SELECT of tables that it names, and time, memory and rows are limited. Personal data are masked, as the
    contracts of the tables tag them.

    \b
    Examples:
      watershed mcp
      watershed mcp --seconds 30 --rows 1000
      # The entry of an agent's configuration.
      {"mcpServers": {"watershed": {"command": "watershed", "args": ["mcp"]}}}
    """
    from catalog.agents.reader import Limits
    from catalog.agents.tools import Tools
    from catalog.settings import load_settings

    tools = Tools(load_settings(), Limits(seconds=seconds, rows=rows, memory=memory), texts=texts)
    server(tools).run("stdio")


def server(tools: Tools) -> Any:
    """The server that offers `tools`.

    Raises:
        WatershedError: the package `mcp` is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise WatershedError(
            "the package mcp is not installed", "install Watershed with its extra: uv sync --extra mcp"
        ) from error

    found = MCPServer("watershed", instructions=INSTRUCTIONS, log_level="ERROR")
    reads = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

    def answered(call: Any, *arguments: Any) -> dict[str, Any]:
        try:
            return call(*arguments)
        except WatershedError as error:
            raise ToolError(f"{error.cause}; {error.mend}") from error

    @found.tool(annotations=reads)
    def search(  # noqa: PLR0917
        words: str,
        kind: str | None = None,
        family: str | None = None,
        licence: str | None = None,
        modality: str | None = None,
        limit: int = 20,
    ) -> dict[str, Any]:
        """Find tables, views, columns, sources, models, evaluations, papers and other rows by words.

        Typing errors are accepted. `kind` is table, view, column, source, model, evaluation and so on; `modality` is
        text, image, audio, video or tabular.
        """
        return answered(tools.search, words, kind, family, licence, modality, limit)

    @found.tool(annotations=reads)
    def describe(table: str) -> dict[str, Any]:
        """Describe a table or view: columns with types and meanings, key, licence, source, lineage, rows and checks."""
        return answered(tools.describe, table)

    @found.tool(annotations=reads)
    def trace(thing: str) -> dict[str, Any]:
        """Follow lineage: a document (its id or the beginning of it) to the models that saw it; a training sequence
        (split/shard/sequence, such as train/0/17) or a training step (run@step, such as 70k-1xC@3) to its documents."""
        return answered(tools.trace, thing)

    @found.tool(annotations=reads)
    def sql(query: str) -> dict[str, Any]:
        """Run one SELECT in DuckDB's SQL on tables of the lake, named family.table. Rows and time are limited."""
        return answered(tools.sql, query)

    return found
