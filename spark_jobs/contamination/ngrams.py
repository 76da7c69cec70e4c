"""Documents that hold evaluation examples, found by n-grams of words (Brown et al. 2020, arXiv 2005.14165, appendix C).

Words are compared in lower case, without punctuation and white space. A document overlaps with an example that it
shares an n-gram with; it is contaminated when it holds at least `share` of the different n-grams of any one example.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from spark_jobs.kernels.overlap import NgramTable

MATCH = pa.struct(
    [
        ("evaluation", pa.string()),
        ("example_id", pa.string()),
        ("matched", pa.int32()),
        ("ngrams", pa.int32()),
        ("ngram", pa.string()),
    ]
)
"""An example that a document overlaps with: its n-grams that the document has, all its n-grams, and the first shared
one as the document has it."""
REPORT = pa.schema(
    [
        ("evaluation", pa.string()),
        ("examples", pa.int64()),
        ("examples_without_ngrams", pa.int64()),
        ("examples_overlapping", pa.int64()),
        ("examples_hit", pa.int64()),
        ("share_hit", pa.float64()),
        ("documents_overlapping", pa.int64()),
        ("documents_to_drop", pa.int64()),
        ("example_id", pa.string()),
        ("document_id", pa.string()),
        ("ngram", pa.string()),
    ]
)
"""A row for each evaluation. It counts the examples: all, those without n-grams, those that share one with a document,
and those of which a document holds enough (also as a share). It counts documents that overlap and that are
contaminated. It names the example with the largest overlap, its document, and the first shared n-gram."""


class NothingToLookFor(UserWarning):
    """Warns that an evaluation has no n-grams, so no overlap with it can be found."""


@dataclass(frozen=True, kw_only=True)
class Decontamination:
    """When a document counts as contaminated."""

    n: int = 13
    """Words of an n-gram."""
    share: float = 0.0
    """Least share of an example's distinct n-grams in a contaminated document; at 0, one n-gram is enough."""

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 <= self.share <= 1:
            raise WatershedError(f"n-grams of {self.n} words, share {self.share}", "set n >= 1 and 0 <= share <= 1")


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Evaluation examples and their n-grams, small enough to be sent to workers."""

    options: Decontamination
    evaluations: list[str]
    """Names, in order."""
    evaluation: npt.NDArray[np.int32]
    """For each example its evaluation."""
    ids: list[str]
    """For each example its id."""
    sizes: npt.NDArray[np.int32]
    """The number of distinct n-grams of each example."""
    hashes: npt.NDArray[np.uint64]
    """The distinct n-grams of all examples."""
    starts: npt.NDArray[np.int64]
    """n-gram i belongs to the examples `owners[starts[i] : starts[i + 1]]`."""
    owners: npt.NDArray[np.int32]

    def table(self) -> NgramTable:
        """The n-grams as a hash table for kernels."""
        from spark_jobs.kernels.overlap import ngram_table

        return ngram_table(self.hashes)


def evaluation_examples(batches: Iterable[pa.RecordBatch], options: Decontamination | None = None) -> Examples:
    """Collect the n-grams of evaluation examples; warns about every evaluation without any.

    Args:
        batches: evaluation, example_id, and text: all that must not be trained on, question and answer.
        options: when a document counts as contaminated.

    Raises:
        WatershedError: no evaluation has any n-gram.
    """
    from spark_jobs.kernels.overlap import word_ngrams

    options = options or Decontamination()
    names: list[str] = []
    ids: list[str] = []
    hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for batch in batches:
        ngrams = word_ngrams(batch["text"].fill_null(""), options.n)
        hashes.append(ngrams.values.to_numpy())
        owners.append(np.repeat(np.arange(batch.num_rows) + len(ids), np.diff(ngrams.offsets.to_numpy())))
        names += batch["evaluation"].to_pylist()
        ids += [str(id_) for id_ in batch["example_id"].to_pylist()]
    evaluations, evaluation = np.unique(np.array(names, object).astype(str), return_inverse=True)
    ngrams, owner = _different(np.concatenate(hashes), np.concatenate(owners))
    different, starts = np.unique(ngrams, return_index=True)
    examples = Examples(
        options=options,
        evaluations=evaluations.tolist(),
        evaluation=evaluation.astype(np.int32),
        ids=ids,
        sizes=np.bincount(owner, minlength=len(ids)).astype(np.int32),
        hashes=different,
        starts=np.append(starts, len(owner)).astype(np.int64),
        owners=owner.astype(np.int32),
    )
    _warn_of_silence(examples)
    return examples


def _different(
    hashes: npt.NDArray[np.uint64], owners: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Each n-gram of an example once, ordered by n-gram."""
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    return hashes[fresh], owners[fresh]


def _warn_of_silence(examples: Examples) -> None:
    n = examples.options.n
    held = np.bincount(examples.evaluation, examples.sizes, minlength=len(examples.evaluations))
    silent = [name for name, ngrams in zip(examples.evaluations, held, strict=True) if not ngrams]
    if len(silent) == len(examples.evaluations):
        raise WatershedError(
            f"not one of {len(examples.ids)} evaluation examples has {n} words, so nothing would ever be found",
            "pass whole examples, question and answer, or make n smaller",
        )
    for name in silent:
        warnings.warn(
            f"no example of {name} has {n} words: NOTHING of it will be found; make n smaller or examples longer",
            NothingToLookFor,
            stacklevel=3,
        )


@dataclass
class ContaminationReport:
    """Counts of what was found so far, independent of the order of documents."""

    examples: Examples
    _overlapping: set[int] = field(default_factory=set)
    _hit: set[int] = field(default_factory=set)
    _documents: dict[int, list[int]] = field(default_factory=dict)
    _worst: dict[int, tuple[float, str, str, str]] = field(default_factory=dict)

    def add(self, document: str, found: dict[int, tuple[int, str]]) -> bool:
        """Count a document and return whether it is contaminated.

        Args:
            document: its id.
            found: by example, the number of matched n-grams and the first of them.
        """
        seen: dict[int, bool] = {}
        for example, (matched, ngram) in found.items():
            share = matched / int(self.examples.sizes[example])
            hit = share >= self.examples.options.share
            evaluation = int(self.examples.evaluation[example])
            seen[evaluation] = seen.get(evaluation, False) or hit
            self._overlapping.add(example)
            if hit:
                self._hit.add(example)
            worst = (-share, self.examples.ids[example], document, ngram)
            self._worst[evaluation] = min(worst, self._worst.get(evaluation, worst))
        for evaluation, hit in seen.items():
            counts = self._documents.setdefault(evaluation, [0, 0])
            counts[0] += 1
            counts[1] += hit
        return any(seen.values())

    def table(self) -> pa.Table:
        """A row for each evaluation, in the columns of REPORT."""
        rows = []
        for number, name in enumerate(self.examples.evaluations):
            own = np.flatnonzero(self.examples.evaluation == number)
            hit = sum(example in self._hit for example in own.tolist())
            overlapping, to_drop = self._documents.get(number, [0, 0])
            _, example, document, ngram = self._worst.get(number, (0.0, None, None, None))
            rows.append(
                {
                    "evaluation": name,
                    "examples": len(own),
                    "examples_without_ngrams": int((self.examples.sizes[own] == 0).sum()),
                    "examples_overlapping": sum(example in self._overlapping for example in own.tolist()),
                    "examples_hit": hit,
                    "share_hit": hit / len(own),
                    "documents_overlapping": overlapping,
                    "documents_to_drop": to_drop,
                    "example_id": example,
                    "document_id": document,
                    "ngram": ngram,
                }
            )
        return pa.Table.from_pylist(rows, schema=REPORT)


def find_contamination(
    batches: Iterable[pa.RecordBatch], examples: Examples, report: ContaminationReport | None = None
) -> Iterator[pa.RecordBatch]:
    """Find for each document whether it is contaminated, and by which examples.

    Args:
        batches: id and text.
        examples: what to search for.
        report: counts what is found.

    Returns:
        a batch for each batch: id; contaminated; matches, a list of MATCH ordered by evaluation and example.
    """
    from spark_jobs.kernels.overlap import find_ngrams

    report = ContaminationReport(examples) if report is None else report
    table = examples.table()
    for batch in batches:
        found = find_ngrams(batch["text"], table, examples.options.n)
        documents, firsts = np.unique(found.document, return_index=True)
        ends = np.append(firsts, len(found.document))[1:]
        contaminated = np.zeros(batch.num_rows, np.bool_)
        matches: list[list[dict[str, object]]] = [[] for _ in range(batch.num_rows)]
        for document, first, end in zip(documents.tolist(), firsts, ends, strict=True):
            data = batch["text"][document].as_py().encode()
            places = zip(found.number[first:end], found.start[first:end], found.stop[first:end], strict=True)
            held = _held(examples, data, places)
            contaminated[document] = report.add(str(batch["id"][document].as_py()), held)
            matches[document] = _matches(examples, held)
        columns = {"id": batch["id"], "contaminated": contaminated, "matches": pa.array(matches, pa.list_(MATCH))}
        yield pa.record_batch(columns)


def _held(
    examples: Examples, data: bytes, places: Iterable[tuple[np.int32, np.int32, np.int32]]
) -> dict[int, tuple[int, str]]:
    """By example, the number of its distinct n-grams in a document, and the first of them."""
    held: dict[int, tuple[int, str]] = {}
    met: set[int] = set()
    for number, start, stop in places:
        if number in met:
            continue
        met.add(int(number))
        for example in examples.owners[examples.starts[number] : examples.starts[number + 1]].tolist():
            matched, ngram = held.get(example, (0, ""))
            held[example] = (matched + 1, ngram or data[start:stop].decode())
    return held


def _matches(examples: Examples, held: dict[int, tuple[int, str]]) -> list[dict[str, object]]:
    rows = [
        {
            "evaluation": examples.evaluations[examples.evaluation[example]],
            "example_id": examples.ids[example],
            "matched": matched,
            "ngrams": int(examples.sizes[example]),
            "ngram": ngram,
        }
        for example, (matched, ngram) in held.items()
    ]
    return sorted(rows, key=lambda row: (row["evaluation"], row["example_id"]))
