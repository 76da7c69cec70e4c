"""Why a partition is due, in words, and where the cause lies.

A recorded fingerprint is a hash, which does not say what it was made from. The history of the lake does: computed from
the upstream fingerprints of that time, it is the recorded one if the recipe is still the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.lake import Written
    from dagster_project.engine.steps import State, Step

SHOWN = 3
"""Causes that one sentence names."""


@dataclass(frozen=True)
class Reason:
    """Why one partition of a step is due.

    Attributes:
        text: The cause, such as `its recipe changed` or `dclm.pool 0-2 is due`.
        roots: Where the causes lie, each with its place: `dclm.pool 0-2: 020.warc.gz was added`.
        ready: Whether all partitions that it is made from are up to date, so that it can be made now.
    """

    text: str
    roots: tuple[str, ...]
    ready: bool

    @property
    def sentence(self) -> str:
        """The cause, and where it lies if that is elsewhere."""
        if self.ready or not self.roots:
            return self.text
        return f"{self.text} ({joined(self.roots)})"


def joined(texts: tuple[str, ...] | list[str]) -> str:
    """`a; b; c and 4 more`."""
    more = f" and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


class Reasons:
    """The reasons of a `State`, each computed once."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._found: dict[tuple[str, str], Reason | None] = {}
        self._commits: dict[str, dict[str, list[Written]]] = {}

    def of(self, name: str, key: str) -> Reason | None:
        """Return why the partition `key` of the table `name` is due, or None if it is up to date."""
        step = self.state.steps.by_table[name]
        found = self._found
        if (step.name, key) not in found:
            found[step.name, key] = self._reason(step, key)
        return found[step.name, key]

    def _reason(self, step: Step, key: str) -> Reason | None:
        state = self.state
        if not state.is_due(step, key):
            return None
        place = state.place(step.name, key)
        missing = [c.name for c in step.contracts if state.recorded(c.name, key) is None]
        changed = missing or any(state.recorded(c.name, key) != state.expected(c.name, key) for c in step.contracts)
        waits = self._waits_for(step, key)
        if changed:
            text, own = self._changed(step, key, missing)
        else:
            broken = {c.name: state.broken(c.name, key) for c in step.contracts}
            text = next((what for what in broken.values() if what), "")
            text = f"its rows break the contract: {text}" if text else "a file of it is missing or cut short"
            own = True
        roots = [f"{place}: {text}"] if own else []
        for upstream, other in waits:
            above = self.of(upstream, other)
            roots += [root for root in (above.roots if above else ()) if root not in roots]
        return Reason(text, tuple(roots), not waits)

    def _changed(self, step: Step, key: str, missing: list[str]) -> tuple[str, bool]:
        """Why the expected fingerprint is not the recorded one, and whether the cause lies in the step itself."""
        state = self.state
        sources = step.changes(state.settings, state.partition(step, key)) if step.changes else ""
        if missing:
            return sources or "not made yet", bool(sources) or not self._waits_for(step, key)
        own = self.commits(step.name)[key][0]
        then = state.steps.made_from(
            step, state.settings, state.partition(step, key), lambda name, k: self.at(name, k, own), lacking=True
        )
        texts, from_above = [], then == own.fingerprint
        if not from_above:
            texts.append(sources or "its recipe or code version changed")
        for name, each in state.reads(step, key):
            before = self.at(name, each, own)
            if before == state.expected(name, each):
                continue
            now = state.recorded(name, each)
            what = "is due" if now != state.expected(name, each) else "is new" if before is None else "was made again"
            texts.append(f"{state.place(name, each)} {what}")
        return joined(texts) or "its recipe or code version changed", not from_above or not self._waits_for(step, key)

    def _waits_for(self, step: Step, key: str) -> list[tuple[str, str]]:
        """The partitions that this one is made from and that are due themselves."""
        state = self.state
        return [(name, each) for name, each in state.reads(step, key) if state.is_due(state.steps.by_table[name], each)]

    def commits(self, name: str) -> dict[str, list[Written]]:
        """The commits of a table by partition key, the last one first."""
        if name not in self._commits:
            self._commits[name] = self.state.lake.commits(name)
        return self._commits[name]

    def at(self, name: str, key: str, own: Written) -> str | None:
        """The fingerprint of a table and partition key when the commit `own` was made; None if there was none."""
        for written in self.commits(name).get(key, ()):
            if written.timestamp_ms <= own.timestamp_ms:
                return written.fingerprint
        return None
