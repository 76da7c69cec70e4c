"""Steps and their fingerprints, which decide what has to be made.

A step writes one or more tables. Its fingerprint is a hash of its code version, its recipe (choices, seed, sizes) and
the fingerprints of the tables that it reads. *Expected* fingerprints are computed from the crawl and the settings,
before anything runs. *Recorded* fingerprints are stored in the commits of the lake. A partition is due if its expected
fingerprint differs from the recorded one, if a file that was written with it is missing or has another size, or if a
check found that its rows break the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from catalog.contract import Contract
from catalog.fingerprint import fingerprint
from catalog.lake import WHOLE, Lake, partition_key
from catalog.settings import Settings
from catalog.storage.verify import lost_partitions
from dagster_project.engine.partitions import Cut, Partition
from dagster_project.engine.reasons import Reasons

Recipe = Callable[[Settings, Partition | None], Any]
"""Returns everything that decides the rows of a partition, except the tables that are read.

The value is hashed into the fingerprint and passed to the body.
"""

Needs = Callable[[Settings, Partition, str], Iterable[Partition] | None]
"""Returns the partitions of an upstream table, given by name, that a partition is made from; None for all."""

Lookup = Callable[[str, str], str | None]
"""Returns the fingerprint of a table and partition key, or None if the lake has none."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One asset body and the tables that it writes. It runs once for whole tables, or once for each partition of `cut`.

    Attributes:
        contracts: The tables that the step writes. The body writes the first one last, which marks completion.
        code_version: Changed by hand when the code changes such that the same recipe gives other rows.
        recipe: Returns the recipe, given settings and partition. The body receives the same value.
        identity: Returns the part of the recipe that is hashed, as JSON values or dataclasses. The default is all.
        cut: The partitions of the tables; None for whole tables.
        keys: Returns the keys of the partitions that exist, given settings. Only for a partitioned step.
        changes: Returns in words how the sources of the recipe differ from what the lake holds. The default is nothing.
        needs: Returns which partitions of a table that is partitioned otherwise a partition is made from. The default
            is all, so that a change of any of them makes the partition due.
        engine: What computes the rows: python, spark or torch. It is no part of the fingerprint.
    """

    contracts: tuple[Contract, ...]
    code_version: str
    recipe: Recipe = lambda settings, partition: None
    identity: Callable[[Any], Any] = lambda recipe: recipe
    cut: Cut | None = None
    keys: Callable[[Settings], Iterable[str]] | None = None
    changes: Callable[[Settings, Partition | None], str] | None = None
    needs: Needs | None = None
    engine: str = "python"

    @property
    def name(self) -> str:
        """The name of the first table."""
        return self.contracts[0].name

    @property
    def upstream(self) -> tuple[str, ...]:
        """The tables that the step reads, without those that it writes itself."""
        own = {contract.name for contract in self.contracts}
        return tuple(dict.fromkeys(up for c in self.contracts for up in c.upstream if up not in own))

    def literals(self, settings: Settings, partition: Partition | None) -> Any:
        """Return the part of the recipe that is hashed into the fingerprint."""
        return self.identity(self.recipe(settings, partition))

    def partitions(self, settings: Settings) -> list[Partition | None]:
        """Return the partitions that should exist, or [None] for a step that is not partitioned."""
        if self.cut is None or self.keys is None:
            return [None]
        return [self.cut.columns(key) for key in self.keys(settings)]

    def needed(self, settings: Settings, partition: Partition | None, name: str) -> list[str] | None:
        """Return the keys of the partitions of the table `name` that `partition` is made from; None for all."""
        if self.needs is None or partition is None:
            return None
        found = self.needs(settings, partition, name)
        return None if found is None else [partition_key(each) for each in found]


REGISTERED: list[Step] = []
"""The steps of all asset modules that have been imported, in the order of import."""


class Steps:
    """A set of steps with their dependencies."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.by_table = {contract.name: step for step in steps for contract in step.contracts}

    @cached_property
    def ordered(self) -> list[Step]:
        """The steps in topological order; ties are in the order of declaration."""
        done: list[Step] = []
        waiting = list(dict.fromkeys(self.by_table.values()))
        while waiting:
            ready = next(step for step in waiting if all(self.by_table[up] in done for up in self.upstream(step)))
            done.append(ready)
            waiting.remove(ready)
        return done

    def upstream(self, step: Step) -> tuple[str, ...]:
        """Return the tables that `step` reads and other steps make. A table that a command writes is never due."""
        return tuple(name for name in step.upstream if name in self.by_table)

    def ancestors(self, step: Step) -> list[str]:
        """Return every table that `step` depends on, directly or not, in the order in which they are made."""
        above, waiting = set(self.upstream(step)), list(self.upstream(step))
        while waiting:
            further = set(self.upstream(self.by_table[waiting.pop()])) - above
            above |= further
            waiting += further
        return [contract.name for each in self.ordered for contract in each.contracts if contract.name in above]

    def reads(self, step: Step, settings: Settings, partition: Partition | None) -> dict[str, list[str]]:
        """Return the partition keys that `partition` of `step` is made from, by upstream table."""
        keys: dict[str, list[str]] = {}
        for name in self.upstream(step):
            upstream = self.by_table[name]
            if upstream.cut is not None and upstream.cut is step.cut and partition is not None:
                keys[name] = [partition_key(partition)]
            elif (needed := step.needed(settings, partition, name)) is not None:
                keys[name] = needed
            else:
                keys[name] = [partition_key(part) if part else WHOLE for part in upstream.partitions(settings)]
        return keys

    def made_from(
        self,
        step: Step,
        settings: Settings,
        partition: Partition | None,
        lookup: Lookup,
        *,
        lacking: bool = False,
        reads: Mapping[str, Sequence[str]] | None = None,
    ) -> str | None:
        """Return the fingerprint of `step` for `partition`.

        Args:
            step: The step.
            settings: The settings of the project.
            partition: The partition; None for a whole table.
            lookup: Returns the fingerprints of the upstream tables.
            lacking: Whether partitions of upstream tables that `lookup` does not find are left out. Otherwise the
                result is None if one is missing.
            reads: What `reads` returns, if it is known.
        """
        sources: dict[str, Any] = {}
        for name, keys in (self.reads(step, settings, partition) if reads is None else reads).items():
            found = {key: lookup(name, key) for key in keys}
            if None in found.values() and not lacking:
                return None
            sources[name] = {key: each for key, each in found.items() if each is not None}
        return fingerprint(step.name, step.code_version, step.literals(settings, partition), sources)


class State:
    """The recorded and the expected fingerprints of a lake. They are read once: a new object sees later changes."""

    def __init__(self, steps: Steps, settings: Settings) -> None:
        self.steps, self.settings = steps, settings
        self.lake = Lake.of(settings)
        self._expected: dict[tuple[str, str], str] = {}
        self._recorded: dict[str, dict[str, str]] = {}
        self._partitions: dict[str, dict[str, Partition | None]] = {}
        self._lost: dict[str, set[str]] = {}
        self._broken: dict[str, dict[str, str]] = {}
        self._listed: list[Step] = []

    @cached_property
    def reasons(self) -> Reasons:
        """Why partitions are due."""
        return Reasons(self)

    def recorded(self, name: str, key: str) -> str | None:
        """Return the recorded fingerprint of a table and partition key, or None if it has not been written."""
        if name not in self._recorded:
            written = self.lake.written(name)
            self._recorded[name] = {part: commit.fingerprint for part, commit in written.items()}
        return self._recorded[name].get(key)

    def lost(self, name: str, key: str) -> bool:
        """Return whether a file of a table's partition, or one written with it, is missing or was cut short."""
        if name not in self._lost:
            contract = next(c for c in self.steps.by_table[name].contracts if c.name == name)
            self._lost[name] = lost_partitions(self.lake, contract)
        return key in self._lost[name]

    def broken(self, name: str, key: str) -> str:
        """Return what the rows of a table's partition break of its contract; empty if the last check found nothing."""
        if name not in self._broken:
            self._broken[name] = self.lake.broken(name)
        return self._broken[name].get(key, "")

    def expected(self, name: str, key: str) -> str:
        """Return the expected fingerprint of a table and partition key, computed from the crawl and the settings."""
        if (name, key) not in self._expected:
            step = self.steps.by_table[name]
            partition = self.partition(step, key)
            # A table of which no partition is read is among them, as it is in `Steps.reads`.
            reads: dict[str, list[str]] = {name: [] for name in self.steps.upstream(step)}
            for table, each in self.reads(step, key):
                reads[table].append(each)
            made = self.steps.made_from(step, self.settings, partition, self.expected, reads=reads)
            assert made is not None
            for contract in step.contracts:
                self._expected[contract.name, key] = made
        return self._expected[name, key]

    def reads(self, step: Step, key: str) -> list[tuple[str, str]]:
        """Return the tables and partition keys that the partition `key` of `step` is made from."""
        found: list[tuple[str, str]] = []
        for name in self.steps.upstream(step):
            upstream = self.steps.by_table[name]
            own = upstream.cut is not None and upstream.cut is step.cut and key != WHOLE
            needed = None if own else step.needed(self.settings, self.partition(step, key), name)
            keys = [key] if own else list(self._partitions_of(upstream)) if needed is None else needed
            found += [(name, each) for each in keys]
        return found

    def outdated(self, name: str, key: str) -> bool:
        """Return whether the recorded fingerprint of a table and partition key is not the expected one."""
        return self.recorded(name, key) != self.expected(name, key)

    def is_due(self, step: Step, key: str) -> bool:
        """Return whether the partition `key` of `step` has to be made."""
        return any(
            self.outdated(contract.name, key) or self.lost(contract.name, key) or self.broken(contract.name, key)
            for contract in step.contracts
        )

    def due(self, step: Step) -> list[Partition | None]:
        """Return the partitions of `step` that have to be made: their fingerprints are not the expected ones, files are
        not there any more, or rows break the contract."""
        return [partition for key, partition in self._partitions_of(step).items() if self.is_due(step, key)]

    def all(self, step: Step) -> list[Partition | None]:
        """Return the partitions of `step` that should exist."""
        return list(self._partitions_of(step).values())

    def keys(self, step: Step) -> list[str]:
        """Return the keys of the partitions of `step` that should exist, as commits name them."""
        return list(self._partitions_of(step))

    def partition(self, step: Step, key: str) -> Partition | None:
        """Return the partition columns of a key of `step`; None for a whole table.

        Raises:
            KeyError: No partition has this key.
        """
        return self._partitions_of(step)[key]

    def place(self, name: str, key: str) -> str:
        """Return a table and partition in words: `dclm.pool 0-2`, or the table alone if it is whole."""
        step = self.steps.by_table[name]
        partition = self._partitions_of(step).get(key)
        return f"{name} {step.cut.key(partition)}" if step.cut and partition else name

    def _partitions_of(self, step: Step) -> dict[str, Partition | None]:
        # Listing partitions reads the crawl and the history of the lake. It is asked for often, so it is kept.
        if step.name not in self._partitions:
            same = next((other for other in self._listed if other.keys is step.keys and other.cut is step.cut), None)
            found = self._partitions[same.name].values() if same and step.keys else step.partitions(self.settings)
            self._partitions[step.name] = {partition_key(partition): partition for partition in found}
            self._listed.append(step)
        return self._partitions[step.name]
