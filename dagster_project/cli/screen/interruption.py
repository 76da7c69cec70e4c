"""Ctrl+C and SIGTERM: a command ends within seconds, prints what happened in one line, and leaves no process behind.

A signal raises KeyboardInterrupt in the main thread, so that temporary files are removed. That may take long: DuckDB
and Spark notice it late, Dagster replaces signal handlers by its own, and threads are waited for. Therefore a thread
watches too. It reads the numbers of signals from a pipe that Python writes to whatever the handlers are
(`signal.set_wakeup_fd`), and ends the process if it has not ended by itself.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from dagster_project.cli.screen.say import say

NAMES = {signal.SIGINT: "Ctrl+C", signal.SIGTERM: "SIGTERM"}
GRACE_S = 3.0
"""Seconds between a signal and the end of the process by force."""
NOTICE_S = 0.05
"""Seconds that the watching thread may need to read a signal that has already raised an error."""


_patient = False


@contextmanager
def patient() -> Generator[None]:
    """Let the block handle KeyboardInterrupt by itself: Ctrl+C does not end the process."""
    global _patient  # noqa: PLW0603 (a process has one terminal)
    _patient = True
    try:
        yield
    finally:
        _patient = False


class Watch:
    """Watches for signals while a command runs.

    Args:
        kept: What remains of the work, and how to continue; a sentence for the message.
    """

    def __init__(self, kept: str) -> None:
        self.kept = kept
        self._received: signal.Signals | None = None
        self._noticed = threading.Event()
        self._forced: threading.Timer | None = None

    @contextmanager
    def watching(self) -> Generator[None]:
        """Handle signals until the block ends. Only the main thread can; in another one, nothing is watched."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        handlers = {number: signal.signal(number, self._interrupt) for number in NAMES}
        before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        thread = threading.Thread(target=self._watch, args=(reading,), daemon=True, name="interruption")
        thread.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(writing)
            thread.join()
            os.close(reading)
            if self._forced:
                self._forced.cancel()

    def received(self, error: BaseException | None = None) -> bool:
        """Whether a signal was received; `error` is what the command raised, perhaps because of it."""
        return isinstance(error, KeyboardInterrupt) or self._received is not None or self._noticed.wait(NOTICE_S)

    def leave(self) -> NoReturn:
        """Print the message, end all processes that were started, and exit with 130 for Ctrl+C and 143 for SIGTERM."""
        received = self._received or signal.SIGINT
        # A progress bar hides the cursor, and the terminal shows ^C.
        if sys.stderr.isatty():
            sys.stderr.write("\x1b[?25h\n")
        with suppress(OSError):
            say(self.kept, label=f"interrupted by {NAMES[received]}:", err=True, fg="yellow", bold=True)
            sys.stdout.flush()
        end_children()
        # The interpreter would wait for threads and for Spark first.
        os._exit(128 + received)

    def _interrupt(self, number: int, frame: FrameType | None) -> NoReturn:
        self._received = self._received or signal.Signals(number)
        raise KeyboardInterrupt

    def _watch(self, reading: int) -> None:
        while numbers := os.read(reading, 64):
            known = [number for number in numbers if number in NAMES]
            if not known or (_patient and known == [signal.SIGINT]):
                continue
            self._received = self._received or signal.Signals(known[0])
            # Libraries would log the calls that the interruption breaks off.
            logging.disable()
            self._noticed.set()
            if self._forced is None:
                self._forced = threading.Timer(GRACE_S, self.leave)
                self._forced.daemon = True
                self._forced.start()


def end_children() -> None:
    """End all processes that this one started. Java is asked to, since it removes Spark's files; others are killed."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            child.terminate() if child.name() == "java" else child.kill()
