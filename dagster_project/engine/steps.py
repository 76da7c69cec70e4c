"""Steps and their identity: expected fingerprints follow from recipes, recorded ones stand in the lake.

A step writes one or more tables. Its fingerprint is a hash of its code version, its recipe (choices, seed, sizes) and
the fingerprints of the tables that it reads. *Expected* fingerprints follow from the crawl and the settings alone,
before anything runs; *recorded* ones stand in the lake's commits. A partition whose two fingerprints differ is due.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from catalog.contract import Contract
from catalog.fingerprint import fingerprint
from catalog.lake import WHOLE, Lake, partition_key
from catalog.settings import Settings
from dagster_project.engine.partitions import Cut, Partition

Recipe = Callable[[Settings, Partition | None], Any]
"""What decides the rows of a partition, apart from the tables that are read; it is hashed, and passed to the body."""

Lookup = Callable[[str, str], str | None]
"""The fingerprint of a table's partition key, or None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What makes `contracts`: one asset body, run once for a whole table or for each partition of `cut`.

    Attributes:
        contracts: The tables that it writes. The first is written last and so marks completion.
        code_version: Changed by hand when the same recipe would give other rows.
        recipe: What decides the rows, given settings and partition. The body receives the same value.
        identity: What of the recipe is hashed, as JSON values or dataclasses; by default all of it.
        cut: How the tables are partitioned.
        keys: The partitions that exist, given settings, for a step that is cut.
    """

    contracts: tuple[Contract, ...]
    code_version: str
    recipe: Recipe = lambda settings, partition: None
    identity: Callable[[Any], Any] = lambda recipe: recipe
    cut: Cut | None = None
    keys: Callable[[Settings], Iterable[str]] | None = None

    @property
    def name(self) -> str:
        """The name of its first table."""
        return self.contracts[0].name

    @property
    def upstream(self) -> tuple[str, ...]:
        """Tables that it reads and does not write."""
        own = {contract.name for contract in self.contracts}
        return tuple(dict.fromkeys(up for c in self.contracts for up in c.upstream if up not in own))

    def literals(self, settings: Settings, partition: Partition | None) -> Any:
        """What of the recipe is hashed."""
        return self.identity(self.recipe(settings, partition))

    def partitions(self, settings: Settings) -> list[Partition | None]:
        """The partitions that should exist; [None] for a step that is not cut."""
        if self.cut is None or self.keys is None:
            return [None]
        return [self.cut.columns(key) for key in self.keys(settings)]


REGISTERED: list[Step] = []
"""Steps of the asset modules that have been imported, in that order."""


class Steps:
    """All steps, by the tables that they write, in topological order."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.by_table = {contract.name: step for step in steps for contract in step.contracts}

    @cached_property
    def ordered(self) -> list[Step]:
        """Steps such that each comes after those it reads from; ties in order of declaration."""
        done: list[Step] = []
        waiting = list(dict.fromkeys(self.by_table.values()))
        while waiting:
            ready = next(step for step in waiting if all(self.by_table[up] in done for up in step.upstream))
            done.append(ready)
            waiting.remove(ready)
        return done

    def ancestors(self, step: Step) -> list[str]:
        """Every table that `step` rests on, however far up, in the order in which they are made."""
        above, waiting = set(step.upstream), list(step.upstream)
        while waiting:
            further = set(self.by_table[waiting.pop()].upstream) - above
            above |= further
            waiting += further
        return [contract.name for each in self.ordered for contract in each.contracts if contract.name in above]

    def made_from(self, step: Step, settings: Settings, partition: Partition | None, lookup: Lookup) -> str | None:
        """The fingerprint of `step` for `partition`, its upstream given by `lookup`; None where one is missing."""
        sources: dict[str, Any] = {}
        for name in step.upstream:
            upstream = self.by_table[name]
            if upstream.cut is not None and upstream.cut is step.cut and partition is not None:
                keys = [partition_key(partition)]
            else:
                keys = [partition_key(part) if part else WHOLE for part in upstream.partitions(settings)]
            found = [lookup(name, key) for key in keys]
            if None in found:
                return None
            sources[name] = dict(zip(keys, found, strict=True))
        return fingerprint(step.name, step.code_version, step.literals(settings, partition), sources)


class State:
    """The lake beside what it should be, read once: make a new one to look again."""

    def __init__(self, steps: Steps, settings: Settings) -> None:
        self.steps, self.settings = steps, settings
        self.lake = Lake.of(settings)
        self._expected: dict[tuple[str, str], str] = {}
        self._recorded: dict[str, dict[str, str]] = {}
        self._partitions: dict[str, dict[str, Partition | None]] = {}

    def recorded(self, name: str, key: str) -> str | None:
        """What the lake holds."""
        if name not in self._recorded:
            written = self.lake.written(name)
            self._recorded[name] = {part: commit.fingerprint for part, commit in written.items()}
        return self._recorded[name].get(key)

    def expected(self, name: str, key: str) -> str:
        """What the lake should hold, from the crawl and the settings alone."""
        if (name, key) not in self._expected:
            step = self.steps.by_table[name]
            partition = self._partitions_of(step)[key]
            made = self.steps.made_from(step, self.settings, partition, self.expected)
            assert made is not None
            for contract in step.contracts:
                self._expected[contract.name, key] = made
        return self._expected[name, key]

    def due(self, step: Step) -> list[Partition | None]:
        """Partitions of `step` whose tables are not what they should be."""
        return [
            partition
            for partition in self._partitions_of(step).values()
            if any(
                self.recorded(contract.name, partition_key(partition))
                != self.expected(contract.name, partition_key(partition))
                for contract in step.contracts
            )
        ]

    def _partitions_of(self, step: Step) -> dict[str, Partition | None]:
        # Listing them reads the crawl and the lake's history, and is asked for once a partition.
        if step.name not in self._partitions:
            found = step.partitions(self.settings)
            self._partitions[step.name] = {partition_key(partition): partition for partition in found}
        return self._partitions[step.name]
