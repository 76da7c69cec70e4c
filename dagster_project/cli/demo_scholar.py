"""`watershed demo scholar`: real documents become an index, searches are compared, and five questions answered."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.cli.demo_models import PACKAGED, SMOLLM2, smollm2_installed

if TYPE_CHECKING:
    from rich.console import Console

FOLDER = "scholar"
QUESTIONS = (
    "When are the default values of the parameters of a function evaluated?",
    "What happens when an exception is raised in the body of a with statement?",
    "In which order are the operands of an expression evaluated?",
    "How does a class choose which method is called when several base classes define it?",
    "What does the finally clause do if the try clause returns?",
)
"""Questions that Python's reference answers, which is among the documents; the first one is also put to the model."""


@dataclass(frozen=True, kw_only=True)
class ScholarSize:
    """How many documents are read, and how much the model writes."""

    documents: int
    known: int
    """Questions whose document is known, that searches are compared on."""
    passages: int
    """Passages that the model reads."""
    tokens: int
    feedback: int


SIZES = {
    "smoke": ScholarSize(documents=800, known=100, passages=1, tokens=40, feedback=1),
    "small": ScholarSize(documents=4_000, known=300, passages=3, tokens=96, feedback=1),
    "standard": ScholarSize(documents=20_000, known=500, passages=4, tokens=128, feedback=2),
}


def run_scholar(size: str, papers: Sequence[str] = ()) -> None:
    """Build a datastore of this machine's documentation, compare searches in it, and answer five questions.

    Args:
        size: a key of SIZES.
        papers: further files and folders of papers, such as the passages of ScholarQABench.

    Raises:
        WatershedError: a package is missing, or a stage failed.
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command
    from spark_jobs.scholar.verifying import verified_citations

    for module, extra in (("faiss", "retrieval"), ("tantivy", "retrieval"), ("wordllama", "retrieval")):
        if importlib.util.find_spec(module) is None:
            raise WatershedError(f"{module} is not installed", f"run `uv sync --extra {extra} --extra smollm2`")
    console, began, planned = wide_console(), time.monotonic(), SIZES[size]
    settings = load_settings()
    known = _write_documents(settings.project / FOLDER / f"{size}.jsonl", planned)
    settings = _choose(settings, size, papers)
    console.print(f"[dim]lake {settings.lake_root}\nDagster home {settings.dagster_home}[/]", soft_wrap=True)
    with Bars(console).listening():
        make_by_command(settings, TABLES["scholar"])
    _print_index(console, settings)
    _print_comparison(console, settings, known)
    _answer(console, settings, planned)
    standing = verified_citations(Lake.of(settings))
    console.print(
        f"{time.monotonic() - began:,.0f} s. {standing['stands']:,} of {standing.total():,} quotations and references "
        f"stand in their papers at their offsets. Pages: {settings.project / FOLDER}/answer-*.html. "
        'Ask more: `watershed ask "QUESTION"`; every stage: `watershed sql "SELECT * FROM scholar.candidates"`.',
        soft_wrap=True,
    )


def _write_documents(path: Path, size: ScholarSize) -> dict[str, str]:
    """Write the records of the documents, and return questions with the id of the document that answers each."""
    from catalog.files import write_whole
    from catalog.progress import track
    from spark_jobs.scholar.documentation import chosen_documents

    with track("documents", 1, "crawls"):
        found = chosen_documents(size.documents)
    lines = (json.dumps(document.record(), ensure_ascii=False) + "\n" for document in found)
    write_whole(path, "".join(lines).encode("utf-8", "replace"))
    summaries = [document for document in found if document.summary and document.id.startswith("module:")]
    return {str(document.summary): document.id for document in summaries[: size.known]}


def _choose(settings: Settings, size: str, papers: Sequence[str]) -> Settings:
    from dagster_project.cli.demo_choices import write_choices

    places = [f"{FOLDER}/{size}.jsonl", *(str(Path(place).expanduser().absolute()) for place in papers)]
    model = {"serve": PACKAGED, "model": PACKAGED, "timeout": 1800.0, "concurrency": 1}
    # Codes and not an exact search, although the corpus is small: their recall is to be seen.
    chosen = {"scholar": {"papers": places, "index": "ivf-rabitq"}, "models": {SMOLLM2: model}}
    return write_choices(settings, chosen)


def _print_index(console: Console, settings: Settings) -> None:
    from catalog.lake import Lake
    from catalog.printable import human_bytes

    (row,) = Lake.of(settings).read("scholar.index").to_pylist()
    each = max(row["passages"], 1)
    kinds = ", ".join(sorted(set(row["kinds"])))
    console.print(
        f"{row['passages']:,} passages, {human_bytes(row['text_bytes'])} of text\n"
        f"vectors: {human_bytes(row['vector_bytes'])}, and {row['code_bytes'] / each:,.0f} bytes of codes a passage "
        f"({kinds}), built in {row['vector_seconds']:,.1f} s\n"
        f"words: {human_bytes(row['word_bytes'])}, built in {row['word_seconds']:,.1f} s",
        soft_wrap=True,
    )


def _print_comparison(console: Console, settings: Settings, known: dict[str, str]) -> None:
    from rich.table import Table

    from dagster_project.families.scholar.recipes import project_datastore, project_encoder
    from spark_jobs.scholar.comparison import compared_searches, index_recall

    store, encoder = project_datastore(settings), project_encoder(settings)
    recall = index_recall(store.vectors, encoder, list(known))
    table = Table("search", "nDCG@10", "recall@10", "MRR", title=f"{len(known):,} summaries, each to find its document")
    for each in compared_searches(store, known):
        table.add_row(each.search, *(f"{value:.3f}" for value in (each.ndcg, each.recall, each.mrr)))
    console.print(table)
    console.print(f"recall@10 of the index against exact search on these questions: {recall:.3f}")


def _answer(console: Console, settings: Settings, size: ScholarSize) -> None:
    """Answer the questions; the first by the model if it is installed, the others by passages."""
    from dagster_project.cli.screen.scholar import answer_question

    written = smollm2_installed()
    if not written:
        console.print("[yellow]SmolLM2 is not installed (`uv sync --extra smollm2`): passages alone are the answers[/]")
    chosen: dict[str, Any] = {"passages": size.passages, "tokens": size.tokens, "feedback": size.feedback}
    # A small model writes better when it samples little.
    chosen["temperature"] = 0.2
    for number, question in enumerate(QUESTIONS, start=1):
        console.rule(f"[bold]{question}", align="left")
        page = settings.project / FOLDER / f"answer-{number}.html"
        if number > 1 or not written:
            answer_question(settings, question, {"passages": 3}, model=None, page=page)
            continue
        answer_question(settings, question, chosen, model=SMOLLM2, page=page)
