"""The prompt of `watershed sql`: history, completion and colours; a statement ends with a semicolon."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import say_error
from dagster_project.cli.screen.render import console

if TYPE_CHECKING:
    import duckdb
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent

COMMANDS = {
    ".tables": "list the tables",
    ".describe": "say what is known of a table: .describe dclm.documents",
    ".help": "say this",
    ".quit": "leave, as Ctrl+D does",
}
_WORD = re.compile(r"[\w.]*$")


def converse(connection: duckdb.DuckDBPyConnection) -> None:
    """Answer statements and dot commands until the user leaves."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=SqlCompleter(connection),
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        prompt_continuation=lambda width, line, wraps: " " * (width - 2) + "> ",
        key_bindings=_keys(),
        complete_while_typing=False,
    )
    click.echo("SQL on the lake. End a statement with ;   .tables  .describe TABLE  .help  .quit", err=True)
    while True:
        try:
            said = session.prompt("watershed> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if said in (".quit", ".exit"):
            return
        if said:
            _respond(connection, said)


def finished(text: str) -> bool:
    """Enter sends `text`: it is empty, a dot command, or ends with a semicolon outside quotes and comments."""
    import duckdb

    said = text.strip()
    if not said or said.startswith("."):
        return True
    tokens = duckdb.tokenize(said)
    last = said.encode()[tokens[-1][0] :].decode() if tokens else ""
    return last.startswith(";")


class SqlCompleter(Completer):
    """Keywords, tables with their families, columns, and dot commands; read once from the connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.keywords = [row[0].upper() for row in connection.execute("FROM duckdb_keywords()").fetchall()]
        self.tables = dict(
            connection.execute(
                "SELECT schema_name || '.' || view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
            ).fetchall()
        )
        self.columns = dict(
            connection.execute(
                "SELECT column_name, string_agg(DISTINCT schema_name || '.' || table_name, ', ') "
                "FROM duckdb_columns() WHERE NOT internal GROUP BY ALL ORDER BY ALL"
            ).fetchall()
        )

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand where the cursor is, with a word on each."""
        line = document.text_before_cursor.lstrip()
        found = _WORD.search(line)
        word = found.group() if found else ""
        if line.startswith(".") and " " not in line:
            yield from _matching(COMMANDS, line)
            return
        yield from _matching(self.tables, word)
        if line.startswith("."):
            return
        qualifier, _, name = word.rpartition(".")
        yield from _matching(self.columns, name if qualifier not in self.families else word)
        if word:
            yield from _matching(dict.fromkeys(self.keywords, ""), word)

    @property
    def families(self) -> set[str]:
        """Schemas: what stands before a dot that a table follows."""
        return {name.split(".")[0] for name in self.tables}


def _matching(offers: Mapping[str, str | None], word: str) -> Iterable[Completion]:
    for offer, meaning in offers.items():
        if offer.lower().startswith(word.lower()):
            yield Completion(offer, start_position=-len(word), display_meta=(meaning or "")[:60])


def _respond(connection: duckdb.DuckDBPyConnection, said: str) -> None:
    from dagster_project.cli.screen.answer import answer

    try:
        if said.startswith("."):
            _command(said)
        else:
            answer(connection, said, "table")
    except WatershedError as error:
        say_error(error.cause, error.mend)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)


def _command(said: str) -> None:
    from catalog.settings import load_settings
    from dagster_project.cli.screen.described import print_description, print_tables

    verb, *names = said.rstrip(";").split()
    if verb == ".tables":
        print_tables(console(), load_settings())
    elif verb in (".describe", ".d") and len(names) == 1:
        print_description(console(), load_settings(), names[0])
    elif verb == ".help":
        for command, meaning in COMMANDS.items():
            click.echo(f"{command:<12}{meaning}")
    else:
        raise WatershedError(f"{said!r} is no command", f"use one of {', '.join(COMMANDS)}, or SQL that ends with ;")


def _history() -> History:
    """History in the user's state folder (XDG_STATE_HOME); none where that cannot be written."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "watershed"
    try:
        state.mkdir(parents=True, exist_ok=True)
        (state / "sql_history").touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(state / "sql_history"))


def _keys() -> KeyBindings:
    """Enter sends a finished statement and breaks the line of one that is not."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if finished(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys
