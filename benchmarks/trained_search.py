"""What training on pairs gains: `watershed encoder train` and `watershed reranker train`, both from all-MiniLM-L6-v2.

    uv run --all-groups python -m benchmarks.trained_search [--pairs 600] [--ranked 120] [--out FILE]

Pairs are made of the documentation of this machine. A question is the summary of a Python module, which is the first
sentence of its docstring. The passage that answers it is the begin of its other docstrings under the module's name, in
which the summary does not stand. A digest of the question decides whether it is trained on or held out. Both commands
run as a person runs them, and print MRR and nDCG@10 of the held-out questions before and after training, with the
interval of the paired difference. docs/retrieval.md has the results.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from spark_jobs.retrieval.passages import Cut, spans
from spark_jobs.scholar.documentation import Document, chosen_documents
from spark_jobs.scholar.pairs import held_out
from spark_jobs.scholar.tables import embedded_text

HELD = 0.25
"""The share of the questions that are held out."""
READ_FOR_EACH = 3
"""Documents that are read for a pair: many modules have no summary."""

Row = dict[str, Any]


def pairs_of(documents: Sequence[Document], count: int, words: int) -> list[Row]:
    """Return rows {"query", "positive"} of modules: their summary, and the first words of their other docstrings.

    Args:
        documents: documents of `chosen_documents`.
        count: rows to return at most.
        words: words of a passage at most.
    """
    found: dict[str, Row] = {}
    for document in documents:
        summary = document.summary
        if not summary or not document.id.startswith("module:"):
            continue
        begin, end = next(iter(spans(document.text, Cut(words=words))))
        passage = embedded_text(document.title, document.text[begin:end])
        if summary.casefold() not in " ".join(passage.split()).casefold():
            found.setdefault(summary.casefold(), {"query": summary, "positive": passage})
    return list(found.values())[:count]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--pairs", "count", default=600, show_default=True, help="Pairs of the encoder.")
@click.option("--ranked", default=120, show_default=True, help="Pairs of the reranker, which reads a group for each.")
@click.option("--words", default=60, show_default=True, help="Words of a passage.")
@click.option("--group", default=8, show_default=True, help="Documents that the reranker compares for a question.")
@click.option("--epochs", default=1.0, show_default=True, help="How often the pairs are read.")
@click.option("--out", type=click.Path(path_type=Path), help="Writes the numbers as JSON.")
def main(*, count: int, ranked: int, words: int, group: int, epochs: float, out: Path | None) -> None:
    """Train an encoder and a reranker on pairs of this machine's documentation, and print what that gains."""
    rows = pairs_of(chosen_documents(READ_FOR_EACH * count), count, words)
    found = {}
    with tempfile.TemporaryDirectory(prefix="trained-search-") as name:
        folder = Path(name)
        (folder / "watershed.toml").touch()
        for command, some, more in (("encoder", rows, ()), ("reranker", rows[:ranked], ("--group", str(group)))):
            train, held = held_out(some, HELD)
            click.echo(f"{command}: {len(train):,} pairs, {len(held):,} held-out questions")
            write_rows(folder / f"{command}.jsonl", train)
            write_rows(folder / f"{command}-held.jsonl", held)
            began = time.monotonic()
            trained(folder, command, epochs, more)
            found[command] = json.loads((folder / command / "result.json").read_text())
            click.echo(f"{time.monotonic() - began:,.0f} s")
    if out:
        out.write_text(json.dumps(found, indent=1))


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write pairs as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def trained(folder: Path, command: str, epochs: float, more: Sequence[str]) -> None:
    """Run `watershed encoder train` or `watershed reranker train` on the files of a folder."""
    words = [command, "train", str(folder / f"{command}.jsonl"), "--heldout", str(folder / f"{command}-held.jsonl")]
    words += ["--out", str(folder / command), "--epochs", str(epochs), *more]
    environment = {**os.environ, "WATERSHED_PROJECT": str(folder)}
    subprocess.run([sys.executable, "-m", "dagster_project", *words], check=True, env=environment)


if __name__ == "__main__":
    main()
