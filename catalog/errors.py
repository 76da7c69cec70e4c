"""The error of everything that a user can mend: what went wrong, and what to do about it."""

from __future__ import annotations


class WatershedError(Exception):
    """A failure whose cause lies outside the code: input, configuration, machine.

    The command line prints `cause` and `mend` as two lines and exits with 2; no traceback.

    Args:
        cause: one line with the place and the reason ("lake/dclm/pool: no Delta table here").
        mend: one line that says what to do next ("run `watershed demo`, or set [lake] root").
    """

    def __init__(self, cause: str, mend: str) -> None:
        super().__init__(f"{cause}; {mend}")
        self.cause = cause
        self.mend = mend

    def __reduce__(self) -> tuple[type[WatershedError], tuple[str, str]]:
        return type(self), (self.cause, self.mend)


class OvertakenError(WatershedError):
    """Another process has written a table since the version that new rows were made from. Nothing was written."""
