"""Hold-outs inside a ladder: its smaller runs forecast its larger ones, which says what protocol to trust and how far.

A target's own measurement is never asked for. Protocols are chosen where a ladder is most like its purpose: all sizes
but the largest forecast all runs of the largest. How far to trust that choice is
measured on five other splits, each with the error of a real forecast:
    compute   runs of at most a tenth of the largest run's FLOPs forecast the runs above a third of it
    near      runs of at most four tenths of the largest run's FLOPs forecast the others
    size      the smaller sizes forecast the largest one's longer runs
    multiple  shorter runs forecast the longest run of each size
    corner    smaller sizes' shorter runs forecast the largest run
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.ladder.laws import Array
from trainers.ladder.protocols import CANDIDATES, Fitter, Protocol
from trainers.ladder.runs import LadderRuns, Run

TOLERANCE = 1.2
"""`auto` averages the protocols whose hold-out error is within this factor of the best one's: few runs do not separate
these."""
NEAREST = float(np.log(2.0))
"""Least log of compute that a forecast counts as reaching ahead."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Runs to fit and runs to forecast."""

    name: str
    fit: tuple[Run, ...]
    held: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Error:
    """One forecast of a held-out run."""

    split: str
    run: str
    task: str
    error: float
    """Forecast less measured accuracy, 0..1."""
    reach: float
    """As `reach` says."""


def splits(runs: Sequence[Run]) -> list[Split]:
    """The splits that this ladder is large enough for."""
    flops, size = max(run.flops for run in runs), max(run.parameters for run in runs)
    longest = {run.size: max(other.multiple for other in runs if other.size == run.size) for run in runs}
    small, short = ([r.parameters < size for r in runs], [r.multiple < longest[r.size] for r in runs])
    wanted = {
        "compute": ([r for r in runs if r.flops <= 0.105 * flops], [r for r in runs if r.flops > flops / 3]),
        "near": ([r for r in runs if r.flops <= 0.4 * flops], [r for r in runs if r.flops > 0.4 * flops]),
        "size": (
            [r for r, is_small in zip(runs, small, strict=True) if is_small],
            [r for r in runs if r.parameters == size and r.multiple >= 0.4 * longest[r.size]],
        ),
        "multiple": (
            [r for r, is_short in zip(runs, short, strict=True) if is_short],
            [r for r, is_short in zip(runs, short, strict=True) if not is_short],
        ),
        "corner": (
            [r for r, *both in zip(runs, small, short, strict=True) if all(both)],
            [r for r in runs if r.flops == flops],
        ),
    }
    return [Split(name=name, fit=tuple(fit), held=tuple(held)) for name, (fit, held) in wanted.items() if fit and held]


def reach(flops: float, runs: Sequence[Run]) -> float:
    """How far ahead of the largest fitted run: log of the ratio of FLOPs, at least log 2."""
    return max(float(np.log(flops / max(run.flops for run in runs))), NEAREST)


def by_size(runs: Sequence[Run]) -> Split | None:
    """The sizes below the largest, and all runs of the largest; None where there is one size."""
    largest = max(run.parameters for run in runs)
    fit = tuple(run for run in runs if run.parameters < largest)
    return Split(name="by size", fit=fit, held=tuple(run for run in runs if run.parameters == largest)) if fit else None


class HoldOuts:
    """Protocols' forecasts of held-out runs, which choose among them."""

    def __init__(
        self, ladder: LadderRuns, judged: Sequence[str] = (), candidates: Sequence[Protocol] = CANDIDATES
    ) -> None:
        """`judged` are the tasks by which protocols are chosen; all where none is named."""
        self.ladder = ladder
        self.tasks = tuple(ladder.chance)
        self.judged = [self.tasks.index(task) for task in judged or self.tasks]
        self.candidates = tuple(candidates)
        self.splits = splits(ladder.runs)
        self._fitters: dict[tuple[str, ...], Fitter] = {}
        self._chosen: dict[tuple[str, ...], list[int]] = {}

    def errors(self, split: Split) -> Array:
        """Of shape (protocols, tasks, held-out runs): forecast less measured accuracy; NaN where the protocol cannot
        be fitted to the split's runs."""
        names = tuple(run.name for run in split.fit)
        fitter = self._fitters.setdefault(names, Fitter(split.fit, dict(self.ladder.chance)))
        found = np.full((len(self.candidates), len(self.tasks), len(split.held)), np.nan)
        for row, protocol in enumerate(self.candidates):
            fits = [fitter.fit(protocol, task) for task in self.tasks]
            for column, (task, fitted) in enumerate(zip(self.tasks, fits, strict=True)):
                # A protocol is judged on all tasks or on none.
                if fitted and None not in fits:
                    found[row, column] = [fitted.accuracy(run) - run.measured(task) for run in split.held]
        return found

    def scores(self, runs: Sequence[Run]) -> Array:
        """Every protocol's mean absolute error, 0..1, where the smaller sizes of `runs` forecast the largest; NaN of
        one that they cannot be fitted by."""
        split = by_size(runs)
        if split is None:
            return np.full(len(self.candidates), np.nan)
        return np.abs(self.errors(split)[:, self.judged]).mean(axis=(1, 2))

    def chosen(self, runs: Sequence[Run], tolerance: float = TOLERANCE) -> list[int]:
        """Indices of the protocols within `tolerance` of the least score, best first; all where none was scored."""
        names = tuple(run.name for run in runs)
        if names not in self._chosen:
            scores = self.scores(runs)
            order = [int(index) for index in np.argsort(scores, kind="stable") if np.isfinite(scores[index])]
            within = [index for index in order if scores[index] <= tolerance * scores[order[0]]]
            self._chosen[names] = within or list(range(len(self.candidates)))
        return self._chosen[names]

    def forecasts(self) -> list[Error]:
        """Errors on every split of the mean of the protocols that the split's own runs chose."""
        found = []
        for split in self.splits:
            errors = self.errors(split)[self.chosen(split.fit)]
            usable = errors[np.isfinite(errors).all(axis=(1, 2))]
            if len(usable):
                found += _named(split, self.tasks, usable.mean(axis=0))
        return found


def fixed_forecasts(ladder: LadderRuns, protocol: Protocol) -> list[Error]:
    """Errors on every split of a protocol that was chosen beforehand."""
    holdouts = HoldOuts(ladder, candidates=[protocol])
    return [
        error
        for split in holdouts.splits
        if np.isfinite(errors := holdouts.errors(split)[0]).all()
        for error in _named(split, holdouts.tasks, errors)
    ]


def _named(split: Split, tasks: Sequence[str], errors: Array) -> list[Error]:
    return [
        Error(split=split.name, run=run.name, task=task, error=float(error), reach=reach(run.flops, split.fit))
        for task, row in zip(tasks, errors, strict=True)
        for run, error in zip(split.held, row, strict=True)
    ]
