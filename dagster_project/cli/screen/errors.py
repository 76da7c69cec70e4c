"""How the command line speaks of what the user can mend: the cause, the mend, exit code 2, no traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import click

from catalog.errors import WatershedError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def user_errors(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A command whose WatershedError or TrainerError becomes two lines on stderr and exit code 2."""

    @functools.wraps(command)
    def told(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except WatershedError as error:
            quit_with(error.cause, error.mend)
        except Exception as error:
            from trainers.process.errors import TrainerError

            if isinstance(error, TrainerError):
                quit_with(error.cause, error.mend)
            raise

    return told


def say_error(cause: str, mend: str) -> None:
    """Print the two lines."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {cause}", err=True)
    click.echo(f"{click.style('mend:', bold=True)}  {mend}", err=True)


def quit_with(cause: str, mend: str) -> NoReturn:
    """Print the two lines and exit with 2."""
    say_error(cause, mend)
    sys.exit(2)
