"""A request to stop, by SIGTERM or SIGINT: noted, so that a run ends after its step with everything saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT)
AGAIN_SECONDS = 2.0
"""A second Ctrl+C counts from this time on: a launcher passes on the signal that the terminal sends to all."""


class StopRequested(Exception):
    """Raised by a signal where nothing is lost by stopping at once."""


class StopSignals:
    """Takes SIGTERM and SIGINT while its block runs: they raise StopRequested, or are but noted inside `noting`.

    A second Ctrl+C interrupts at once. Outside the main thread, where Python takes no signals, nothing is taken.
    """

    def __init__(self) -> None:
        self.received = ""
        """The name of the first signal, such as "SIGTERM"; "": none came."""
        self._at = 0.0
        self._raises = True
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._take) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._raises = False
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            if number == signal.SIGINT and time.monotonic() - self._at > AGAIN_SECONDS:
                raise KeyboardInterrupt
            return
        self.received, self._at = signal.Signals(number).name, time.monotonic()
        if self._raises:
            raise StopRequested

    @contextmanager
    def noting(self) -> Generator[None]:
        """Inside the block a signal is noted in `received`, for work that must come to an end of its own."""
        yield from self._set(False)

    @contextmanager
    def raising(self, wanted: bool) -> Generator[None]:
        """Inside the block, if `wanted`, a signal raises again: for long work that may be begun again."""
        if wanted and self.received:
            raise StopRequested
        yield from self._set(wanted)

    def _set(self, raises: bool) -> Generator[None]:
        before, self._raises = self._raises, raises
        try:
            yield
        finally:
            self._raises = before
