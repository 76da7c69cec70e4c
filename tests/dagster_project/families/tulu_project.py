"""Makes every table of a small project of post-training through Dagster, and prints what came of it and what is due.

It is run as a program of its own: `python tulu_project.py FOLDER`. The last line of its output is JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import load_settings
from dagster_project.assets import steps
from dagster_project.engine.steps import State
from dagster_project.instance import open_instance
from dagster_project.jobs import TABLES
from dagster_project.run import make
from tests.small_lake import good_rows, write_rows

JOBS = ("tulu_data", "tulu_mixing", "tulu_evaluation")
QUESTION = "a farmer has {n} hens and sells {m} of them at the market so how many hens remain on the farm"
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SETTINGS = """
[tulu]
mixtures = ["one", "two", "pairs"]
tokenizer = "tokenizer.json"
chat_template = "template.jinja"
evaluations = "evaluations"
results = "results"
baseline = "base"
"""


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def said(*texts: str) -> list[dict[str, str]]:
    """Messages of the user and the assistant in turn."""
    return [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]


def lay_out(project: Path) -> None:
    """Write the files of the project."""
    replies = [" " if n == 3 else f"It is the number {n}." for n in range(20)]
    a = [{"id": f"a{n}", "messages": said(f"What is {n}?", reply)} for n, reply in enumerate(replies)]
    b = [{"messages": said(QUESTION.format(n=n, m=3), f"{n - 3}")} for n in range(10, 16)]
    b += [
        {"messages": said(f"Who built bridge {n} across the river, and when was it done?", "Nobody.")} for n in range(6)
    ]
    jsonl(project / "tulu/org/a/data/train.jsonl", a)
    jsonl(project / "tulu/org/b/data/train.jsonl", b)
    jsonl(project / "evaluations/gsm8k.jsonl", [{"question": QUESTION.format(n=n, m=3)} for n in range(10, 16)])
    jsonl(
        project / "evaluations/href.jsonl",
        [{"instruction": f"Describe the {n}th river of the valley."} for n in range(9)],
    )
    mixtures = {
        "one": ("sft", 30, [("a", 20, "org/a"), ("b", 10, "org/b")]),
        "two": ("sft", 5, [("b", 5, "org/b")]),
        "pairs": ("preference", 1, [("dialogues", 1, "")]),
    }
    for name, (kind, total, sources) in mixtures.items():
        listed = "".join(
            f"- {{name: {each}, count: {count}, revision: main, licence: MIT, "
            + (f"repository: {place}}}\n" if place else "table: dialogues.preferences}\n")
            for each, count, place in sources
        )
        path = project / "mixtures" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"name: {name}\nkind: {kind}\ntotal: {total}\nshort: allow\nsources:\n{listed}")
    (project / "template.jinja").write_text(TEMPLATE)
    write_tokenizer(project / "tokenizer.json")
    for model, right in (("base", 10), ("tuned", 25)):
        folder = project / "results" / model
        replies = [{"id": n, "response": f"It is {n if n < right else n + 1}.", "answer": str(n)} for n in range(40)]
        jsonl(folder / "gsm8k.jsonl", replies)
        judged = [{"better": "first", "model_first": model == "tuned"}]
        jsonl(folder / "href.jsonl", [{"id": n, "response": "Text.", "judgements": judged} for n in range(9)])


def write_tokenizer(path: Path, vocabulary: int = 300) -> None:
    """Train a small tokenizer."""
    from spark_jobs.shards.tokenizer import tokenizer_bytes, train_tokenizer

    path.write_bytes(tokenizer_bytes(train_tokenizer([QUESTION, "It is the number."], vocabulary)))


def due() -> dict[str, list[str]]:
    """The partitions that are due, by table."""
    state = State(steps(), load_settings())
    names = {name for job in JOBS for name in TABLES[job]}
    found = {}
    for step in state.steps.ordered:
        if step.name in names:
            parts = [step.cut.key(each) if step.cut and each else "" for each in state.due(step)]
            if parts:
                found[step.name] = sorted(parts)
    return found


def main(project: Path) -> None:
    """Make the tables, change one thing after another, and print what is due."""
    lay_out(project)
    toml = project / "watershed.toml"
    toml.write_text(SETTINGS)
    settings = load_settings()
    lake = Lake.of(settings)
    rows = good_rows()
    write_rows(settings, {name: each for name, each in rows.items() if name.startswith("dialogues.")})
    instance = open_instance(settings)
    make(settings, instance, [name for job in JOBS for name in TABLES[job]])
    found: dict[str, Any] = {"due": {"at once": due()}}
    for name in (name for job in JOBS for name in TABLES[job]):
        rows = lake.read(name).to_pylist()
        found[name] = rows
    changes = {
        "chat template": (project / "template.jinja", TEMPLATE + " "),
        "file of a source": (
            project / "tulu/org/b/data/train.jsonl",
            json.dumps({"messages": said("Hi", "Ho")}) + "\n",
        ),
        "evaluation": (
            project / "evaluations/gsm8k.jsonl",
            json.dumps({"question": "Which river is the longest?"}) + "\n",
        ),
        "replies of a model": (project / "results/tuned/gsm8k.jsonl", '{"id": 1, "response": "1", "answer": "1"}\n'),
        "revision of a source": (
            project / "mixtures/one.yaml",
            (project / "mixtures/one.yaml").read_text().replace("20, revision: main", "20, revision: c0ffee"),
        ),
        "workers": (toml, SETTINGS + "workers = 1\n"),
    }
    for what, (path, text) in changes.items():
        before = path.read_bytes()
        path.write_text(text)
        found["due"][what] = due()
        path.write_bytes(before)
    tokenizer = project / "tokenizer.json"
    before = tokenizer.read_bytes()
    write_tokenizer(tokenizer, 310)
    found["due"]["tokenizer"] = due()
    tokenizer.write_bytes(before)
    found["due"]["at the end"] = due()
    toml.write_text(SETTINGS + 'unpinned = "refuse"\n')
    try:
        make(load_settings(), instance, ["tulu.rows"], force=["tulu.rows"])
        found["unpinned"] = "passed"
    except WatershedError as error:
        found["unpinned"] = f"{error.cause} {error.mend}"
    toml.write_text(SETTINGS + 'select_tasks = ["gsm8k", "href"]\n')
    try:
        make(load_settings(), instance, ["tulu.selections"])
        found["selection"] = "passed"
    except WatershedError as error:
        found["selection"] = f"{error.cause} {error.mend}"
    found["looks"] = lake.read("tulu.looks").to_pylist()
    print(json.dumps(found, default=str), flush=True)
    # A thread of Arrow that closes a file of delta-rs while Python ends would end the process with SIGABRT.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
