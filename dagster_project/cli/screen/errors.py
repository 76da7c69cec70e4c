"""Errors that the user can mend: two lines on stderr with cause and mend, exit code 2, and no traceback."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import NoReturn, ParamSpec, TypeVar

from catalog.errors import WatershedError
from dagster_project.cli.screen.interruption import Watch
from dagster_project.cli.screen.say import say

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


NOTHING_CHANGED = "nothing was changed"
RUN_AGAIN = "what was finished is kept, and the same command goes on with the rest"

LONGEST = 300
"""Most characters of a cause that are printed: a value that is named in it may be a whole document."""


def user_errors(
    kept: str = NOTHING_CHANGED, *, signals: bool = True
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Decorate a command: a WatershedError or TrainerError is printed as two lines, and the exit code is 2.

    Ctrl+C and SIGTERM end the command within seconds with one line and the exit codes 130 and 143.

    Args:
        kept: What remains of the work when the command is interrupted, and how to continue.
        signals: False for a command that handles signals by itself.
    """

    def decorate(command: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @functools.wraps(command)
        def with_user_errors(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            watch = Watch(kept)
            with watch.watching() if signals else nullcontext():
                try:
                    return command(*args, **kwargs)
                except (Exception, KeyboardInterrupt) as error:
                    if signals and watch.received(error):
                        watch.leave()
                    _explain(error)
                    raise

        return with_user_errors

    return decorate


def _explain(error: BaseException) -> None:
    """Print an error that the user can mend and exit with code 2; return for any other error."""
    if isinstance(error, WatershedError):
        exit_with_error(error.cause, error.mend)
    from trainers.process.errors import TrainerError

    if isinstance(error, TrainerError):
        exit_with_error(error.cause, error.mend)


def print_error(cause: str, mend: str) -> None:
    """Print an error as two lines on stderr: its cause, and how to mend it."""
    say(_limited(cause), label="error:", err=True, fg="red", bold=True)
    say(f" {mend}", label="mend:", err=True, bold=True)


def _limited(text: str) -> str:
    line = " ".join(text.splitlines())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 40]} ... ({len(line):,} characters in all)"


def exit_with_error(cause: str, mend: str) -> NoReturn:
    """Print an error as `print_error` does, and exit with code 2."""
    print_error(cause, mend)
    sys.exit(2)
