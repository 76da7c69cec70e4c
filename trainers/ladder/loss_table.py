"""Forecasts from a table of runs: CSV with name, params and tokens, and a column for each loss.

    name,params,tokens,c4,wikitext
    11M,1.1e7,2.2e8,4.71,5.02

A loss that was not measured is an empty cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from trainers.ladder.csv_rows import CsvTable, read_csv
from trainers.ladder.laws import Array, one_thread
from trainers.ladder.loss_holdout import LossFit, fit_losses
from trainers.ladder.loss_law import FEWEST, LossForecast
from trainers.ladder.runs import TOKENS_PER_PARAMETER, Target
from trainers.process.errors import TrainerError

NAME, PARAMS, TOKENS = "name", "params", "tokens"
DIVERGED = 1.1
"""A run whose loss is this many times that of a run with no more parameters and no more tokens has diverged, and so has
one whose loss is this many times that of a larger run, times how much larger that is in parameters or tokens."""


@dataclass(frozen=True, kw_only=True)
class LossTable:
    """The runs of a table."""

    names: tuple[str, ...]
    parameters: Array
    """(R,)"""
    tokens: Array
    losses: Mapping[str, Array]
    """By column: (R,), NaN where it was not measured."""
    notes: tuple[str, ...]
    """What was mended on reading."""


@dataclass(frozen=True, kw_only=True)
class ColumnForecast:
    """One column's fit and forecasts."""

    fit: LossFit
    targets: Mapping[str, LossForecast]
    note: str
    """The weights of the forms, and what hold-outs say of the bands."""


def read_loss_table(path: Path, wanted: Sequence[str] = ()) -> LossTable:
    """The runs, as given; a row that is in the file twice counts once.

    Args:
        path: of the CSV file.
        wanted: columns of losses; all where none is named.

    Raises:
        TrainerError: the file cannot be read, lacks a column or has one twice, a number is missing, not finite or not
            positive, two rows of one name differ, a run diverged, or there are fewer than three runs or two sizes.
    """
    table = read_csv(path)
    table.require(NAME, PARAMS, TOKENS)
    table.require(*wanted)
    columns = [name for name in table.header if name and name not in (NAME, PARAMS, TOKENS)]
    columns = [name for name in columns if not wanted or name in wanted]
    if not columns:
        raise TrainerError(f"{path} has no column of losses", "add one column a loss, such as c4")
    rows, notes = _distinct(table)
    names = tuple(row[NAME] for row in rows)
    found = {
        name: table.numbers(name, rows, positive=True, may_lack=name in columns) for name in (PARAMS, TOKENS, *columns)
    }
    for at, ratio in enumerate(found[TOKENS] / found[PARAMS]):
        if not TOKENS_PER_PARAMETER[0] <= ratio <= TOKENS_PER_PARAMETER[1]:
            raise TrainerError(
                f"{path}: run {names[at]} has {ratio:.1g} tokens a parameter",
                "give params and tokens as plain numbers, not in millions or billions",
            )
    for column in columns:
        _check_column(path, column, names, found)
    notes += _alike(path, names, found)
    return LossTable(
        names=names,
        parameters=found[PARAMS],
        tokens=found[TOKENS],
        losses={column: found[column] for column in columns},
        notes=tuple(notes),
    )


def _distinct(table: CsvTable) -> tuple[list[dict[str, str]], list[str]]:
    first: dict[str, dict[str, str]] = {}
    notes = []
    for line, row in zip(table.lines, table.rows, strict=True):
        name = row[NAME]
        if not name:
            raise TrainerError(f"{table.path}, line {line}: a run without a name", "name every run")
        if name in first and {**first[name]} != {**row}:
            raise TrainerError(
                f"{table.path}, line {line}: a second run {name!r} differs", "give runs names of their own"
            )
        if name in first:
            notes.append(f"{table.path.name}, line {line}: run {name!r} is listed twice and counts once")
        first.setdefault(name, row)
    return list(first.values()), notes


def _alike(path: Path, names: Sequence[str], found: Mapping[str, Array]) -> list[str]:
    """A note for each run that has all numbers of an earlier one, which may be a copy of it or another seed."""
    seen: dict[bytes, str] = {}
    rows = np.stack([*found.values()], axis=1)
    pairs = [(name, seen.setdefault(row.tobytes(), name)) for name, row in zip(names, rows, strict=True)]
    return [
        f"{path.name}: runs {first!r} and {name!r} have the same numbers; both count"
        for name, first in pairs
        if first != name
    ]


def _check_column(path: Path, column: str, names: Sequence[str], found: Mapping[str, Array]) -> None:
    loss, n, d = found[column], found[PARAMS], found[TOKENS]
    there = np.isfinite(loss)
    if there.sum() < FEWEST or len(set(n[there])) < 2:
        raise TrainerError(
            f"{path}: column {column!r} has {there.sum()} runs of {len(set(n[there]))} sizes",
            f"give at least {FEWEST} runs of two sizes",
        )
    for run in np.flatnonzero(there):
        ahead = np.maximum(1.0, np.maximum(n / n[run], d / d[run]))
        allowed = np.where(there, DIVERGED * ahead * loss, np.inf)
        other = int(np.argmin(allowed))
        if loss[run] > allowed[other]:
            which = "the smaller " if ahead[other] == 1 else ""
            raise TrainerError(
                f"{path}: {column} of run {names[run]} is {loss[run]:g}, above the {loss[other]:g} of {which}"
                f"{names[other]}: it diverged",
                "leave the run out",
            )


def forecast_table(table: LossTable, targets: Sequence[Target]) -> dict[str, ColumnForecast]:
    """The forecast of every column for every target.

    Args:
        table: of at least three runs.
        targets: each with more compute than the largest run.

    Raises:
        TrainerError: no target, two of one name, or one that takes less compute than the largest run.
    """
    if not targets:
        raise TrainerError("there is no target to forecast", "name one with --targets NAME=PARAMS,TOKENS")
    compute = table.parameters * table.tokens
    largest = table.names[int(np.argmax(compute))]
    names = [target.name for target in targets]
    for target in targets:
        if names.count(target.name) > 1:
            raise TrainerError(f"two targets are called {target.name}", "give targets names of their own")
        if target.parameters * target.tokens < compute.max():
            raise TrainerError(
                f"target {target.name} is smaller than the largest run, {largest}",
                "name a target that takes more compute; what lies inside the runs is measured, not forecast",
            )
    found = {}
    with one_thread():
        for column, losses in table.losses.items():
            there = np.isfinite(losses)
            fit = fit_losses(table.parameters[there], table.tokens[there], losses[there])
            forecasts = {target.name: fit.forecast(target.parameters, target.tokens) for target in targets}
            found[column] = ColumnForecast(fit=fit, targets=forecasts, note=_note(fit, targets[0]))
    return found


def as_dict(found: Mapping[str, ColumnForecast]) -> dict[str, dict[str, dict[str, float]]]:
    """`{target: {column: {loss, low, high}}}`."""
    targets = next(iter(found.values())).targets
    return {
        target: {
            column: {name: asdict(forecast.targets[target])[name] for name in ("loss", "low", "high")}
            for column, forecast in found.items()
        }
        for target in targets
    }


def _note(fit: LossFit, target: Target) -> str:
    at = (target.parameters, target.tokens)
    forms = ", ".join(f"{form} {weight:.0%}" for form, weight in fit.weights(*at).items())
    errors, (factor, share) = fit.errors(*at), fit.calibration(*at)
    if share is None:
        return f"forms: {forms}; too few runs to hold any out: the bands are those of published laws"
    held = ", ".join(f"{form} {error:.1%}" for form, error in errors.items())
    return (
        f"forms: {forms}; error on held-out runs: {held}; bands {factor:.2f} times the posterior's hold {share:.0%} of"
        f" them, counted by how near their reach is to that of {target.name}"
    )
