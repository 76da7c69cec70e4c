"""The assets of the family `dialogues` through Dagster, with a scripted model: made once, checked, and due again."""

from __future__ import annotations

from pathlib import Path

import pytest
from demo_project import ROOT

from benchmarks.model_server import Script, running

PROGRAM = """
import sys
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.definitions import steps
from dagster_project.engine.steps import State
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make, wanted

settings = load_settings()
instance = open_instance(settings)
make(settings, instance, TABLES["dialogues"])
state = State(steps(), settings)
assert not [step.name for step in wanted(steps(), TABLES["dialogues"]) if state.due(step)]
instance.dispose()
lake = Lake.of(settings)
pairs, dialogues = (lake.read(f"dialogues.{name}").num_rows for name in ("preferences", "conversations"))
print(f"{dialogues} dialogues, {pairs} pairs")
"""


def test_the_stages_are_made_by_model_and_a_larger_count_asks_for_the_new_dialogues_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import subprocess
    import sys

    from scripted_dialogues import answer

    script = Script(answer=answer)

    def made(url: str, count: int) -> str:
        (tmp_path / "watershed.toml").write_text(
            f'[models.scripted]\nurl = "{url}"\n[dialogues]\nmodels = ["scripted"]\ncount = {count}\nsubtopics = 4\n'
        )
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env={**os.environ, "WATERSHED_PROJECT": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()[-1]

    with running(script) as url:
        assert made(url, 8).startswith("8 dialogues")
        first = dict(script.charged)
        assert made(url, 10).startswith("10 dialogues")
    assert set(script.charged.values()) == {1}
    assert len(first) < len(script.charged) < 1.6 * len(first)
