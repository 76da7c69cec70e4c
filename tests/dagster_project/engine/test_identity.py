"""The partitions that are due depend on recipes and sources, not on paths, times or the order of work."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from catalog.contract import Column, Contract
from catalog.lake import Lake, partition_key
from catalog.settings import Settings, load_settings
from catalog.storage.records import RECORDS, measured_files
from dagster_project.engine.partitions import Cut, Partition
from dagster_project.engine.reasons import Reason
from dagster_project.engine.steps import State, Step, Steps
from dagster_project.families.dclm.partitions import POOL_SHARDS


def table(name: str, *upstream: str, partitioned: bool = False) -> Contract:
    """Return a table of one number, with the shard columns of the pool if `partitioned`."""
    shard = tuple(
        Column(name=column, type=pa.int32(), description="Shard.") for column in ("global_shard", "local_shard")
    )
    return Contract(
        name=name,
        description="A table of the test.",
        columns=(Column(name="x", type=pa.int64(), description="A number."), *(shard if partitioned else ())),
        primary_key=("x",),
        partition_by=("global_shard", "local_shard") if partitioned else (),
        upstream=upstream,
    )


SOURCE = table("t.source", partitioned=True)
CUT = table("t.cut", "t.source", partitioned=True)
WHOLE = table("t.whole", "t.cut")
CHOSEN = Contract(
    name="t.chosen",
    description="A table of the test.",
    columns=(
        Column(name="x", type=pa.int64(), description="A number."),
        Column(name="m", type=pa.string(), description="Its partition."),
    ),
    primary_key=("x",),
    partition_by=("m",),
    upstream=("t.cut",),
)


class World:
    """Three steps: a source by shard, a step by shard, and a whole table. `digests` are the contents of the source."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.digests = {"0-0": "a", "0-1": "b"}
        self.seed = 1

    def steps(self) -> Steps:
        def digest(settings: Settings, partition: Partition | None) -> Any:
            assert partition
            return self.digests[POOL_SHARDS.key(partition)]

        def keys(settings: Settings) -> list[str]:
            return list(self.digests)

        return Steps(
            [
                Step(contracts=(WHOLE,), code_version="1", recipe=lambda *_: self.seed),
                Step(contracts=(CUT,), code_version="1", cut=POOL_SHARDS, keys=keys),
                Step(contracts=(SOURCE,), code_version="1", recipe=digest, cut=POOL_SHARDS, keys=keys),
            ]
        )

    def due(self) -> dict[str, list[str]]:
        """Return the partition keys that are due by name of step ("" for a whole table)."""
        state = State(self.steps(), self.settings)
        due = {step.name: state.due(step) for step in state.steps.ordered}
        return {name: [POOL_SHARDS.key(p) if p else "" for p in parts] for name, parts in due.items() if parts}

    def make(self, name: str, key: str = "") -> None:
        """Write a partition with the fingerprint of the recorded upstream tables, as an asset does."""
        state = State(self.steps(), self.settings)
        step = state.steps.by_table[name]
        partition = POOL_SHARDS.columns(key) if key else None
        fingerprint = state.steps.made_from(step, self.settings, partition, state.recorded)
        assert fingerprint
        row = {"x": [1], **{column: pa.array([value], pa.int32()) for column, value in (partition or {}).items()}}
        state.lake.replace(step.contracts[0], pa.table(row), fingerprint, partition)

    def make_all(self) -> None:
        """Write all tables, in topological order."""
        for name in ("t.source", "t.cut"):
            for key in self.digests:
                self.make(name, key)
        self.make("t.whole")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(load_settings(tmp_path))


def test_everything_is_due_in_an_empty_lake_and_nothing_after_it_is_made(world: World) -> None:
    assert world.due() == {"t.source": ["0-0", "0-1"], "t.cut": ["0-0", "0-1"], "t.whole": [""]}
    world.make_all()
    assert world.due() == {}


def test_a_finished_partition_is_not_due_when_its_neighbour_is(world: World) -> None:
    world.make("t.source", "0-0")
    world.make("t.cut", "0-0")
    world.make("t.source", "0-1")
    assert world.due() == {"t.cut": ["0-1"], "t.whole": [""]}


def test_a_changed_archive_makes_its_own_shard_due_and_all_that_reads_every_shard(world: World) -> None:
    world.make_all()
    world.digests["0-1"] = "changed"
    assert world.due() == {"t.source": ["0-1"], "t.cut": ["0-1"], "t.whole": [""]}


class Choosing(World):
    """The whole table becomes one by shard of another cut, which reads what `chosen` names of the table by shard."""

    chosen: tuple[str, ...] = ("0-0",)
    cut = Cut(dg.StaticPartitionsDefinition(["m"]), lambda key: {"m": key}, lambda columns: str(columns["m"]))

    def steps(self) -> Steps:
        def needs(settings: Settings, partition: Partition, name: str) -> list[Partition]:
            return [POOL_SHARDS.columns(key) for key in self.chosen]

        _, cut, source = dict.fromkeys(super().steps().by_table.values())
        step = Step(contracts=(CHOSEN,), code_version="1", cut=self.cut, keys=lambda _: ["m"], needs=needs)
        return Steps([step, cut, source])

    def make_all(self) -> None:
        for name in ("t.source", "t.cut"):
            for key in self.digests:
                self.make(name, key)
        state = State(self.steps(), self.settings)
        step = state.steps.by_table["t.chosen"]
        made = state.steps.made_from(step, self.settings, {"m": "m"}, state.recorded)
        assert made
        state.lake.replace(CHOSEN, pa.table({"x": [1], "m": ["m"]}), made, {"m": "m"})

    def due(self) -> dict[str, list[str]]:
        state = State(self.steps(), self.settings)
        return {
            step.name: [step.cut.key(part) if step.cut and part else "" for part in parts]
            for step in state.steps.ordered
            if (parts := state.due(step))
        }


@pytest.mark.parametrize("chosen", [("0-0",), ()])
def test_a_partition_is_due_after_a_change_of_what_it_needs_alone(tmp_path: Path, chosen: tuple[str, ...]) -> None:
    world = Choosing(load_settings(tmp_path))
    world.chosen = chosen
    world.make_all()
    assert world.due() == {}
    world.digests["0-1"] = "changed"
    assert world.due() == {"t.source": ["0-1"], "t.cut": ["0-1"]}
    world.digests["0-0"] = "changed"
    assert ("t.chosen" in world.due()) == bool(chosen)


def test_a_changed_recipe_makes_its_own_step_due_and_not_its_upstream(world: World) -> None:
    world.make_all()
    world.seed = 2
    assert world.due() == {"t.whole": [""]}


def test_two_lakes_at_different_paths_agree_on_every_fingerprint(world: World, tmp_path: Path) -> None:
    elsewhere = World(replace(world.settings, lake=replace(world.settings.lake, root=str(tmp_path / "other"))))
    for one in (world, elsewhere):
        one.make_all()
    for name, key in (("t.cut", "global_shard=0/local_shard=1"), ("t.whole", "")):
        mine = State(world.steps(), world.settings).lake.written(name)[key]
        theirs = State(elsewhere.steps(), elsewhere.settings).lake.written(name)[key]
        assert mine.fingerprint == theirs.fingerprint


def test_what_is_made_from_a_stale_source_is_due_again(world: World) -> None:
    world.make_all()
    world.digests["0-0"] = "changed"
    world.make("t.whole")
    assert "t.whole" in world.due()


def files_of(world: World, name: str, key: str = "") -> list[Path]:
    """Return the data files of a table, or of one of its partitions."""
    inside = partition_key(POOL_SHARDS.columns(key)) if key else ""
    return sorted(Path(Lake.of(world.settings).path(name), inside).rglob("*.parquet"))


def test_a_partition_that_lost_a_file_is_due_again_and_nothing_that_reads_it(world: World) -> None:
    world.make_all()
    files_of(world, "t.cut", "0-1")[0].unlink()
    assert world.due() == {"t.cut": ["0-1"]}
    world.make("t.cut", "0-1")
    assert world.due() == {}


def test_a_file_that_was_cut_short_makes_its_table_due_again(world: World) -> None:
    world.make_all()
    (path,) = files_of(world, "t.whole")
    path.write_bytes(path.read_bytes()[:-1])
    assert world.due() == {"t.whole": [""]}


def test_a_step_is_due_again_if_a_file_that_it_wrote_beside_its_table_is_gone(world: World) -> None:
    world.make_all()
    lake = Lake.of(world.settings)
    shards = [lake.folder("t.cut", f"{key}.tar") for key in world.digests]
    for path, key in zip(shards, world.digests, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"tokens" * 100)
        lake.record_files("t.cut", partition_key(POOL_SHARDS.columns(key)), measured_files(lake.files, [path]))
    assert world.due() == {}
    shards[1].write_bytes(b"tokens" * 99)
    assert world.due() == {"t.cut": ["0-1"]}
    shutil.rmtree(lake.files)
    assert world.due() == {"t.cut": ["0-0", "0-1"]}


def test_nothing_of_a_lake_without_records_is_due(world: World) -> None:
    world.make_all()
    for records in Path(world.settings.lake_root).rglob(RECORDS):
        shutil.rmtree(records)
    assert world.due() == {}


def test_a_partition_whose_rows_break_the_contract_is_due_until_it_is_made_again(world: World) -> None:
    world.make_all()
    lake, key = Lake.of(world.settings), partition_key(POOL_SHARDS.columns("0-1"))
    version = lake.version("t.cut")
    assert version is not None
    lake.record_broken("t.cut", version, {key: "x__be_between"})
    assert world.due() == {"t.cut": ["0-1"]}
    world.make("t.cut", "0-0")
    assert world.due() == {"t.cut": ["0-1"]}, "another partition was written, not the broken one"
    world.make("t.cut", "0-1")
    assert world.due() == {}


def test_a_check_that_passes_takes_back_what_an_earlier_one_found(world: World) -> None:
    world.make_all()
    lake, key = Lake.of(world.settings), partition_key(POOL_SHARDS.columns("0-1"))
    lake.record_broken("t.cut", 1, {key: "x__be_between"})
    lake.record_broken("t.cut", 2, {})
    assert world.due() == {}


def reasons(world: World) -> dict[str, Reason]:
    """Return why partitions are due, by table and partition as people read it."""
    state = State(world.steps(), world.settings)
    found = {
        state.place(step.name, key): state.reasons.of(step.name, key)
        for step in state.steps.ordered
        for key in state.keys(step)
    }
    return {place: reason for place, reason in found.items() if reason}


def test_a_cause_is_told_where_it_lies_and_by_all_that_waits_for_it(world: World) -> None:
    world.make_all()
    world.digests["0-1"] = "changed"
    found = reasons(world)
    root = ("t.source 0-1: its recipe or code version changed",)
    assert {place: (reason.text, reason.roots, reason.ready) for place, reason in found.items()} == {
        "t.source 0-1": ("its recipe or code version changed", root, True),
        "t.cut 0-1": ("t.source 0-1 is due", root, False),
        "t.whole": ("t.cut 0-1 is due", root, False),
    }


def test_a_changed_recipe_is_told_from_an_upstream_table_that_was_made_again(world: World) -> None:
    world.make_all()
    world.seed = 2
    assert {place: reason.text for place, reason in reasons(world).items()} == {
        "t.whole": "its recipe or code version changed"
    }
    world.seed = 1
    world.digests["0-0"] = "changed"
    # Commits are told apart by their times, in milliseconds.
    time.sleep(0.002)
    world.make("t.source", "0-0")
    world.make("t.cut", "0-0")
    assert {place: reason.text for place, reason in reasons(world).items()} == {"t.whole": "t.cut 0-0 was made again"}


def test_a_new_partition_a_lost_file_and_broken_rows_are_told(world: World) -> None:
    world.make_all()
    world.digests["0-2"] = "new"
    files_of(world, "t.cut", "0-1")[0].unlink()
    lake = Lake.of(world.settings)
    lake.record_broken("t.cut", 9, {partition_key(POOL_SHARDS.columns("0-0")): "x__be_between"})
    found = {place: reason.text for place, reason in reasons(world).items()}
    assert found == {
        "t.source 0-2": "not made yet",
        "t.cut 0-0": "its rows break the contract: x__be_between",
        "t.cut 0-1": "a file of it is missing or cut short",
        "t.cut 0-2": "not made yet",
        "t.whole": "t.cut 0-2 is due",
    }
