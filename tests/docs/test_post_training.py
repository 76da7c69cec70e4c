"""The examples of docs/post_training.md, run one after the other on a small model."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "trainers" / place) for place in ("posttraining", "serving")]

from made_posttraining import a_model, write_chats, write_pairs, write_problems  # noqa: E402 # ty: ignore

from trainers.dpo import main as dpo  # noqa: E402
from trainers.posttraining.config import recipes  # noqa: E402
from trainers.rlvr import main as rlvr  # noqa: E402
from trainers.sft import main as sft  # noqa: E402

PAGE = (ROOT / "docs" / "post_training.md").read_text(encoding="utf-8")
SMALL = {"steps": 1, "batch": 2, "log_every": 1}


def test_the_configurations_of_the_page_train_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_model(Path("runs/base"))
    write_chats(Path("chats.jsonl"), 6)
    write_pairs(Path("pairs.jsonl"), 4)
    for name in ("problems", "test"):
        write_problems(Path(f"{name}.jsonl"), 4)
    found = re.findall(r"```yaml\n# (\w+\.yaml)\n(.*?)```", PAGE, re.S)
    blocks = {name: yaml.safe_load(block) for name, block in found}
    assert list(blocks) == ["sft.yaml", "dpo.yaml", "rlvr.yaml"]
    for (name, fields), command in zip(blocks.items(), (sft, dpo, rlvr), strict=True):
        small = SMALL | ({"reply_tokens": 4, "replies": 2} if name == "rlvr.yaml" else {})
        Path(name).write_text(yaml.safe_dump(fields | small))
        assert command(["--config", name]) == 0, name
    assert Path("runs/rlvr/rollouts/phase_00000000.jsonl").is_file()


@pytest.mark.parametrize("name", recipes())
def test_the_page_names_where_each_published_setting_is_from(name):
    words = {"tulu3": "Tülu 3", "tulu3.1": "Tülu 3.1", "olmo3": "Olmo 3", "olmoe": "OLMoE"}
    assert words[name.split("-")[0]] in PAGE
