"""The recipe of a pretraining mixture as a TOML file: `mixtures/NAME.toml` of the project declares `mixture.NAME`.

tokenizer = "tokenizer.json"
tokens = 2_000_000

[[sources]]
name = "papers"
table = "scholar.papers"
weight = 3

[[sources]]
name = "notes"
files = ["notes/*.jsonl"]
licence = "CC-BY-4.0"
repeats = 2

The entry `train` names models that are trained on it (`catalog.projects.mixture_models`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.projects.entries import NAME, Fault, choice, known, read_toml, real, text, texts, whole
from catalog.projects.mixture_models import SUFFIXES as MODEL_SUFFIXES
from catalog.projects.mixture_models import TrainingRun, read_runs

FAMILY = "mixture"
"""The family of the tables of mixtures."""
SUFFIXES = ("sources", "dropped", "contamination", "shards", "spans", *MODEL_SUFFIXES)
"""A mixture NAME has the tables mixture.NAME, mixture.NAME_sources and so on."""
MOST_SOURCES = 64
MOST_REPEATS = 4.0
"""Repeating documents up to four times is nearly as good as new ones (Muennighoff et al. 2023, arXiv 2305.16264)."""
SHIPPED = Path(__file__).parent / "mixtures"
"""The recipes that come with Watershed."""

KEYS = frozenset(
    "description owner tokenizer tokens sequence_length shard_tokens heldout seed most_repeats duplicates similarity "
    "evaluations rule licences sources train".split()
)
SOURCE_KEYS = frozenset("name table files text key licence where filters weight tokens repeats".split())

Value = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class FilterEntry:
    """A filter of a source by its name, with the options that the recipe gives it."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, kw_only=True)
class MixtureSource:
    """One source of a mixture: a table or view of the lake, or files.

    Exactly one of `weight`, `tokens` and `repeats` says how much of it is read.
    """

    name: str
    table: str = ""
    files: tuple[str, ...] = ()
    """Paths and patterns, relative to the project."""
    text: str = "text"
    """The column of the text."""
    key: tuple[str, ...] = ()
    """The columns that name a row; by default the primary key of the table."""
    licence: str = ""
    """Of files; tables state their own."""
    where: tuple[tuple[str, str], ...] = ()
    """Columns and the values, as text, that rows must have."""
    filters: tuple[FilterEntry, ...] = ()
    weight: float | None = None
    """Share of what `tokens` and `repeats` of other sources leave of the mixture, relative to other weights."""
    tokens: int | None = None
    """Tokens that one pass reads of it."""
    repeats: float | None = None
    """How often one pass reads it; a fraction is that share of it."""

    @property
    def by(self) -> str:
        """What says how much of it is read: weight, tokens or repeats."""
        return next(name for name in ("weight", "tokens", "repeats") if getattr(self, name) is not None)


@dataclass(frozen=True, kw_only=True)
class MixtureRecipe:
    """What one mixture is made of, and how."""

    name: str
    path: Path
    description: str
    tokenizer: str
    """A tokenizer.json or the folder of one, relative to the project; or a table of tokenizers with the column `path`,
    such as dclm.tokenizer."""
    sources: tuple[MixtureSource, ...]
    tokens: int | None = None
    """Tokens that one pass reads. None: as many as weights allow with no weighted source read twice."""
    sequence_length: int = 128
    shard_tokens: int = 2**18
    heldout: float = 0.01
    """Share of the documents of each source that is held out for evaluation."""
    seed: int = 0
    most_repeats: float = MOST_REPEATS
    """How often one pass may read a document; a mixture that needs more is refused."""
    duplicates: str = "near"
    """Which copies are dropped across all sources: near (equal and nearly equal texts), exact, or none."""
    similarity: float = 0.8
    """Jaccard similarity of word 5-shingles from which two documents are near copies."""
    evaluations: str = ""
    """A folder with a JSONL file for each evaluation whose examples must not be trained on; empty for none."""
    rule: str = "fields"
    """The rule by which documents are compared with examples."""
    licences: str = "refuse"
    """What becomes of documents whose licence is not known, or that [licences] forbids: refuse the mixture, or drop."""
    train: tuple[TrainingRun, ...] = ()
    """The models that are trained on it."""
    owner: str = "data"

    @property
    def table(self) -> str:
        """`mixture.NAME`."""
        return f"{FAMILY}.{self.name}"


def read_mixture(path: Path) -> MixtureRecipe:
    """The recipe in a file, whose name is that of the mixture.

    Raises:
        WatershedError: the file is not TOML, or not a recipe; the error names the entry.

    Example:
        >>> from catalog.projects.mixture_file import SHIPPED, read_mixture
        >>> [source.name for source in read_mixture(SHIPPED / "olmoe_mix_0924.toml").sources][:3]
        ['dclm', 'starcoder', 'pes2o']
    """
    found = read_toml(path, "a recipe of a mixture")
    try:
        return _recipe(found, path)
    except Fault as fault:
        raise WatershedError(
            f"{path}: {fault}", "correct the entry; docs/mixtures.md explains the recipe of a mixture"
        ) from fault


def _recipe(found: Mapping[str, Any], path: Path) -> MixtureRecipe:
    name = path.stem
    if not NAME.fullmatch(name):
        raise Fault(f"{name!r}, the name of the mixture, is not in lower-case letters, digits and underscores")
    if name in SUFFIXES or name.endswith(tuple(f"_{suffix}" for suffix in SUFFIXES)):
        raise Fault(f"the mixture {name!r} has the name of a table of another mixture: it ends with {SUFFIXES}")
    known(found, KEYS, "the file")
    entries = found.get("sources")
    if not isinstance(entries, list) or not entries or not all(isinstance(each, dict) for each in entries):
        raise Fault("there is no [[sources]]")
    if len(entries) > MOST_SOURCES:
        raise Fault(f"there are {len(entries)} sources, more than {MOST_SOURCES}")
    sources = tuple(_source(each, place) for place, each in enumerate(entries, start=1))
    _refuse_the_same(sources)
    recipe = MixtureRecipe(
        name=name,
        path=path,
        description=text(found, "description") or f"The mixture {name} of {', '.join(each.name for each in sources)}.",
        tokenizer=text(found, "tokenizer", required=True),
        sources=sources,
        tokens=whole(found, "tokens", None, 1),
        sequence_length=whole(found, "sequence_length", 128, 1) or 0,
        shard_tokens=whole(found, "shard_tokens", 2**18, 2) or 0,
        heldout=real(found, "heldout", 0.01, 1e-9, 0.5) or 0,
        seed=whole(found, "seed", 0, 0) or 0,
        most_repeats=real(found, "most_repeats", MOST_REPEATS, 1, 1000) or 0,
        duplicates=choice(found, "duplicates", ("near", "exact", "none")),
        similarity=real(found, "similarity", 0.8, 0.05, 0.999) or 0,
        evaluations=text(found, "evaluations"),
        rule=choice(found, "rule", ("fields", "ngram")),
        licences=choice(found, "licences", ("refuse", "drop")),
        train=read_runs(found),
        owner=text(found, "owner") or "data",
    )
    if recipe.shard_tokens <= recipe.sequence_length:
        raise Fault(f"shard_tokens = {recipe.shard_tokens} holds no sequence of {recipe.sequence_length} + 1 tokens")
    _refuse_amounts(recipe)
    return recipe


def _source(entry: Mapping[str, Any], place: int) -> MixtureSource:
    name = text(entry, "name", required=True)
    where = f"source {name}"
    if not NAME.fullmatch(name):
        raise Fault(f"the name {name!r} of source {place} is not in lower-case letters, digits and underscores")
    known(entry, SOURCE_KEYS, where)
    try:
        source = MixtureSource(
            name=name,
            table=text(entry, "table"),
            files=texts(entry, "files"),
            text=text(entry, "text") or "text",
            key=texts(entry, "key"),
            licence=text(entry, "licence"),
            where=_where(entry),
            filters=_filters(entry),
            weight=real(entry, "weight", None, 1e-12, 1e12),
            tokens=whole(entry, "tokens", None, 1),
            repeats=real(entry, "repeats", None, 1e-9, 1000),
        )
    except Fault as fault:
        raise Fault(f"{where}: {fault}") from fault
    if bool(source.table) == bool(source.files):
        raise Fault(f"{where} names a table and files, or neither: give one of them")
    if sum(each is not None for each in (source.weight, source.tokens, source.repeats)) != 1:
        raise Fault(f"{where} has not exactly one of weight, tokens and repeats")
    if source.table and source.licence:
        raise Fault(f"{where}: a table states its own licence, in its contract; `licence` is for files")
    if source.files and source.key:
        raise Fault(f"{where}: rows of files are named by file and number; `key` is for views")
    return source


def _where(entry: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found = entry.get("where", {})
    if not isinstance(found, dict) or not all(isinstance(each, (str, int, bool)) for each in found.values()):
        raise Fault(f"where = {found!r} is not a table of columns and values")
    return tuple(
        (str(name), str(value).lower() if isinstance(value, bool) else str(value)) for name, value in found.items()
    )


def _filters(entry: Mapping[str, Any]) -> tuple[FilterEntry, ...]:
    found = entry.get("filters", [])
    if not isinstance(found, list):
        raise Fault(f"filters = {found!r} is not a list")
    filters = []
    for each in found:
        given = {"name": each} if isinstance(each, str) else each
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            raise Fault(f"filters: {each!r} is neither a name nor a table with a name")
        options = tuple((str(key), value) for key, value in given.items() if key != "name")
        if not all(isinstance(value, (str, int, float, bool)) for _, value in options):
            raise Fault(f"filters: {given['name']} has an option that is not a text or number")
        filters.append(FilterEntry(name=given["name"], options=options))
    return tuple(filters)


def _refuse_the_same(sources: tuple[MixtureSource, ...]) -> None:
    """Refuse two sources of one name, and two that are the same rows."""
    first: dict[Any, str] = {}
    for each in sources:
        rows = (each.table, each.files, each.where)
        if each.name in first:
            raise Fault(f"two sources are called {each.name}")
        if rows in first:
            raise Fault(
                f"the sources {first[rows]} and {each.name} have the same key: both are the same rows of "
                f"{each.table or ', '.join(each.files)}"
            )
        first[each.name] = first[rows] = each.name


def _refuse_amounts(recipe: MixtureRecipe) -> None:
    weighted = any(each.weight is not None for each in recipe.sources)
    counted = sum(each.tokens or 0 for each in recipe.sources)
    if recipe.tokens is None or weighted:
        if recipe.tokens is not None and counted >= recipe.tokens:
            raise Fault(
                f"the tokens of its sources add up to {counted:,}, which leaves nothing of tokens = {recipe.tokens:,} "
                "to the weighted sources"
            )
        return
    if any(each.repeats is not None for each in recipe.sources):
        raise Fault("tokens, of the whole mixture, needs a source with a weight: repeats are as long as they are")
    if counted != recipe.tokens:
        raise Fault(f"the tokens of its sources add up to {counted:,}, and tokens = {recipe.tokens:,}")
