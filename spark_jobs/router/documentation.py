"""Domains of this machine: what the functions and classes of installed packages do, in the words of their docstrings.

The first sentence of a docstring is a query, and the rest, without the name, is the document that answers it. Half of
the documents answer a training query, others a test query, and some none.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import WatershedError
from spark_jobs.router.beir import Document, Domain

TRAINED: Mapping[str, tuple[str, ...]] = {
    "language": ("",),
    "numerics": ("numpy", "scipy"),
    "tables": ("pandas", "pyarrow"),
    "networks": ("torch",),
    "plots": ("matplotlib",),
    "clusters": ("pyspark",),
}
"""Packages of each domain with an expert; "" is the standard library. All are dependencies of Watershed."""
UNSEEN: Mapping[str, tuple[str, ...]] = {"pipelines": ("dagster",), "checks": ("great_expectations",)}
"""Packages of each domain without an expert."""
SKIPPED = {"test", "tests", "testing", "__pycache__", "_vendor", "vendor", "site-packages", "lib2to3", "idlelib"}
MOST_SOURCE_BYTES = 600_000
FEWEST_WORDS, FEWEST_QUERY_WORDS, MOST_QUERY_WORDS = 12, 4, 30


@dataclass(frozen=True, kw_only=True)
class Amount:
    """How much of a domain is taken."""

    documents: int
    train: int
    test: int
    words: int = 50
    """Words of a document."""


@dataclass(frozen=True)
class Entry:
    """A docstring: where it stands, its first sentence, and the rest."""

    name: str
    summary: str
    rest: str


def domains(amount: Amount) -> Iterator[tuple[Domain, bool]]:
    """Yield the domains of this machine, and whether each has an expert.

    Raises:
        WatershedError: a package has too few docstrings.
    """
    for names, trained in ((TRAINED, True), (UNSEEN, False)):
        for name, packages in names.items():
            yield domain_of(name, _entries(packages), amount, trained=trained), trained


def domain_of(name: str, entries: Iterator[Entry], amount: Amount, *, trained: bool) -> Domain:
    """Return a domain of entries; those whose sentence or text another has are left out, as no search could tell them.

    Args:
        name: its name.
        entries: docstrings, in the order in which they are taken.
        amount: how many are taken.
        trained: whether there are training queries.

    Raises:
        WatershedError: there are too few.
    """
    chosen: list[Entry] = []
    seen: set[str] = set()
    for entry in entries:
        rest = " ".join(entry.rest.split()[: amount.words])
        keys = {entry.summary.lower(), rest.lower()}
        if not seen & keys:
            seen |= keys
            chosen.append(Entry(entry.name, entry.summary, rest))
        if len(chosen) == amount.documents:
            break
    wanted = amount.test + (amount.train if trained else 0)
    if len(chosen) < wanted:
        raise WatershedError(
            f"the domain {name} has {len(chosen)} docstrings, and {wanted} are needed", "take a smaller --size"
        )
    test = chosen[: amount.test]
    train = chosen[amount.test : wanted] if trained else []
    judgements = {
        split: {each.name: {each.name + ".doc": 1} for each in those}
        for split, those in (("train", train), ("test", test))
        if those
    }
    documents = tuple(Document(each.name + ".doc", "", each.rest) for each in chosen)
    return Domain(name, documents, {each.name: each.summary for each in (*test, *train)}, judgements)


def _entries(packages: Sequence[str]) -> Iterator[Entry]:
    """Docstrings of packages; their files are read in the order of a hash of the files' names."""
    paths = sysconfig.get_paths()
    files = []
    for package in packages:
        root = Path(paths["purelib"]) / package if package else Path(paths["stdlib"])
        top = root.parent if package else root
        for path in root.rglob("*.py"):
            inside = path.relative_to(top)
            if not SKIPPED.intersection(inside.parts) and not path.name.startswith(("test_", "_test")):
                files.append((hashlib.sha256(inside.as_posix().encode()).digest(), inside, path))
    for _, inside, path in sorted(files):
        yield from _of_file(path, ".".join(inside.with_suffix("").parts).removesuffix(".__init__"))


def _of_file(path: Path, module: str) -> Iterator[Entry]:
    data = path.read_bytes()
    if len(data) > MOST_SOURCE_BYTES:
        return
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    taken: set[str] = set()
    for name, doc in _docstrings(tree, module):
        summary, rest = _parts(doc)
        words = len(summary.split())
        if FEWEST_QUERY_WORDS <= words <= MOST_QUERY_WORDS and len(rest.split()) >= FEWEST_WORDS and name not in taken:
            taken.add(name)
            yield Entry(name, summary, rest)


def _docstrings(node: ast.AST, inside: str) -> Iterator[tuple[str, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            name = f"{inside}.{child.name}"
            if doc := ast.get_docstring(child):
                yield name, doc
            if isinstance(child, ast.ClassDef):
                yield from _docstrings(child, name)


def _parts(doc: str) -> tuple[str, str]:
    """The first sentence of a docstring, and what follows it; signatures that stand in front are left out."""
    first, _, rest = doc.strip().partition("\n\n")
    sentence, more = " ".join(first.split()), ""
    found = re.search(r"\.\s+(?=[A-Z])", sentence)
    if found:
        sentence, more = sentence[: found.start() + 1], sentence[found.end() :]
    return sentence, f"{more} {rest}".strip()
