"""Every fault in a lake's files is named by `check --storage`, and none is a traceback or a wrong answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.storage_campaign import KINDS, campaign, targets
from catalog.lake import Lake
from catalog.storage.records import LOG, measured_files, write_record
from quality.gate import check_storage
from tests.small_lake import good_rows, write_lake, write_rows

FAULTS = 60


@pytest.mark.slow
def test_every_fault_is_named_by_its_file(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents", "dclm.shards", "models.checkpoints"))
    lake = Lake.of(settings)
    lake.table("dclm.documents").create_checkpoint()
    # As the hook that makes a checkpoint with every hundredth commit, whose record then holds it.
    store = lake.store("dclm.documents")
    write_record(store, 2, store.listed(LOG))
    write_rows(settings, {"dclm.documents": good_rows()["dclm.documents"]})
    shard = lake.folder("dclm.shards", "train", "shard_00000000.tar")
    shard.parent.mkdir(parents=True)
    shard.write_bytes(bytes(range(256)) * 40)
    lake.record_files("dclm.shards", "", measured_files(lake.files, [shard.parent]))
    assert {target.kind for target in targets(settings)} == set(KINDS)
    before = check_storage(settings)
    outcomes = campaign(settings, FAULTS)
    assert outcomes.made.total() == FAULTS
    assert (outcomes.unnamed, outcomes.wrong, outcomes.tracebacks) == ([], [], [])
    assert [each.faults for each in check_storage(settings)] == [()] * len(before)
