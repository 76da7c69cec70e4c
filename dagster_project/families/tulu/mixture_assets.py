"""The assets of mixtures: rows of sources, their tokens, contamination, and what each mixture takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.progress import track
from catalog.tables.tulu import (
    CONTAMINATED_ROWS,
    CONTAMINATION,
    DROPS,
    MIXTURE,
    PROPORTIONS,
    ROWS,
    SOURCES,
    TOKENS,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.tulu import recipes
from dagster_project.families.tulu.recipes import token_identity, token_recipe, workers_of

BATCH = 20_000


def name_of(making: Making) -> str:
    """The source, mixture, collection or model of the partition."""
    assert making.partition is not None
    (name,) = making.partition.values()
    return str(name)


def write(making: Making, contract: Contract, rows: Sequence[Any]) -> int:
    """Write rows; returns their number."""
    making.replace(contract, pa.Table.from_pylist(list(rows), schema=contract.schema))
    return len(rows)


def rows_in(making: Making, contract: Contract, column: str, names: Sequence[str]) -> pa.Table:
    """The rows of a table whose partition column has one of these values, empty if the table does not exist."""
    if not making.lake.exists(contract.name):
        return contract.schema.empty_table()
    table = making.lake.table(contract.name).to_pyarrow_table(partitions=[(column, "in", list(names))])
    return table.select(contract.schema.names)


@table_asset(
    ROWS,
    code_version="1",
    recipe=recipes.source_recipe,
    identity=recipes.source_identity,
    cut=recipes.SOURCES,
    keys=recipes.source_keys,
    needs=recipes.rows_needed,
)
def tulu_rows(making: Making) -> dict[str, Any]:
    """Reads the files of a source, or a table of preference pairs, into one shape. Malformed rows are kept and marked.

    A download of another revision than the declared one is refused.
    """
    from spark_jobs.tulu.reading import read_source, rows_of, without_nulls

    source = making.recipe.source
    if making.recipe.fault:
        raise making.recipe.fault
    pinned = _pinned(making)
    if source.table:
        pairs = making.lake.read(source.table).to_pylist()
        raw = (
            (source.table, each | {"prompt": [without_nulls(message) for message in each["prompt"]]})
            for each in sorted(pairs, key=lambda row: row["id"])
        )
        batches = rows_of(source, raw, making.recipe.revision)
    else:
        batches = read_source(source, making.recipe.files, making.recipe.revision)
    tables = [pa.Table.from_pylist(batch, schema=ROWS.schema) for batch in batches]
    table = pa.concat_tables(tables)
    making.replace(ROWS, table)
    malformed = table.num_rows - table["malformed"].null_count
    return {"rows": table.num_rows, "malformed": malformed, "licence": source.licence, "pinned": pinned}


def _pinned(making: Making) -> str:
    """How the revision of a source is known; warns or refuses, as `[tulu] unpinned` says, if it is not."""
    source, revision, wanted = making.recipe.source, making.recipe.revision, making.settings.tulu.unpinned
    if wanted not in ("warn", "refuse"):
        raise WatershedError(f"[tulu] unpinned is {wanted[:40]!r}", "write warn or refuse")
    if not source.repository:
        return "by the contents of its table" if source.table else "by the contents of its files"
    if revision != "main":
        return "commit, declared" if source.revision != "main" else "commit, recorded by the download"
    cause = f"no commit of {source.repository} is declared or recorded: a download of tomorrow may differ"
    mend = f"declare the commit as `revision` of {source.name} in mixtures/NAME.yaml, or download with `hf download`"
    if wanted == "refuse":
        raise WatershedError(cause, mend)
    making.context.log.warning("%s; %s", cause, mend)
    return "no"


def _batches(table: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in table.to_batches(BATCH):
        yield batch.to_pylist()


@table_asset(
    TOKENS,
    code_version="2",
    recipe=token_recipe,
    identity=token_identity,
    cut=recipes.SOURCES,
    keys=recipes.source_keys,
)
def tulu_tokens(making: Making) -> dict[str, Any]:
    """Counts the tokens of each row under the chat template, and those that a trainer would train on.

    Without a tokenizer in `[tulu]` the table is empty.
    """
    from dagster_project.families.tulu.tokens import TokenCounter

    files, stop = making.recipe
    if not files:
        return {"rows": write(making, TOKENS, [])}
    counter = TokenCounter.open(files["tokenizer"], files["chat_template"], stop)
    name = name_of(making)
    table = rows_in(making, ROWS, "source", [name])
    found: list[dict[str, Any]] = []
    with track(f"tulu.tokens {name}", table.num_rows, "rows") as task:
        for batch in _batches(table):
            found += [{"source": name, "row_id": row["row_id"], **counter.count(row)} for row in batch]
            task.advance(len(batch))
    refused = sum(bool(row["failure"]) for row in found)
    trained = sum(row["trained_tokens"] for row in found)
    return {"rows": write(making, TOKENS, found), "trained tokens": trained, "refused": refused}


@table_asset(
    CONTAMINATION,
    CONTAMINATED_ROWS,
    code_version="1",
    recipe=recipes.evaluation_files,
    identity=recipes.evaluation_identity,
    cut=recipes.SOURCES,
    keys=recipes.source_keys,
)
def tulu_contamination(making: Making) -> dict[str, Any]:
    """Searches the user's turns for the instances of every evaluation, by the published rule and the strict one.

    The row of a data set and an evaluation has the counts of a rule and the decision that follows from `[tulu] rule`.
    Without a folder in `[tulu] evaluations` the tables are empty.
    """
    from spark_jobs.tulu.decontamination import decide
    from spark_jobs.tulu.decontamination.index import build_index
    from spark_jobs.tulu.decontamination.instances import read_evaluation
    from spark_jobs.tulu.decontamination.search import search, user_text
    from spark_jobs.tulu.suites import search_fields, suite_of

    files, rule = making.recipe
    name = name_of(making)
    if not files:
        write(making, CONTAMINATED_ROWS, [])
        return {"rows": write(making, CONTAMINATION, [])}
    index = build_index([read_evaluation(path, search_fields(path)) for path in files.values()])
    policy = decide.Policy(rule=rule, suites={each: suite_of(each) for each in files})
    table = rows_in(making, ROWS, "source", [name]).select(["row_id", "messages"])
    texts = (user_text(batch["messages"]) for batch in table.to_batches(BATCH))
    found = search(texts, index, workers_of(making.settings))
    decided = decide.contamination(name, found, policy)
    write(making, CONTAMINATED_ROWS, decide.contaminated_rows(name, found, table["row_id"].to_pylist()))
    write(making, CONTAMINATION, decided)
    return {
        "evaluations": len(files),
        "contaminated by": sum(row["contaminated"] for row in decided if row["rule"] == rule),
        "found by published": sum(row["instances_hit"] for row in decided if row["rule"] == "published"),
        "found by strict": sum(row["instances_hit"] for row in decided if row["rule"] == "strict"),
    }


@table_asset(
    MIXTURE,
    SOURCES,
    DROPS,
    code_version="1",
    recipe=recipes.mixture_recipe,
    cut=recipes.MIXTURES,
    keys=recipes.mixture_keys,
    needs=recipes.mixture_needed,
)
def tulu_mixture(making: Making) -> dict[str, Any]:
    """Filters, deduplicates and draws the rows of a mixture. What is left out has every reason in tulu.drops."""
    from spark_jobs.tulu.decontamination.decide import to_drop
    from spark_jobs.tulu.mixing import judged, mix

    chosen, rule = making.recipe
    candidates, revisions, contaminated = {}, {}, {}
    dropped: set[str] = set()
    for source in chosen.sources:
        table = rows_in(making, ROWS, "source", [source.name]).sort_by("number")
        batches = (row for batch in _batches(table) for row in batch)
        candidates[source.name] = judged(batches, chosen.filters, chosen.kind, workers_of(making.settings))
        revisions[source.name] = table["revision"][0].as_py() if table.num_rows else source.revision
        decided = rows_in(making, CONTAMINATION, "source", [source.name]).to_pylist()
        overlapping = rows_in(making, CONTAMINATED_ROWS, "source", [source.name]).to_pylist()
        whole, contaminated[source.name] = to_drop(decided, overlapping, rule)
        dropped |= whole
    mixed = mix(chosen, candidates, contaminated, dropped)
    write(making, DROPS, mixed.drops)
    write(making, SOURCES, [{**row, "revision": revisions[row["source"]]} for row in mixed.sources])
    write(making, MIXTURE, mixed.rows)
    missing = sum(row["missing"] for row in mixed.sources)
    return {"rows": len(mixed.rows), "wanted": chosen.total, "missing": missing, "dropped": len(mixed.drops)}


@table_asset(
    PROPORTIONS,
    code_version="1",
    cut=recipes.MIXTURES,
    keys=recipes.mixture_keys,
    needs=recipes.mixture_needed,
)
def tulu_proportions(making: Making) -> dict[str, Any]:
    """Counts the effective share of each source in rows and in trained tokens, which differ where replies differ."""
    from spark_jobs.tulu.mixing import proportions as counted

    name = name_of(making)
    facts = rows_in(making, SOURCES, "mixture", [name]).to_pylist()
    taken = rows_in(making, MIXTURE, "mixture", [name]).to_pylist()
    lengths = rows_in(making, TOKENS, "source", [row["source"] for row in facts]).to_pylist()
    counts = {row["row_id"]: None if row["failure"] else (row["tokens"], row["trained_tokens"]) for row in lengths}
    made = counted(facts, taken, counts)
    making.metadata |= {f"share of trained tokens: {row['source']}": row["trained_share"] for row in made[:20]}
    return {"sources": write(making, PROPORTIONS, made)}
