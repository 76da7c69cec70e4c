"""Failures of Spark jobs, as one line with the cause and one with the mend."""

from __future__ import annotations

import re
import traceback

from catalog.errors import WatershedError

_WITHIN_WORKER = re.compile(r"catalog\.errors\.WatershedError: (.+)")
_BROKEN_RULE = re.compile(
    r"DELTA_VIOLATE_CONSTRAINT_WITH_VALUES\] ([^\n]+)((?:\n - [^\n]+)*)|(NOT NULL constraint [^\n]+)"
)
_MISFIT = re.compile(r"\[(DELTA_[A-Z_.]*(?:SCHEMA|TYPE|MERGE|METADATA)[A-Z_.]*)\] ([^\n]+)")


_SIGNS = (
    (
        "Python worker exited unexpectedly",
        "a Python worker of Spark died, perhaps because memory ran out",
        "run the same command again; [spark] master = local[1] works on one partition at a time",
    ),
    (
        r"DELTA_CONCURRENT_\w+|DELTA_(?:PROTOCOL|METADATA)_CHANGED|"
        r"(?:Concurrent(?:Append|DeleteRead|DeleteDelete|Transaction|Write)|ProtocolChanged|MetadataChanged)Exception",
        "another process wrote it at the same time",
        "wait until that process has ended, and run the same command again: what is finished is not made again",
    ),
    ("No space left on device", "the disk is full", "free some space and run it again"),
    ("Java heap space|java.lang.OutOfMemoryError", "Spark ran out of memory", "raise [spark] driver_memory"),
)
"""What messages of Spark, Java and Delta hold, the cause that it means, and the mend."""
_CALL = re.compile(r"^An error occurred while calling |^$")
_CLASS = re.compile(r"^:? ?(?:[a-z]\w*\.)+\w+: ")
_RAISED = re.compile(r"^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning): .*", re.MULTILINE)
_NO_JAVA = re.compile(
    "Answer from Java side is empty|Error while sending or receiving|Error while obtaining a new connection|"
    "error occurred while trying to connect to the Java server"
)
LONGEST = 300
"""Most characters of a message of others that are repeated; it may quote a document."""


class JavaEnded(WatershedError):
    """Spark's Java process has ended, so that every further job of this process would fail."""

    @classmethod
    def before(cls, what: str) -> JavaEnded:
        """The error for `what` ("dclm.scores was not written"), which was not done because of it."""
        return cls(
            f"{what}: Spark's Java process ended, perhaps because memory ran out",
            "run the same command again: what was finished is kept; lower [spark] driver_memory if it happens again",
        )


def java_ended(error: BaseException) -> bool:
    """Whether a call of Java failed because Java's process is gone."""
    if isinstance(error, ConnectionError):
        return any("py4j" in frame.filename for frame in traceback.extract_tb(error.__traceback__))
    return bool(_NO_JAVA.search(str(error)))


def mendable(error: Exception, name: str) -> Exception:
    """The error to raise for a failure while the table `name` was written, most of them of Spark.

    It is a WatershedError with the cause in one line if the user can fix it; otherwise `error` itself, which is a bug.
    """
    if isinstance(error, WatershedError):
        return error
    message = str(error)
    if found := _WITHIN_WORKER.search(message):
        cause, _, mend = found.group(1).strip().rpartition("; ")
        return WatershedError(cause or mend, mend)
    if java_ended(error):
        return JavaEnded.before(f"{name} was not written")
    stands = "the version before stands; mend the rows and run it again"
    known: tuple[str, str] | None = None
    if found := _BROKEN_RULE.search(message):
        rule = (found.group(1) or found.group(3)).strip().rstrip(".")
        values = ", ".join(line.removeprefix(" - ") for line in (found.group(2) or "").splitlines() if line)
        known = f"{rule} {values}".rstrip(), stands
    elif found := _MISFIT.search(message):
        known = found.group(2).strip(), stands
    else:
        known = next(((cause, mend) for sign, cause, mend in _SIGNS if re.search(sign, message)), None)
    return WatershedError(f"{name} was not written: {known[0]}", known[1]) if known else error


def one_line(message: str) -> str:
    """The line of a message of Spark, Java or Python that says what failed, in at most LONGEST characters.

    Java's messages begin with the call that failed and end with a stack trace. Those of Spark's Python workers hold a
    traceback, whose last line says what was raised.
    """
    if "Traceback (most recent call last)" in message and (raised := _RAISED.findall(message)):
        line = raised[-1]
    else:
        lines = [line.strip() for line in message.splitlines()]
        line = next((line for line in lines if not _CALL.search(line)), "")
        line = _CLASS.sub("", line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 4]} ..."
