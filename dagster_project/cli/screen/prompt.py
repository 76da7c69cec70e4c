"""The prompt of `watershed sql`, with history, completion and colours. A statement ends with a semicolon."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from catalog.errors import WatershedError
from catalog.sql.declare import DAMAGED, damaged_table
from dagster_project.cli.screen.errors import print_error
from dagster_project.cli.screen.render import console
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    import duckdb
    from prompt_toolkit.key_binding.key_processor import KeyPressEvent

COMMANDS = {
    ".tables": "list the tables",
    ".describe": "describe a table, as in .describe dclm.documents",
    ".help": "show this help",
    ".quit": "quit, as Ctrl+D does",
}
_WORD = re.compile(r"[\w.]*$")


def run_prompt(connection: duckdb.DuckDBPyConnection) -> None:
    """Name the damaged tables, and run statements and dot commands until the user quits."""
    session: PromptSession[str] = PromptSession(
        history=_history(),
        completer=SqlCompleter(connection),
        lexer=PygmentsLexer(SqlLexer),
        multiline=True,
        prompt_continuation=lambda width, line, wraps: " " * (width - 2) + "> ",
        key_bindings=_keys(),
        complete_while_typing=False,
    )
    for name, state in connection.execute(
        f"SELECT name, state FROM watershed.tables WHERE starts_with(state, '{DAMAGED}') ORDER BY name"
    ).fetchall():
        error = damaged_table(name, state)
        print_error(error.cause, error.mend)
    say("SQL on the lake. End a statement with ;   .tables  .describe TABLE  .help  .quit", err=True)
    while True:
        try:
            statement = session.prompt("watershed> ").strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if statement in (".quit", ".exit"):
            return
        if statement:
            _respond(connection, statement)


def finished(text: str) -> bool:
    """Whether Enter sends `text`: it is empty, a dot command, or ends with a semicolon outside quotes and comments."""
    import duckdb

    statement = text.strip()
    if not statement or statement.startswith("."):
        return True
    tokens = duckdb.tokenize(statement)
    last = statement.encode()[tokens[-1][0] :].decode() if tokens else ""
    return last.startswith(";")


class SqlCompleter(Completer):
    """Completes keywords, tables, columns and dot commands. The names are read once from the connection."""

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
        """Return the completions at the cursor, each with a short description."""
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
        """The schemas of the lake, one for each family of tables."""
        return {name.split(".")[0] for name in self.tables}


def _matching(offers: Mapping[str, str | None], word: str) -> Iterable[Completion]:
    for offer, meaning in offers.items():
        if offer.lower().startswith(word.lower()):
            yield Completion(offer, start_position=-len(word), display_meta=(meaning or "")[:60])


def _respond(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    from dagster_project.cli.screen.answer import answer

    try:
        if statement.startswith("."):
            _run_dot_command(statement)
        else:
            answer(connection, statement, "table")
    except WatershedError as error:
        print_error(error.cause, error.mend)
    except KeyboardInterrupt:
        say("interrupted", err=True)


def _run_dot_command(line: str) -> None:
    from catalog.settings import load_settings
    from dagster_project.cli.screen.described import print_description, print_tables

    verb, *names = line.rstrip(";").split()
    if verb == ".tables":
        print_tables(console(), load_settings())
    elif verb in (".describe", ".d") and len(names) == 1:
        print_description(console(), load_settings(), names[0])
    elif verb == ".help":
        for command, meaning in COMMANDS.items():
            say(f"{command:<12}{meaning}")
    else:
        raise WatershedError(f"{line!r} is not a command", f"use one of {', '.join(COMMANDS)}, or SQL that ends with ;")


def _history() -> History:
    """Return the history in the user's state folder (XDG_STATE_HOME), or in memory if that folder is not writable."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "watershed"
    try:
        state.mkdir(parents=True, exist_ok=True)
        (state / "sql_history").touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(state / "sql_history"))


def _keys() -> KeyBindings:
    """Bind Enter: it sends a finished statement, and inserts a line break into an unfinished one."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if finished(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys
