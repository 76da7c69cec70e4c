"""What strangers wrote never drives the terminal: escape sequences and bidirectional controls are replaced."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_cli_query import _write_archive

import dagster_project.cli
from catalog.printable import one_line, printable
from catalog.settings import Settings
from dagster_project.cli import main
from dagster_project.cli.screen.render import cell
from tests.small_lake import WARC, doc_id, plant

SPOOFED, CSI = chr(0x202E), chr(0x9B)
HOSTILE = f"\x1b]0;owned\x07\x1b[2J\x1b[31m{SPOOFED}{CSI}2J\x08gpj"
"""Sets the title, clears the screen, changes the colour, turns the direction, and goes back by one character."""
SHOWN = "·]0;owned··[2J·[31m··2J·gpj"
DRIVES = ("\x1b]", "\x1b[2J", "\x1b[31mgpj", SPOOFED, CSI, "\x07", "\x08")


def assert_harmless(output: str) -> None:
    assert [repr(sequence) for sequence in DRIVES if sequence in output] == []


def watershed(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert "Traceback" not in result.output
    return result.output


def on_a_terminal(*arguments: str) -> str:
    """Run the command line with a real terminal as stdout, and return the bytes that the terminal received."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dagster_project", *arguments]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": "200"})
    os.close(theirs)
    received = b""
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:
            # Linux's end of a terminal.
            break
        if not piece:
            break
        received += piece
    os.close(ours)
    assert process.wait() == 0, received.decode()
    return received.decode()


@pytest.fixture
def hostile(lake: Settings, tmp_path: Path) -> Settings:
    """A lake whose third document has a hostile address, archive and text."""
    page = f"<html><body><p>The lake {HOSTILE} fills in spring, and turns the mill below the village.</p></body></html>"
    path, offset = _write_archive(tmp_path / "crawl" / WARC, page.encode())
    plant(lake, "dclm.pool", {0: {"uri": str(path)}})
    changes = {"url": f"https://lake.example/{HOSTILE}", "text": HOSTILE, "record_offset": offset}
    plant(lake, "dclm.documents", {2: {**changes, "payload_digest": HOSTILE}})
    return lake


def test_the_text_of_strangers_is_replaced_character_by_character() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("ein\tWort\r\nund\nnoch eins\rweg") == "ein\tWort\nund\nnoch eins⏎weg"
    assert printable("水は流れる, água, 🏔") == "水は流れる, água, 🏔"
    assert one_line("a\r\nb\tc") == "a⏎b c"
    assert one_line(HOSTILE) == cell(HOSTILE) == SHOWN


@pytest.mark.parametrize("options", [("trace", doc_id(2)), ("trace", "train/0/0"), ("describe", "dclm.documents")])
def test_trace_and_describe_replace_what_drives_the_terminal(hostile: Settings, options: tuple[str, ...]) -> None:
    output = watershed(*options)
    assert_harmless(output)
    assert "owned" in output or options[0] == "describe"


def test_the_text_of_a_document_does_not_drive_a_terminal(hostile: Settings) -> None:
    output = on_a_terminal("trace", doc_id(2), "--text")
    assert_harmless(output)
    assert output.count("]0;owned") >= 2, "the address and the text are shown"


@pytest.mark.parametrize("format", ["csv", "json", "table"])
def test_rows_for_programs_are_replaced_on_a_terminal(hostile: Settings, format: str) -> None:
    query = f"SELECT url, text FROM dclm.documents WHERE doc_id = '{doc_id(2)}'"
    output = on_a_terminal("sql", query, "--format", format)
    assert_harmless(output)
    assert "owned" in output


def test_rows_for_programs_are_exact_in_a_pipe(hostile: Settings) -> None:
    query = f"SELECT text FROM dclm.documents WHERE doc_id = '{doc_id(2)}'"
    assert HOSTILE in watershed("sql", query, "--format", "csv")
    (row,) = json.loads(CliRunner().invoke(main, ["sql", query, "--format", "json"]).stdout)
    assert row["text"] == HOSTILE


@pytest.mark.parametrize("format", ["text", "github"])
def test_the_examples_of_a_failed_check_are_replaced(hostile: Settings, format: str) -> None:
    plant(hostile, "dclm.documents", {0: {"doc_id": HOSTILE}, 1: {"doc_id": HOSTILE}})
    result = CliRunner().invoke(main, ["check", "dclm.documents", "--format", format])
    assert result.exit_code == 1
    assert_harmless(result.output)


@pytest.mark.slow
def test_curate_explains_a_hostile_document_harmlessly(tmp_path: Path) -> None:
    lines = [{"id": HOSTILE, "text": f"Water {HOSTILE} runs downhill.", "url": f"https://a.example/{HOSTILE}"}]
    path = tmp_path / "documents.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    arguments = ("curate", str(path), "--recipe", "c4", "--out", str(tmp_path / "out"))
    explained = watershed(*arguments, "--explain", HOSTILE)
    assert f"document {SHOWN}  https://a.example/{SHOWN}" in explained
    assert_harmless(explained)
    assert_harmless(watershed(*arguments, "--explain", f"no such {HOSTILE}"))


def test_an_unexpected_error_that_quotes_a_page_is_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    from dagster_project.cli.screen.say import print_traceback

    try:
        raise ValueError(f"cannot parse {HOSTILE}")
    except ValueError as error:
        print_traceback(type(error), error, error.__traceback__)
    printed = capsys.readouterr().err
    assert_harmless(printed)
    assert printed.endswith(f"ValueError: cannot parse {SHOWN}\n")


def test_no_command_prints_except_through_the_module_say() -> None:
    others: list[str] = []
    for path in sorted(Path(dagster_project.cli.__file__).parent.rglob("*.py")):
        if path.name == "say.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "click.echo", "click.secho", "print", "Console", "sys.stdout.buffer.write", "sys.stdout.write",
                "rich.print",
            ):  # fmt: skip
                others.append(f"{path.name}:{node.lineno}: {ast.unparse(node.func)}")
    assert others == []
