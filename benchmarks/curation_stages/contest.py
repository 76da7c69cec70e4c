"""One comparison: the same documents through a peer's code and ours, in turns, and how far the outputs agree.

What is timed is processor time, user and system, of this process and of all that it started, so that work beside it
on the machine counts for neither side. Of several rounds the least is taken: it has the fewest disturbances in it.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import psutil

ROUND_SECONDS = 0.25
"""A side that finishes earlier runs several times in a round."""
ONE_THREAD = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")


class Agreement(NamedTuple):
    """How far two outputs are the same."""

    share: float
    """The equal share of what was compared, 0..1."""
    compared: str
    """What was compared, and what else was measured of the outputs."""


@dataclass(frozen=True, kw_only=True)
class Contest(Generic[Ours, Theirs]):
    """The same work done twice."""

    stage: str
    peer: str
    ours: Callable[[], Ours]
    theirs: Callable[[], Theirs]
    bytes: int
    """Of the input: HTML before compression, or UTF-8 of text."""
    documents: int
    agree: Callable[[Ours, Theirs], Agreement]
    """Computes the agreement of the last results of both sides."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """The result of a contest. MB are millions of bytes of input."""

    stage: str
    peer: str
    peer_mb_s: float
    ours_mb_s: float
    ratio: float
    """Ours over the peer's."""
    agreement: float
    """0..1, of what `compared` says."""
    compared: str
    peer_documents_s: float
    ours_documents_s: float
    documents: int
    megabytes: float


def on_one_core() -> int:
    """Pin this process, its threads and its child processes to one core; return its number.

    Call it before libraries with thread pools of their own are imported.
    """
    for name in ONE_THREAD:
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def processor_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time that `work` takes, here and in processes started here, and what it returns."""
    others, reaped, own = _live_children(), _reaped_children(), time.process_time()
    result = work()
    spent = time.process_time() - own
    return spent + (_reaped_children() + _live_children() - reaped - others), result


def run(contest: Contest[Any, Any], rounds: int, report: Callable[[str], None]) -> Row:
    """Run both sides in turns.

    Args:
        contest: what is compared.
        rounds: turns of each side.
        report: called with a line of progress before each turn.
    """
    best = [float("inf"), float("inf")]
    repeats = [1, 1]
    results: list[Any] = [None, None]
    for number in range(1, rounds + 1):
        for side, work in enumerate((contest.theirs, contest.ours)):
            report(f"{contest.stage}: round {number} of {rounds}, {(contest.peer, 'ours')[side]}")
            count = repeats[side]

            def turn(work: Callable[[], Any] = work, count: int = count) -> Any:
                for _ in range(count - 1):
                    work()
                return work()

            seconds, results[side] = processor_seconds(turn)
            # The first turn may have compiled or loaded; from it alone no number of repeats follows.
            best[side] = min(best[side], seconds / count)
            repeats[side] = max(1, min(100, round(ROUND_SECONDS / max(best[side], 1e-6))))
    theirs, ours = best
    share, compared = contest.agree(results[1], results[0])
    megabytes = contest.bytes / 1e6
    return Row(
        stage=contest.stage,
        peer=contest.peer,
        peer_mb_s=megabytes / theirs,
        ours_mb_s=megabytes / ours,
        ratio=theirs / ours,
        agreement=share,
        compared=compared,
        peer_documents_s=contest.documents / theirs,
        ours_documents_s=contest.documents / ours,
        documents=contest.documents,
        megabytes=megabytes,
    )


def equal_share(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Share of places at which two sequences of one length are equal; 1 of none."""
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} outputs of ours cannot be compared with {len(theirs)}")
    return sum(a == b for a, b in zip(ours, theirs, strict=True)) / len(ours) if ours else 1.0


def _reaped_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _live_children() -> float:
    """Processor time of what was started and still runs, and of what that started."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
