"""Errors that a user can correct: one line of cause, one of remedy, exit code 2, no traceback."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

EXIT_USER_ERROR = 2
EXIT_NO_READER = 3
EXIT_RESUME = 75
"""A run stopped when asked to, with everything saved: start it again (EX_TEMPFAIL of sysexits.h)."""
EXIT_INTERRUPTED = 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of an operating system that has no room for what is written."""


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


class RunStoppedError(Exception):
    """A run that stopped when asked to. Its state is saved; started again, it goes on."""


def no_room(error: OSError) -> TrainerError:
    """What to say of a file that the disk has no room for; raises any other error again."""
    if error.errno not in FULL:
        raise error
    where = error.filename or "the output"
    return TrainerError(
        f"{where} cannot be written: {error.strerror}",
        "free some space, or choose another `out` folder; a run goes on from its last checkpoint",
    )


def exit_code(work: Callable[[], object]) -> int:
    """Run `work` for a command line: 0 when it returns, 2 with cause and mend on stderr for a TrainerError.

    75 when a run stopped because SIGTERM or Ctrl+C asked it to, and is to be started again; 130 for Ctrl+C at any other
    time, and 3 when the reader of the progress on stdout is gone: then no parent waits for this process, and
    it ends at its next line instead of training beside the process that will replace it.
    """
    try:
        work()
    except TrainerError as error:
        return _told(error)
    except RunStoppedError as stopped:
        print(f"stopped: {stopped}\nmend: start it again; it goes on from there", file=sys.stderr, flush=True)
        return EXIT_RESUME
    except KeyboardInterrupt:
        print("interrupted by Ctrl+C: a run goes on from its last checkpoint", file=sys.stderr, flush=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout when it ends, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_NO_READER
    except OSError as error:
        return _told(no_room(error))
    return 0


def _told(error: TrainerError) -> int:
    print(f"error: {error.cause}\nmend: {error.mend}", file=sys.stderr, flush=True)
    return EXIT_USER_ERROR
