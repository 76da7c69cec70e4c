"""Shards of two mixtures to compare: equally large, with the same tokenizer, without held-out documents.

A mixture is named after what it takes of the documents that survived curation:

    selected                the best-scored share, as `top_fraction=0.3`
    unselected              all of them, whatever their score: `top_fraction=1`
    top_fraction=0.1        another share
    rules=gopher            the documents that the rules of this recipe keep too
    top_fraction=0.5,rules=gopher

Neither mixture contains documents that are set aside for evaluation, or that overlap with an evaluation question. Both
are read in the same hash order and cut to the same number of bytes: as many as the largest run reads once, or the size
of the smaller mixture.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.names import close, find
from catalog.progress import track
from catalog.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from spark_jobs.selection.recipe import MixtureRecipe
    from spark_jobs.shards.writer import ShardRecipe, ShardWriter

CODE_VERSION = "1"
"""Increased when the same mixtures would give other shards."""
NAMED = {"selected": "top_fraction=0.3", "unselected": "top_fraction=1"}
SPARE = 1.1
"""Bytes to examine for each byte wanted, because documents that overlap with held-out text are left out."""
OVERLAP = 0.2
"""A document is left out if it holds at least this share of the 13-grams of a question or of its source document."""
SOURCES = ("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.scores", "dclm.verdicts")
BATCH_ROWS = 512

CHOSEN_SQL = """
CREATE OR REPLACE TEMP TABLE chosen AS
WITH survivor AS (
    SELECT s.doc_id, s.score, p.text_bytes,
           substr(sha256(concat_ws(chr(31), $seed, 'split', doc_id)), 1, 16) < $heldout_key AS heldout,
           substr(sha256(concat_ws(chr(31), $seed, 'compare', doc_id)), 1, 16) AS key
    FROM dclm.scores s JOIN dclm.paragraphs p USING (doc_id) WHERE p.kept AND p.text_bytes > 0
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, doc_id DESC) AS place, count(*) OVER () AS scored FROM survivor
), taken AS (
    SELECT doc_id, key, text_bytes, place <= ceil($top_fraction * scored) AS in_mixture
    FROM ranked WHERE NOT heldout
)
SELECT doc_id, key, text_bytes, sum(text_bytes) OVER (ORDER BY key, doc_id) AS reached
FROM taken SEMI JOIN (FROM dclm.verdicts WHERE recipe = $rules AND kept) v USING (doc_id)
WHERE in_mixture QUALIFY reached - text_bytes < $bytes
"""
"""Documents in the order of their key, up to the one that reaches the wanted bytes."""

TEXTS_SQL = """
SELECT c.key, doc_id, coalesce(d.host, 'unknown') AS source, coalesce(p.text, e.text, d.text) AS text
FROM chosen c JOIN dclm.documents d USING (doc_id) JOIN dclm.paragraphs p USING (doc_id)
JOIN (FROM dclm.measurements WHERE recipe = $recipe) e USING (doc_id)
"""

QUESTIONS_SQL = """
SELECT task AS evaluation, question_id AS example_id, context || choices[gold + 1] AS text FROM evals.examples
UNION ALL
SELECT 'held-out documents', doc_id, text FROM dclm.texts SEMI JOIN evals.examples USING (doc_id)
"""


@dataclass(frozen=True, kw_only=True)
class Curation:
    """The recipes that the lake's documents were curated by, and that the shards of a mixture follow too."""

    rules: str
    """The recipe whose survivors are deduplicated and scored."""
    judges: tuple[str, ...]
    """Recipes that dclm.verdicts holds the verdicts of."""
    mixture: MixtureRecipe
    """Its seed and held-out share decide which documents are set aside for evaluation."""
    shards: ShardRecipe


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What a mixture takes of the documents that survived curation."""

    name: str
    """The text that `parse_mixture` read."""
    top_fraction: float = 1.0
    """Share of the scored documents to take, the best first; 1 takes all of them, whatever their score."""
    rules: str
    """A recipe whose rules must keep the documents too."""
    folder: bool = False
    """Whether it is a folder of the user's documents, which neither of the other fields describes."""

    def __post_init__(self) -> None:
        if not 0 < self.top_fraction <= 1:
            raise WatershedError(
                f"mixture {self.name}: top_fraction {self.top_fraction:g} is not in (0, 1]",
                "write 0.1 for the best tenth",
            )

    @property
    def literals(self) -> dict[str, Any]:
        """What decides its documents; its name does not."""
        return {"top_fraction": self.top_fraction, "rules": self.rules}


def parse_mixture(text: str, curation: Curation) -> Mixture:
    """A mixture from its name or from `KEY=VALUE,KEY=VALUE`.

    Args:
        text: such as `selected`, or `top_fraction=0.1,rules=gopher`.
        curation: names the recipes that `rules` may be; its own rules are the default.

    Raises:
        WatershedError: the text is neither, or names a recipe without verdicts.
    """
    values: dict[str, Any] = {"rules": curation.rules}
    text = find(text, NAMED) or text
    for part in NAMED.get(text, text).split(","):
        key, found, value = part.partition("=")
        if not found or key not in ("top_fraction", "rules"):
            raise WatershedError(
                f"no mixture is called {text!r}",
                f"use {' or '.join(NAMED)}, or KEY=VALUE,... of top_fraction and rules: top_fraction=0.1,rules=gopher",
            )
        values[key] = _number(text, value) if key == "top_fraction" else find(value, curation.judges) or value
    mixture = Mixture(name=text, **values)
    if mixture.rules not in curation.judges:
        raise WatershedError(
            f"mixture {text}: dclm.verdicts holds no verdicts of the recipe {mixture.rules!r}"
            f"{close(mixture.rules, curation.judges)}",
            f"choose one of {', '.join(curation.judges)}",
        )
    return mixture


def _number(text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise WatershedError(f"mixture {text}: {value!r} is not a number", "write top_fraction=0.1") from None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Shards of a mixture."""

    mixture: Mixture
    fingerprint: str
    folder: Path
    """Holds train/ and dataset.json."""
    documents: int
    bytes: int
    tokens: int
    """Stored tokens."""
    vocab_size: int
    contaminated: int
    """Documents left out because they overlap with held-out text."""

    def as_dict(self) -> dict[str, Any]:
        """Its fields for a report."""
        taken = {} if self.mixture.folder else self.mixture.literals
        return taken | {
            "dataset": self.fingerprint,
            "documents": self.documents,
            "text_bytes": self.bytes,
            "tokens": self.tokens,
            "contaminated": self.contaminated,
        }


@dataclass(frozen=True)
class Chosen:
    """Documents of one mixture in the order of their key."""

    doc_ids: list[str]
    ends: list[int]
    """Cumulative bytes at the end of each document."""
    bytes: int
    """Bytes to take; the last document may be cut."""
    contaminated: int

    def within(self, most: int) -> Chosen:
        """The first `most` bytes."""
        count = bisect_left(self.ends, most) + 1
        return Chosen(self.doc_ids[:count], self.ends[:count], min(most, self.bytes), self.contaminated)


def write_datasets(
    settings: Settings, curation: Curation, mixtures: Sequence[Mixture], train_tokens: int
) -> list[Dataset]:
    """Write equally large shards of all `mixtures` among the files of ladder.comparison_runs, if not there already.

    Args:
        settings: name the lake.
        curation: the recipes that the lake was curated by.
        mixtures: two or more.
        train_tokens: the tokens that the largest run reads, and the most that a mixture gets.

    Raises:
        WatershedError: the lake lacks a table, or a mixture has too few documents.
    """
    from catalog.sql.query import connect
    from spark_jobs.dclm.tokenizer import stored_tokenizer

    lake = Lake.of(settings)
    tokenizer, row = stored_tokenizer(lake)
    wanted = math.ceil(train_tokens * row["bytes_per_token"])
    made_from = {name: _recorded(lake, name) for name in (*SOURCES, "dclm.tokenizer", "evals.examples")}
    connection = connect(settings)
    try:
        chosen = [_choose(connection, curation, mixture, wanted) for mixture in mixtures]
        size = min(wanted, *(each.bytes for each in chosen))
        datasets = []
        for mixture, each in zip(mixtures, chosen, strict=True):
            identity = fingerprint(CODE_VERSION, mixture.literals, size, OVERLAP, curation.shards, made_from)
            writer = _writer(lake, identity, tokenizer, curation.shards)
            _write(connection, writer, each.within(size), curation=curation, mixture=mixture, tokenizer=row)
            datasets.append(_dataset(writer, mixture, each.within(size), row))
        return datasets
    finally:
        connection.close()


def _recorded(lake: Lake, name: str) -> dict[str, str]:
    written = lake.written(name)
    if not written:
        raise WatershedError(
            f"{name} does not exist yet, and mixtures are made from it",
            "run `watershed demo`, or `watershed make evals.examples`",
        )
    return {part: commit.fingerprint for part, commit in sorted(written.items())}


def _choose(connection: duckdb.DuckDBPyConnection, curation: Curation, mixture: Mixture, wanted: int) -> Chosen:
    """The first documents of a mixture by key, without those that overlap with held-out text."""
    from spark_jobs.hash_order import key_of_share

    recipe = curation.mixture
    values = {
        "seed": str(recipe.seed),
        "heldout_key": key_of_share(recipe.heldout_share),
        "top_fraction": mixture.top_fraction,
        "rules": mixture.rules,
        "bytes": math.ceil(SPARE * wanted),
    }
    connection.execute(CHOSEN_SQL, values)
    ((count,),) = connection.execute("SELECT count(*) FROM chosen").fetchall()
    out = _contaminated(connection, curation, mixture, count)
    rows = connection.execute("SELECT doc_id, text_bytes FROM chosen ORDER BY key, doc_id").fetchall()
    kept = [(doc_id, size) for doc_id, size in rows if doc_id not in out]
    if not kept:
        raise WatershedError(
            f"mixture {mixture.name} has no document to train on, of {len(rows)}",
            "take a larger top_fraction, or curate a larger crawl",
        )
    ends, reached = [], 0
    for _, size in kept:
        reached += size
        ends.append(reached)
    return Chosen([doc_id for doc_id, _ in kept], ends, reached, len(out))


def _contaminated(connection: duckdb.DuckDBPyConnection, curation: Curation, mixture: Mixture, count: int) -> set[str]:
    """The documents of the table `chosen` that overlap with evaluation questions."""
    from spark_jobs.contamination.index import build_index
    from spark_jobs.contamination.rules import RULES
    from spark_jobs.contamination.search import find_contamination

    asked = connection.execute(QUESTIONS_SQL).to_arrow_table().to_batches()
    index = build_index(asked, dataclasses.replace(RULES["ngram"], share=OVERLAP))
    found: set[str] = set()
    with track(f"{mixture.name}: looking for held-out text", count, "documents") as task:
        for batch in _texts(connection, curation):
            ids = batch.select(["doc_id", "text"]).rename_columns(["id", "text"])
            (marked,) = find_contamination([ids], index)
            found.update(marked["id"].filter(marked["contaminated"]).to_pylist())
            task.advance(batch.num_rows)
    return found


def _texts(connection: duckdb.DuckDBPyConnection, curation: Curation, order: str = "") -> Iterator[pa.RecordBatch]:
    """`key`, `doc_id`, `source` and `text` of the documents `chosen`."""
    yield from connection.execute(TEXTS_SQL + order, {"recipe": curation.rules}).to_arrow_reader(BATCH_ROWS)


def _writer(lake: Lake, identity: str, tokenizer: Path, recipe: ShardRecipe) -> ShardWriter:
    from spark_jobs.shards.writer import ShardWriter

    return ShardWriter(lake.folder("ladder.comparison_runs", "datasets", identity), tokenizer, recipe)


def _write(
    connection: duckdb.DuckDBPyConnection,
    writer: ShardWriter,
    chosen: Chosen,
    *,
    curation: Curation,
    mixture: Mixture,
    tokenizer: dict[str, Any],
) -> None:
    """Write the shards of these documents and, last, their manifest, unless it exists already."""
    from spark_jobs.shards.format import MANIFEST, parse_line, write_manifest
    from spark_jobs.shards.publish import write_description
    from spark_jobs.shards.tokenizer import EOT

    if (writer.folder / "train" / MANIFEST).is_file():
        return
    connection.register("wanted", pa.table({"doc_id": pa.array(chosen.doc_ids, pa.string())}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE chosen AS SELECT doc_id, "
        "substr(sha256(concat_ws(chr(31), $seed, 'compare', doc_id)), 1, 16) AS key FROM wanted",
        {"seed": str(curation.mixture.seed)},
    )
    notes = []
    with track(f"{mixture.name}: tokenising", len(chosen.doc_ids), "documents") as task:
        # With shards of the nominal size, the last could be of any size, even smaller than a sequence.
        shards = max(1, round(chosen.bytes / (writer.recipe.shard_tokens * tokenizer["bytes_per_token"])))
        most = math.ceil(chosen.bytes / shards)
        texts = _cut(_texts(connection, curation, "ORDER BY key, doc_id"), chosen.bytes)
        for number, documents in enumerate(shards_of(texts, most)):
            notes.append(writer.make("train", number, documents))
            task.advance(documents.num_rows)
    lines = [parse_line(note["line"]) for note in notes]
    filled = [line for line in lines if line.num_sequences]
    if not filled:
        raise WatershedError(
            f"mixture {mixture.name}: its {len(chosen.doc_ids)} documents fill no sequence of "
            f"{writer.recipe.sequence_length} tokens",
            "take a larger top_fraction, or curate a larger crawl",
        )
    write_description(writer.folder, writer.tokenizer, writer.recipe, writer.folder.name, tokenizer["vocab_size"], EOT)
    write_manifest(writer.folder / "train", filled)


def _cut(batches: Iterator[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """The first `most` bytes of text, cut at a whole character."""
    left = most
    for batch in batches:
        texts = []
        for text in batch["text"].to_pylist():
            texts.append(text.encode()[:left].decode(errors="ignore"))
            left -= min(left, len(text.encode()))
        yield batch.set_column(batch.schema.get_field_index("text"), "text", pa.array(texts, pa.string()))


def shards_of(batches: Iterator[pa.RecordBatch], most: float) -> Iterator[pa.Table]:
    """Documents in tables of `most` bytes of text each, independent of the incoming batches."""
    held: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        start = 0
        for place, text in enumerate(batch["text"].to_pylist(), start=1):
            size += len(text.encode())
            if size >= most:
                yield pa.Table.from_batches([*held, batch.slice(start, place - start)])
                held, size, start = [], 0, place
        if start < batch.num_rows:
            held.append(batch.slice(start))
    if held:
        yield pa.Table.from_batches(held)


def _dataset(writer: ShardWriter, mixture: Mixture, chosen: Chosen, row: dict[str, Any]) -> Dataset:
    from spark_jobs.shards.format import read_manifest

    return Dataset(
        mixture=mixture,
        fingerprint=writer.folder.name,
        folder=writer.folder,
        documents=len(chosen.doc_ids),
        bytes=chosen.bytes,
        tokens=sum(line.tokens for line in read_manifest(writer.folder / "train")),
        vocab_size=row["vocab_size"],
        contaminated=chosen.contaminated,
    )
