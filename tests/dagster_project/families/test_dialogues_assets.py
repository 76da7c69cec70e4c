"""The assets of the family `dialogues` through Dagster, with a scripted model: made once, checked, and due again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from demo_project import ROOT

from benchmarks.model_server import Script, running
from tests.spark_jobs.scripted_dialogues import answer
from tests.spark_jobs.scripted_endpoint import files_with

pytestmark = pytest.mark.slow

KEY = "sk-planted/0123456789+abcdef=="

PROGRAM = """
import sys
from pathlib import Path
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.assets import steps
from dagster_project.engine.steps import State
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make, wanted

project, url = Path(sys.argv[1]), sys.argv[2]
for count in (4, 5):
    chosen = f'[dialogues]\\nmodels = ["scripted"]\\ncount = {count}\\nsubtopics = 4\\n'
    (project / "watershed.toml").write_text(f'[models.scripted]\\nurl = "{url}"\\nkey = "MODEL_KEY"\\n{chosen}')
    settings = load_settings()
    instance = open_instance(settings)
    make(settings, instance, TABLES["dialogues"])
    state = State(steps(), settings)
    assert not [step.name for step in wanted(steps(), TABLES["dialogues"]) if state.due(step)]
    instance.dispose()
    lake = Lake.of(settings)
    assert lake.read("dialogues.conversations").num_rows == lake.read("dialogues.flags").num_rows == count
    print(lake.read("models.requests").num_rows, flush=True)
"""


def test_the_stages_are_made_by_model_and_a_larger_count_asks_for_the_new_dialogues_alone(tmp_path: Path) -> None:
    # The server asks for the key, and repeats it in every reply.
    script = Script(answer=lambda body, digest: f"{answer(body, digest)} {KEY}", key=KEY)
    with running(script) as url:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path), url],
            cwd=ROOT,
            env={**os.environ, "WATERSHED_PROJECT": str(tmp_path), "PYTHONPATH": str(ROOT), "MODEL_KEY": KEY},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    first, both = map(int, done.stdout.split()[-2:])
    assert set(script.charged.values()) == {1}
    assert both == len(script.charged)
    assert first < both < 1.6 * first
    # Neither tables nor what Dagster stores and shows hold the key.
    assert (tmp_path / "watershed.toml").exists() and any(tmp_path.rglob("*.db"))
    assert not files_with(tmp_path, KEY)
    assert KEY not in done.stdout + done.stderr
