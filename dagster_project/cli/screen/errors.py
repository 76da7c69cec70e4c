"""Errors that the user can mend: two lines on stderr with cause and mend, exit code 2, and no traceback."""

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
    """Decorate a command: a WatershedError or TrainerError is printed as two lines, and the exit code is 2."""

    @functools.wraps(command)
    def with_user_errors(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        try:
            return command(*args, **kwargs)
        except WatershedError as error:
            exit_with_error(error.cause, error.mend)
        except Exception as error:
            from trainers.process.errors import TrainerError

            if isinstance(error, TrainerError):
                exit_with_error(error.cause, error.mend)
            raise

    return with_user_errors


def print_error(cause: str, mend: str) -> None:
    """Print an error as two lines on stderr: its cause, and how to mend it."""
    click.echo(f"{click.style('error:', fg='red', bold=True)} {cause}", err=True)
    click.echo(f"{click.style('mend:', bold=True)}  {mend}", err=True)


def exit_with_error(cause: str, mend: str) -> NoReturn:
    """Print an error as `print_error` does, and exit with code 2."""
    print_error(cause, mend)
    sys.exit(2)
