"""A shard that is cut short while a run reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from made_shards import make_shards

ROOT = Path(__file__).parents[3]


def test_a_training_process_whose_shard_is_truncated_ends_with_its_name_and_not_by_a_signal(tmp_path):
    tar = make_shards(tmp_path / "shards", train=600) / "train" / "shard_00000000.tar"
    code = f"""
import os, sys
from trainers.core.adamw import AdamW
from trainers.pretrain import pretrain
from trainers.pretraining.config import RunConfig
from trainers.process.errors import exit_code
step, taken = AdamW.step, []
def cut(*given):
    taken.append(step(*given))
    if len(taken) == 2:
        os.truncate({str(tar)!r}, 1024)
AdamW.step = cut
config = RunConfig(preset="30k-0.2xC", shards={str(tar.parents[1])!r}, out={str(tar.parents[1] / "run")!r}, steps=9)
sys.exit(exit_code(lambda: pretrain(config)))
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, ended.stderr
    assert "shard_00000000.tar was cut short while it was read: it has 1024 bytes" in ended.stderr
