"""The output of `--help`: every command and option is explained in sentences, and every example can be typed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from dagster_project.cli import COMMANDS, main

CHEAP = (
    'watershed sql "SELECT 1"',
    "watershed tables",
    "watershed describe dclm.documents",
    "watershed describe dclm.documents --card",
    "watershed plan --scale 7B-1x",
    "watershed plan --scale OLMoE-1B-7B",
    "watershed plan --scale 190M-5xC --json",
    "watershed plan --params 6.9B --active 1.3B --tokens 5T --gpus 256",
    "watershed ladder plan --target 7B-4T --budget 1%",
    "watershed ladder plan --target 13B-5xC --budget 2e21 --gpu b200 --json",
    "watershed evals tasks",
)
"""Examples that need no table and take at most a second."""


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and all its subcommands, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(found, (*path, name))


ALL = dict(commands(main))


def examples(command: click.Command) -> list[str]:
    """Return the lines of the help below "Examples:" that begin with `watershed`."""
    _, _, block = (command.help or "").partition("Examples:\n")
    return [line.strip() for line in block.splitlines() if line.strip().startswith("watershed ")]


EXAMPLES = [example for command in ALL.values() for example in examples(command)]


def parsed(words: Sequence[str], command: click.Command = main) -> click.Command:
    """Return the command that the words call, after click has parsed all of them.

    Raises:
        click.UsageError: The words are not a valid command.
    """
    if not isinstance(command, click.Group):
        command.make_context(" ".join(words) or "watershed", list(words))
        return command
    found = command.get_command(click.Context(command), words[0])
    if found is None:
        raise click.UsageError(f"no command {words[0]!r}")
    return parsed(words[1:], found)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with the files that must exist for the examples to be parsed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    (tmp_path / "watershed.toml").write_text('[lake]\nroot = "lake"\n')
    (tmp_path / "mmlu.jsonl").write_text('{"question": "Which river is the longest of all?"}\n')
    (tmp_path / "first").mkdir()
    return tmp_path


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_every_command_has_an_example_of_itself(path: tuple[str, ...]) -> None:
    shown = examples(ALL[path])
    assert shown
    assert all(shlex.split(example)[1 : 1 + len(path)] == list(path) for example in shown)


@pytest.mark.parametrize("path", list(ALL), ids=" ".join)
def test_every_option_is_explained_by_sentences(path: tuple[str, ...]) -> None:
    for parameter in ALL[path].params:
        if isinstance(parameter, click.Option):
            text = parameter.help or ""
            assert text[:1].isupper(), parameter.opts
            assert text.endswith("."), parameter.opts
            assert len(text.split()) >= 4, parameter.opts


@pytest.mark.parametrize("path", [path for path in ALL if path], ids=" ".join)
def test_the_short_help_of_a_command_is_a_whole_sentence(path: tuple[str, ...]) -> None:
    first = (ALL[path].help or "").partition("\n\n")[0]
    assert first.rstrip().endswith((".", ":")), first


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_can_be_typed(example: str, folder: Path) -> None:
    words = shlex.split(example)[1:]
    assert not isinstance(parsed(words), click.Group)


def test_an_example_that_cannot_be_typed_would_be_found(folder: Path) -> None:
    for wrong in ("plan --skale 7B-1x", "curate documents.jsonl --recipe c4", "check --engine abacus", "tabels"):
        with pytest.raises(click.UsageError):
            parsed(list(wrong.split()))


@pytest.mark.parametrize("example", CHEAP)
def test_a_cheap_example_runs(example: str, folder: Path) -> None:
    assert example in EXAMPLES
    done = CliRunner().invoke(main, shlex.split(example)[1:])
    assert done.exit_code == 0, done.output


def test_the_first_example_of_curate_runs(folder: Path) -> None:
    example = examples(ALL[("curate",)])[0]
    (folder / "documents.jsonl").write_text(json.dumps({"id": "doc-17", "text": "Too short."}) + "\n")
    done = CliRunner().invoke(main, shlex.split(example)[1:])
    assert done.exit_code == 0, done.output
    assert (folder / "curated" / "report.html").is_file()


def test_the_help_lists_every_command(folder: Path) -> None:
    output = CliRunner().invoke(main, ["--help"]).stdout
    assert all(f"\n  {name} " in output for name in COMMANDS)
