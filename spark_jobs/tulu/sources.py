"""Mixtures: YAML files that name sources, how much of each is wanted, and what is filtered.

A mixture is published (`tulu-3-sft`, `tulu-3-preferences-8b`, ...) or a file of the project's own in `mixtures/`. Its
counts must add up to its `total`, so that a configuration that was copied wrongly is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from catalog.errors import WatershedError
from catalog.names import close
from spark_jobs.recipes.bounded_yaml import YamlError, compose, construct

FOLDER = Path(__file__).parent / "data" / "mixtures"
"""The published mixtures."""

Kind = Literal["sft", "preference", "prompts"]
Deduplication = Literal["none", "prompt", "row"]
NAME = "a-z, 0-9, '-', '_' and '.'"
ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")
FILES = tuple(f"{folder}*{ending}" for ending in ENDINGS for folder in ("data/", ""))
"""Where a data set of the Hugging Face hub has its rows, within its folder."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set, or the part of one that `where` selects.

    Attributes:
        name: the name of the source in every mixture that has it.
        revision: the commit of the data set; `main` where it is not pinned.
        licence: the licence of the rows.
        repository: the data set on the Hugging Face hub; its folder within `[tulu] data` has the same name.
        origin: the data set that the rows were made from, if it is another.
        files: patterns of files within the folder, or absolute paths. The first pattern that matches counts.
        table: a table of the lake with preference pairs, in place of files: `dialogues.preferences`.
        where: values that columns of a row must have.
        columns: the source's own names of columns, by ours: {"messages": "conversation"}.
        verifier: the scorer of `watershed score` that verifies replies to the prompts; empty for none.
        on_policy: whether one side of each pair comes from the model that is trained.
        count: rows wanted, repeats included; or, as an alternative, `weight`.
        weight: the share of what counts leave of the mixture's `total`, relative to other weights.
        repeats: how often each row may be taken.
        available: rows of the whole data set, as published; None if not known.
    """

    name: str
    revision: str
    licence: str
    repository: str = ""
    origin: str = ""
    files: tuple[str, ...] = FILES
    table: str = ""
    where: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    verifier: str = ""
    on_policy: bool | None = None
    count: int | None = None
    weight: float | None = None
    repeats: int = 1
    available: int | None = None

    def rows_literal(self) -> dict[str, Any]:
        """What decides the rows of the source, apart from the content of its files."""
        decided = ("name", "revision", "licence", "repository", "origin", "table", "where", "columns", "verifier")
        return {name: getattr(self, name) for name in decided} | {"on_policy": self.on_policy}


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What is left out of a mixture; see `filters` for the rules.

    Attributes:
        empty: rows with an empty message.
        roles: rows whose messages do not alternate, or do not end with the assistant (of pairs and prompts: the user).
        keywords: rows with one of these texts in a message of the assistant, in any case of letters.
        repetition: rows in which a reply repeats a sentence, paragraph or phrase, by Olmo 3's thresholds.
        languages: the only languages of prompts (ISO 639), by lid.176; empty for all.
        chinese: the largest share of Chinese characters in replies, 0..1; None for no limit.
        unclosed_thinking: rows with `<think>` and no `</think>`, or the reverse.
        cutoff_date: rows in which a reply speaks of its knowledge cut-off.
        identity: rows in which a reply says who made it.
        most_longer: tokens by which a chosen reply may be longer than the rejected one, counted in words; None for all.
    """

    empty: bool = True
    roles: bool = True
    keywords: tuple[str, ...] = ()
    repetition: bool = False
    languages: tuple[str, ...] = ()
    chinese: float | None = None
    unclosed_thinking: bool = False
    cutoff_date: bool = False
    identity: bool = False
    most_longer: int | None = None


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is drawn from which sources.

    Attributes:
        total: rows of the mixture. Counts must add up to it, or leave the rest to weights.
        short: whether a source may have fewer rows than are wanted of it, or is refused.
        deduplicate: whether rows with the same prompt, or the same messages, are taken once; the first source keeps
            its row.
        decontaminate: whether rows are left out by the decisions of tulu.contamination.
    """

    name: str
    kind: Kind
    total: int
    sources: tuple[Source, ...]
    reference: str = ""
    seed: int = 0
    short: Literal["refuse", "allow"] = "refuse"
    deduplicate: Deduplication = "none"
    decontaminate: bool = True
    filters: Filters = field(default_factory=Filters)

    def wanted(self) -> dict[str, int]:
        """Rows wanted of each source. Weights share what counts leave, by largest remainders."""
        counted = {each.name: each.count for each in self.sources if each.count is not None}
        weights = {each.name: each.weight for each in self.sources if each.weight is not None}
        rest, whole = self.total - sum(counted.values()), sum(weights.values())
        exact = {name: rest * weight / whole for name, weight in weights.items()}
        found = {name: int(share) for name, share in exact.items()}
        left = rest - sum(found.values())
        for name in sorted(exact, key=lambda name: (found[name] - exact[name], name))[:left] if weights else ():
            found[name] += 1
        return {each.name: counted.get(each.name, found.get(each.name, 0)) for each in self.sources}


def mixture_names(folder: Path | None = None) -> list[str]:
    """Names of the published mixtures, and of those in a folder of the project's own."""
    folders = [FOLDER, *([folder] if folder and folder.is_dir() else [])]
    return sorted({path.stem for each in folders for path in each.glob("*.yaml")})


def load_mixture(name: str, folder: Path | None = None) -> Mixture:
    """Read a mixture of the project's own, or a published one.

    Raises:
        WatershedError: there is no such mixture, or its file is wrong; the cause names file and line.

    Example:
        >>> mixture = load_mixture("tulu-3-sft")
        >>> len(mixture.sources), mixture.total
        (19, 939344)
    """
    for each in (folder, FOLDER):
        if each and (path := each / f"{name}.yaml").is_file():
            stat = path.stat()
            return _read_once(path, stat.st_size, stat.st_mtime_ns)
    known = mixture_names(folder)
    raise WatershedError(
        f"no mixture is called {name!r}{close(name, known)}", f"write mixtures/{name}.yaml, or use {', '.join(known)}"
    )


@lru_cache(maxsize=64)
def _read_once(path: Path, _size: int, _time: int) -> Mixture:
    """A mixture, which is asked for once for each of its sources whenever it is seen what is due."""
    return read_mixture(path)


def read_mixture(path: Path) -> Mixture:
    """Read a mixture from a YAML file.

    Raises:
        WatershedError: the file is not YAML, an entry is unknown, missing or of a wrong type, or counts do not add up.
    """
    try:
        node = compose(path.read_text(encoding="utf-8"))
        raw = construct(node) if node is not None else None
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", "give a YAML file") from None
    except UnicodeDecodeError:
        raise WatershedError(f"{path} is not UTF-8", "write the file as UTF-8") from None
    except YamlError as error:
        raise WatershedError(f"{path}:{error.line}: {error.cause}", "correct the file") from None
    made = _made(Mixture, raw, str(path))
    _check(made, path)
    return made


def _check(mixture: Mixture, path: Path) -> None:
    """Refuse a mixture whose counts do not add up, or whose sources cannot be read."""
    names = [each.name for each in mixture.sources]
    for each in mixture.sources:
        if names.count(each.name) > 1:
            raise WatershedError(f"{path}: two sources are called {each.name}", "give every source a name of its own")
        if (each.count is None) == (each.weight is None):
            raise WatershedError(f"{path}: source {each.name} has no count or weight, or both", "give one of them")
        if (each.count or 0) < 0 or (each.weight is not None and not each.weight > 0) or each.repeats < 1:
            raise WatershedError(
                f"{path}: source {each.name} has a negative count, a weight that is not positive, or no repeats",
                "give a count of at least 0, a weight above 0, and repeats of at least 1",
            )
        if bool(each.repository) == bool(each.table) and each.files == FILES:
            raise WatershedError(f"{path}: source {each.name} has no rows", "give repository, files or table")
        if not set(each.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") or each.name.startswith("."):
            raise WatershedError(f"{path}: {each.name!r} is not a name of a source", f"use {NAME}")
    counted = sum(each.count or 0 for each in mixture.sources)
    weighted = any(each.weight is not None for each in mixture.sources)
    if counted > mixture.total or (counted != mixture.total and not weighted):
        raise WatershedError(
            f"{path}: the counts add up to {counted:,}, and the total is {mixture.total:,}",
            "correct a count or the total, or give sources a weight in place of a count",
        )


def _made(kind: Any, raw: Any, place: str) -> Any:
    """An instance of a dataclass from a mapping, whose entries are checked one by one."""
    if not isinstance(raw, dict):
        raise WatershedError(f"{place}: not a mapping of names to values", "correct the file")
    fields = {each.name: each for each in dataclasses.fields(kind)}
    if unknown := [str(name) for name in raw if name not in fields]:
        raise WatershedError(
            f"{place}: unknown entry {unknown[0]!r}{close(unknown[0], fields)}", f"use {', '.join(fields)}"
        )
    required = [
        name
        for name, each in fields.items()
        if each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in required if name not in raw]:
        raise WatershedError(f"{place}: {missing[0]} is missing", f"give {', '.join(required)}")
    return kind(**{name: _value(fields[name].type, value, f"{place}: {name}") for name, value in raw.items()})


def _value(kind: Any, value: Any, place: str) -> Any:
    """A value of the type that a field declares, which is a string because of postponed evaluation."""
    if kind == "tuple[Source, ...]":
        if not isinstance(value, list) or not value:
            raise WatershedError(f"{place} is not a list of sources", "give at least one source")
        return tuple(_made(Source, each, f"{place}[{number}]") for number, each in enumerate(value))
    if kind == "Filters":
        return _made(Filters, value, place)
    choices = {"Kind": get_args(Kind), "Deduplication": get_args(Deduplication)}.get(kind)
    if kind.startswith("Literal"):
        choices = ("refuse", "allow")
    if choices is not None:
        if value not in choices:
            raise WatershedError(f"{place} is {str(value)[:40]!r}", f"use one of {', '.join(choices)}")
        return value
    if kind.startswith("tuple[str"):
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise WatershedError(f"{place} is not a list of texts", "write [first, second]")
        return tuple(value)
    if kind.startswith("Mapping"):
        if not isinstance(value, dict) or not all(isinstance(each, str) for pair in value.items() for each in pair):
            raise WatershedError(f"{place} is not a mapping of texts to texts", "write name: value, in quotes")
        return dict(value)
    wanted = {"str": str, "int": int, "float": (int, float), "bool": bool}[kind.removesuffix(" | None")]
    if (value is None and "None" in kind) or (
        isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    ):
        return value
    raise WatershedError(f"{place} is {str(value)[:40]!r}, not {kind}", "correct the value")
