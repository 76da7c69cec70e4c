"""Errors that a user can correct: one line of cause, one of remedy, exit code 2, no traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

EXIT_USER_ERROR = 2
EXIT_NO_READER = 3
EXIT_INTERRUPTED = 130


class TrainerError(Exception):
    """An error outside the code: a missing file, a wrong option, a diverged run.

    `cause` names the file, field or shard and what is wrong with it; `mend` says what to do. Both are one line.
    """

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(cause)
        self.cause = cause
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.cause}\nmend: {self.mend}"


def exit_code(work: Callable[[], object]) -> int:
    """Run `work` for a command line: 0 when it returns, 2 with cause and mend on stderr for a TrainerError.

    130 for Ctrl+C, and 3 when the reader of the progress on stdout is gone: then no parent waits for this process, and
    it ends at its next line instead of training beside the process that will replace it.
    """
    try:
        work()
    except TrainerError as error:
        print(f"error: {error.cause}\nmend: {error.mend}", file=sys.stderr, flush=True)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("interrupted by Ctrl+C: a run goes on from its last checkpoint", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_NO_READER
    return 0
