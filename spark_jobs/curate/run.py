"""Applies a recipe to all inputs in parallel, and writes verdicts, copies and kept documents into one folder.

Finished inputs are kept: an interrupted run continues where it stopped, if inputs and recipe are the same.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.progress import track
from spark_jobs.compute import pc
from spark_jobs.curate.copies import Copies, find_copies
from spark_jobs.curate.earlier import INDEX, EarlierRun, earlier_runs
from spark_jobs.curate.inputs import Source
from spark_jobs.curate.parts import KEPT, Tally, curate_part, verdict_schema
from spark_jobs.curate.results import ALWAYS, WORK, claimed, publish
from spark_jobs.curate.stage import Stage, write_parquet
from spark_jobs.light_imports import light_imports
from spark_jobs.recipes import deduplications
from spark_jobs.recipes.recipe import STATE_RULE, Recipe

if TYPE_CHECKING:
    from concurrent.futures import Future

    from spark_jobs.contamination.index import Index
    from spark_jobs.contamination.rules import Decontamination
    from spark_jobs.curate.contamination import Contamination
    from spark_jobs.curate.selection import Selected

IDS_SHOWN = 5
"""How many of the ids that several documents have are named in an error."""
LARGE = 10_000
"""From this many documents on, a step that affects none of them causes a warning."""
WORTH_A_PROCESS = 1_000_000
"""Bytes of input from which worker processes are started, unless their number is given. Each takes more than a second
of processor time to import Arrow and numba and to load the kernels; one process judges this much in that time."""
KEPT_COLUMNS = ("id", "text", "url", "metadata")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results of a run."""

    sources: tuple[Source, ...]
    tally: Tally
    copies: Copies
    contamination: Contamination | None
    selected: Selected | None
    warnings: tuple[str, ...]


def curate(
    sources: Sequence[Source],
    recipe: Recipe,
    out: Path,
    *,
    against: Sequence[Path] = (),
    evaluations: Sequence[Path] = (),
    decontamination: Decontamination | None = None,
    workers: int | None = None,
) -> Outcome:
    """Judge documents by a recipe, find copies among those that its steps keep, select, and write what is left.

    Writes kept.parquet (id, edited text, url, metadata), verdicts.parquet (for each document: kept or not, every
    broken rule, every measured value), duplicates.parquet and index.parquet (which a later run is compared `against`).
    Documents that the runs of `against` kept are kept, and copies of them are dropped.
    With `evaluations`, it writes contamination.parquet (a row for each evaluation) and contaminated.parquet (dropped
    documents that hold examples, by the rule `decontamination` or else the recipe's). For a recipe that selects, it
    writes scores.parquet and buckets.parquet. All files are written at the end, with manifest.json, and replace those
    of an earlier run. The same inputs give the same bytes for any number of `workers`.

    Raises:
        WatershedError: an input is damaged or lacks a column; two documents have the same id; an evaluation cannot be
            read, or nothing of any can be found; the recipe finds no copies and `against` is given; the disk is full;
            `out` cannot be written, is used by another run, or holds files that no run wrote.
    """
    if against and not recipe.deduplicate:
        raise WatershedError(
            f"recipe {recipe.name} finds no copies, so it cannot be compared with an earlier run",
            "leave out --against, or use a recipe with `deduplicate:`",
        )
    deduplications.check(recipe, against=bool(against))
    earlier = earlier_runs(against, texts=deduplications.compares_texts(recipe))
    if recipe.select and recipe.select.model:
        from spark_jobs.curate.selection import check_model

        check_model(recipe.select)
    examples = None
    if evaluations:
        from spark_jobs.curate.contamination import read_examples

        examples = read_examples(evaluations, decontamination or recipe.decontaminate)
    try:
        with claimed(out):
            return _curate(sources, recipe, out, earlier, examples, workers or usual_workers(sources))
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WatershedError(
                f"{out}: the disk is full", "free space and run the same command: inputs that are done are kept"
            ) from error
        raise


def _curate(  # noqa: PLR0917 - the arguments of `curate`
    sources: Sequence[Source],
    recipe: Recipe,
    out: Path,
    earlier: Sequence[EarlierRun],
    examples: tuple[Index, Sequence[str]] | None,
    workers: int,
) -> Outcome:
    work = out / WORK / recipe.fingerprint()[:16]
    work.mkdir(parents=True, exist_ok=True)
    tally = _parts(sources, recipe, work, workers)
    parts = [_part(work, source) for source in sources]
    _check_archives(sources, parts, tally)
    _check_ids(parts)
    with track("copies", tally.kept, "documents") as task:
        copies = find_copies([part / "kept.parquet" for part in parts], recipe, work, earlier, task.reach)
    found = selected = None
    if examples:
        from spark_jobs.curate.contamination import find_examples

        found = find_examples(copies.left, *examples, work)
    left = found.left if found else copies.left
    if recipe.select and recipe.select.model:
        from spark_jobs.curate.selection import select

        selected = select(left, recipe.select, work, tally.kept - sum(copies.dropped.values()))
    _write_verdicts(parts, recipe, work)
    left = selected.left if selected else left
    _write_kept(left, work)
    write_parquet(work / "index.parquet", INDEX, left.batches(INDEX.names))
    made = [
        *ALWAYS,
        *(["contamination", "contaminated"] if found else []),
        *(["scores", "buckets"] if selected else []),
    ]
    publish(out, work, made, recipe, sources, [run.name for run in earlier])
    notes = (*_warnings(tally, recipe), *(found.warnings if found else ()))
    return Outcome(
        sources=tuple(sources), tally=tally, copies=copies, contamination=found, selected=selected, warnings=notes
    )


def usual_workers(sources: Sequence[Source]) -> int:
    """Processes that pay: one for each core, but only this one for inputs that it judges before others have started."""
    return (os.cpu_count() or 1) if sum(source.bytes for source in sources) >= WORTH_A_PROCESS else 1


def _part(work: Path, source: Source) -> Path:
    """The folder of an input's part; it changes with the input."""
    identity = f"{source.path}\n{source.bytes}\n{source.path.stat().st_mtime_ns}"
    return work / f"part-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _parts(sources: Sequence[Source], recipe: Recipe, work: Path, workers: int) -> Tally:
    """Judge all inputs and add up their tallies."""
    total = sum(source.bytes for source in sources)
    with track(f"judging by {recipe.name}", total, "bytes") as task:
        if workers == 1 or len(sources) == 1:
            done = 0
            tallies = []
            for source in sources:
                base = done
                tallies.append(
                    curate_part(source, recipe, _part(work, source), lambda at, base=base: task.reach(base + at))
                )
                done += source.bytes
        else:
            tallies = _side_by_side(sources, recipe, work, min(workers, len(sources)), task.reach)
    tally = Tally()
    for each in tallies:
        tally.add(each)
    return tally


def _side_by_side(
    sources: Sequence[Source], recipe: Recipe, work: Path, workers: int, reached: Callable[[int], None]
) -> list[Tally]:
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    progress: Any = context.Queue()
    places = dict.fromkeys(range(len(sources)), 0)
    with ProcessPoolExecutor(workers, context, initializer=_listen, initargs=(progress,)) as pool:
        order = sorted(range(len(sources)), key=lambda place: -sources[place].bytes)
        futures: dict[int, Future[Tally]] = {
            place: pool.submit(_work, place, sources[place], recipe, _part(work, sources[place])) for place in order
        }
        waiting = set(futures.values())
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                for place, at in _received(progress):
                    places[place] = at
                reached(sum(places.values()))
        except BrokenProcessPool as error:
            raise WatershedError(
                "a worker process died, probably because memory ran out",
                "run the same command with fewer --workers: inputs that are done are kept",
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
    return [futures[place].result() for place in range(len(sources))]


_progress: Any = None


def _listen(progress: Any) -> None:
    global _progress  # noqa: PLW0603 (a worker process has one queue)
    _progress = progress
    # Ctrl+C reaches all processes of a terminal; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    light_imports()


def _work(place: int, source: Source, recipe: Recipe, folder: Path) -> Tally:
    return curate_part(source, recipe, folder, lambda at: _progress.put((place, at)))


def _received(progress: Any) -> Iterator[tuple[int, int]]:
    import queue

    while True:
        try:
            yield progress.get_nowait()
        except queue.Empty:
            return


def _check_archives(sources: Sequence[Source], parts: Sequence[Path], tally: Tally) -> None:
    """Refuse inputs of which none has a record. One damaged archive among others is counted, and reported."""
    if not tally.documents or tally.first[STATE_RULE] < tally.documents:
        return
    damaged = ""
    for source, part in zip(sources, parts, strict=True):
        found = pq.ParquetFile(part / "verdicts.parquet").read(columns=["state", "reason"])
        if not pc.all(pc.equal(found["state"], "file_damaged"), min_count=0).as_py():
            return
        if len(found):
            damaged = damaged or f"{source.path}: not a WARC file ({found['reason'][0].as_py()})"
    raise WatershedError(damaged, "fetch the archive again")


def _check_ids(parts: Sequence[Path]) -> None:
    """Refuse two documents of one id: verdicts and copies could not be distinguished."""
    ids = pa.chunked_array(
        [
            chunk
            for part in parts
            for chunk in pq.ParquetFile(part / "verdicts.parquet").read(columns=["id"])["id"].chunks
        ],
        pa.string(),
    )
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = ids.value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    few = twice[:IDS_SHOWN].to_pylist()
    shown = ", ".join(f"{row['values'][:80]!r} ({row['counts']:,} documents)" for row in few)
    more = f" and {len(twice) - IDS_SHOWN:,} more" if len(twice) > IDS_SHOWN else ""
    raise WatershedError(f"ids are not unique: {shown}{more}", "give every document a unique id over all inputs")


def _write_verdicts(parts: Sequence[Path], recipe: Recipe, work: Path) -> None:
    with written(work / "verdicts.parquet", verdict_schema(recipe)) as file:
        for part in parts:
            for batch in pq.ParquetFile(part / "verdicts.parquet").iter_batches():
                file.write_batch(batch)


def _write_kept(left: Stage, work: Path) -> None:
    schema = pa.schema([KEPT.field(name) for name in KEPT_COLUMNS])
    with written(work / "kept.parquet", schema) as file:
        for batch in left.batches():
            file.write_batch(batch.select(list(KEPT_COLUMNS)))


@contextmanager
def written(path: Path, schema: pa.Schema) -> Generator[pq.ParquetWriter]:
    """A writer of a Parquet file that gets its name when it is complete."""
    from catalog.files import whole_path

    with whole_path(path) as fresh, pq.ParquetWriter(fresh, schema, compression="zstd") as file:
        yield file


def _warnings(tally: Tally, recipe: Recipe) -> tuple[str, ...]:
    """Warnings for the user: steps that were not applied, and steps that affected no document."""
    notes = [f"not applied: {step}" for step in recipe.pending]
    if recipe.select and recipe.select.missing:
        notes.append(f"not applied: selection by a quality model: {recipe.select.missing}")
    if not tally.documents:
        notes.append("the inputs hold no document at all")
    if tally.documents >= LARGE:
        notes += [
            f"edit {step.edit} changed none of {tally.documents:,} documents"
            for step in recipe.edits
            if not tally.changed[step.edit]
        ]
        notes += [
            f"rule {rule.name} dropped none of {tally.documents:,} documents"
            for rule in recipe.rules
            if not tally.broken[rule.name] and not rule.name.startswith("empty_after_")
        ]
    return tuple(notes)
