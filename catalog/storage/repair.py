"""What can be done about a damaged table: restore its log, go back to the last version that can be read, or set aside
files whose contents are lost.

A repair deletes nothing. What it replaces or gives up is moved to the folder `_damaged` of the table, or of the lake's
files, where other programs can still read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.storage.expected import Fault
from catalog.storage.log import LogFault, TableLog, all_log_faults
from catalog.storage.records import LAST_CHECKPOINT, RECORDS, entry_path, record_path, version_of, write_record
from catalog.storage.store import DAMAGED, Store
from catalog.storage.verify import verify


@dataclass(frozen=True)
class Action:
    """One thing that a repair does."""

    text: str
    run: Callable[[], object]


@dataclass
class Plan:
    """What is wrong with a table, what a repair does about it, and what is left to the user."""

    table: str
    faults: list[Fault]
    actions: list[Action] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def carry_out(self) -> None:
        """Do what the plan says.

        Raises:
            WatershedError: a file cannot be moved or written.
        """
        for action in self.actions:
            try:
                action.run()
            except OSError as error:
                raise WatershedError(
                    f"{self.table}: it was not possible to {action.text}: {error.strerror or error}",
                    "make the folder writable, or free some space, and run it again",
                ) from error


def plan_repair(lake: Lake, contract: Contract) -> Plan:
    """Find out what can be done about a table. Nothing is changed.

    Raises:
        WatershedError: the table is not made.
    """
    name = contract.name
    if not lake.exists(name):
        raise WatershedError(f"{name} is not made yet, so there is nothing to repair", _again(contract, force=False))
    found = verify(lake, contract)
    plan = Plan(name, list(found.faults))
    store = lake.store(name)
    log = all_log_faults(store)
    if log:
        _repair_log(plan, lake, contract, store, log)
    files = [fault for fault in found.faults if fault.kind != "log"]
    if files:
        _repair_files(plan, lake, contract, files)
    return plan


def _repair_log(plan: Plan, lake: Lake, contract: Contract, store: Store, faults: list[LogFault]) -> None:
    log = TableLog.of(store)
    damaged = {v for fault in faults if (v := fault.version) is not None and fault.path == entry_path(v)}
    copies = {version: record for version in damaged if (record := log.record(version))}
    checkpoints = {v: paths for v, paths in log.checkpoints.items() if any(fault.path in paths for fault in faults)}
    base = max(log.checkpoints.keys() - checkpoints.keys(), default=-1)
    sound, readable = {*log.entries, *copies} - (damaged - copies.keys()), base
    while readable + 1 in sound:
        readable += 1
    if readable < 0:
        _give_up(plan, lake, contract)
        return
    for fault in faults:
        if fault.path not in log.records.values():
            _set_aside(plan, store, fault.path)
    if checkpoints:
        _set_aside(plan, store, LAST_CHECKPOINT)
    for version, record in sorted(copies.items()):
        if version <= readable:
            text = f"restore {entry_path(version)} from the copy in {record_path(version)}"
            plan.actions.append(Action(text, partial(store.write, entry_path(version), record.entry.encode())))
    if readable < log.last:
        _go_back(plan, contract, store, log, readable)
    for version in sorted(damaged - copies.keys()):
        if version <= base:
            _set_aside(plan, store, record_path(version))
            plan.advice.append(f"version {version} stays lost; later versions do not need it")
    for version, path in sorted(log.records.items()):
        if version <= readable and version in sound and log.record(version) is None:
            _set_aside(plan, store, path)
            text = f"record the files of version {version} as they are now"
            plan.actions.append(Action(text, partial(write_record, store, version, tuple(log.files))))


def _go_back(plan: Plan, contract: Contract, store: Store, log: TableLog, readable: int) -> None:
    """Set aside every version after `readable`, with its record."""
    for path in sorted({*log.files, *store.listed(RECORDS)}):
        version = version_of(path)
        if version is not None and version > readable:
            _set_aside(plan, store, path)
    _set_aside(plan, store, LAST_CHECKPOINT)
    count = log.last - readable
    plan.advice.append(
        f"the table goes back to version {readable}, the last that can be read; {count} later "
        f"{'version is' if count == 1 else 'versions are'} set aside: {_again(contract, force=False)} for what it lacks"
    )


def _give_up(plan: Plan, lake: Lake, contract: Contract) -> None:
    """Set the whole table aside, whose log has no version that can be read."""
    plan.actions.clear()
    if not lake.store(contract.name).local:
        plan.advice.append(
            f"no version of its log can be read: move {lake.path(contract.name)} away, then "
            f"{_again(contract, force=False)}"
        )
        return
    place = Path(lake.path(contract.name))
    target = Path(lake.root, DAMAGED, contract.name)
    number = 1
    while target.exists():
        target, number = target.with_name(f"{contract.name}.{number}"), number + 1

    def move() -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        place.rename(target)

    plan.actions.append(Action(f"move {place} to {target}, because no version of its log can be read", move))
    plan.advice.append(f"then {_again(contract, force=False)}; the data files are kept in {target}")


def _repair_files(plan: Plan, lake: Lake, contract: Contract, faults: list[Fault]) -> None:
    table, files = lake.store(contract.name), Store(str(lake.files))
    for fault in faults:
        store = files if fault.kind == "file" else table
        path = fault.path.removeprefix(f"{store.root}/")
        _set_aside(plan, store, path, whole=fault.path)
    plan.advice.append(
        f"the contents of {len(faults)} {'file' if len(faults) == 1 else 'files'} are lost: put "
        f"{'it' if len(faults) == 1 else 'them'} back from a copy, or {_again(contract, force=False)}"
    )


def _set_aside(plan: Plan, store: Store, path: str, whole: str = "") -> None:
    """Add an action that moves a file away, if it exists and no action does that already."""
    text = f"move {whole or path} to {DAMAGED}"
    if store.size(path) is not None and all(action.text != text for action in plan.actions):
        plan.actions.append(Action(text, partial(store.set_aside, path)))


def _again(contract: Contract, *, force: bool) -> str:
    """The command that makes the table again."""
    if contract.command:
        return f"run `{contract.command}`"
    return f"run `watershed make {'--force ' if force else ''}{contract.name}`"
