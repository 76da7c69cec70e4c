"""The files that a person names: their formats, what to call them, and the digests that identify them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.fingerprint import fingerprint
from catalog.projects.files_list import ListedFile

ENDINGS = {
    "parquet": (".parquet", ".pq"),
    "jsonl": (".jsonl", ".ndjson", ".json", ".jsonl.gz", ".ndjson.gz", ".json.gz", ".jsonl.zst", ".json.zst"),
    "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst"),
    "arrow": (".arrow",),
}
"""Endings of files by format."""
NOT_ROWS = ("dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json", "config.json")
"""Files of a Hugging Face folder that hold no rows."""
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"}
SPLITS |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
"""Words in the names of files that say which split of a data set they are."""
MOST_FILES = 100_000
CARD_BYTES = 1_000_000


@dataclass(frozen=True)
class Named:
    """What a person named: the files, and what a card among them says of their licence and content."""

    files: tuple[ListedFile, ...]
    licence: str = ""
    description: str = ""


def named_files(arguments: Sequence[str], project: Path) -> Named:
    """The files that `arguments` name: files, folders of files (Hugging Face's too), and Delta tables.

    Raises:
        WatershedError: there is no such file, a folder holds none, a format is unknown, or formats are mixed.
    """
    found: list[tuple[Path, str, str]] = []
    licence = description = ""
    for argument in arguments:
        place = Path(argument).expanduser().absolute()
        if not place.exists():
            raise WatershedError(f"{argument} does not exist", "name a file, a folder of files, or a Delta table")
        if (place / "_delta_log").is_dir():
            found.append((place, place.name, "delta"))
        elif place.is_dir():
            found += _in_folder(place)
            licence, description = _card(place / "README.md", licence, description)
        else:
            found.append((place, place.name, _format(place)))
    formats = sorted({format_ for _, _, format_ in found})
    if len(formats) > 1:
        raise WatershedError(
            f"the files are of several formats: {', '.join(formats)}", "add the files of each format by themselves"
        )
    if len(found) > MOST_FILES:
        raise WatershedError(f"{len(found):,} files are more than {MOST_FILES:,}", "join them into larger files")
    listed = [_listed(place, name, format_, project) for place, name, format_ in dict.fromkeys(found)]
    return Named(tuple(_distinct(listed)), licence, description)


def _format(place: Path) -> str:
    name = place.name.lower()
    for format_, endings in ENDINGS.items():
        if name.endswith(endings):
            return format_
    known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
    raise WatershedError(f"{place} has no known ending", f"use one of {known}, or a Delta table's folder")


def _in_folder(folder: Path) -> Iterator[tuple[Path, str, str]]:
    known = tuple(ending for endings in ENDINGS.values() for ending in endings)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name.lower().endswith(known)
        and path.name not in NOT_ROWS
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise WatershedError(
            f"{folder} holds no file of rows",
            "name a folder with Parquet, JSON lines, CSV or Arrow files, or a Delta table",
        )
    for path in files:
        yield path, path.relative_to(folder).as_posix(), _format(path)


def _listed(place: Path, name: str, format_: str, project: Path) -> ListedFile:
    path = place.relative_to(project).as_posix() if place.is_relative_to(project) else str(place)
    if format_ == "delta":
        return delta_file(place, name, path)
    return ListedFile(
        path=path,
        name=name,
        format=format_,
        bytes=place.stat().st_size,
        digest=sha256_of(place),
        split=split_of(name),
    )


def split_of(name: str) -> str | None:
    """The split that the name of a data set's file says, as on the Hugging Face hub; None for other files.

    Example:
        >>> from catalog.adding.sources import split_of
        >>> split_of("data/train-00000-of-00002.parquet"), split_of("test/data-00000-of-00001.arrow"), split_of("a.csv")
        ('train', 'test', None)
    """
    parts = re.split(r"[^a-z]+", name.lower().rsplit(".", maxsplit=1)[0])
    found = [SPLITS[part] for part in parts if part in SPLITS]
    return found[-1] if found else None


def delta_file(place: Path, name: str, path: str, version: int | None = None) -> ListedFile:
    """A Delta table at its latest version, or at `version`.

    Raises:
        WatershedError: it cannot be read.
    """
    from deltalake import DeltaTable

    try:
        table = DeltaTable(place, version=version)
        added: Any = table.get_add_actions(flatten=True)
        files = sorted(zip(added.column("path").to_pylist(), added.column("size_bytes").to_pylist(), strict=True))
        return ListedFile(
            path=path,
            name=name,
            format="delta",
            bytes=sum(size for _, size in files),
            digest=fingerprint(str(table.metadata().id), files),
            version=table.version(),
        )
    except Exception as error:  # delta-rs raises a dozen types
        raise WatershedError(
            f"{place} cannot be read as a Delta table: {str(error).splitlines()[0]}", "check the table with its writer"
        ) from error


def unchanged(listed: ListedFile, project: Path) -> WatershedError | None:
    """What has become of a file since it was listed; None if it is as it was."""
    place = listed.place(project)
    again = "restore the file, or add the new one with `watershed add`"
    if not place.exists():
        return WatershedError(f"{place} does not exist any more", again)
    if listed.format == "delta":
        found = delta_file(place, listed.name, listed.path, listed.version).digest
    else:
        found = sha256_of(place) if place.stat().st_size == listed.bytes else ""
    return None if found == listed.digest else WatershedError(f"{place} has changed since it was added", again)


def _distinct(files: Sequence[ListedFile]) -> Iterator[ListedFile]:
    """The files with names of which no two are the same."""
    taken: set[str] = set()
    for each in files:
        name, number = each.name, 2
        while name in taken:
            name, number = f"{each.name}~{number}", number + 1
        taken.add(name)
        yield replace(each, name=name)


def _card(path: Path, licence: str, description: str) -> tuple[str, str]:
    """Licence and description by the card of a Hugging Face data set: its YAML head, and its first paragraph."""
    if not path.is_file():
        return licence, description
    with path.open("rb") as file:
        text = file.read(CARD_BYTES).decode("utf-8", errors="replace")
    head = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", text, re.DOTALL)
    if head:
        import yaml

        try:
            entries = yaml.safe_load(head[1])
        except yaml.YAMLError:
            entries = None
        stated = entries.get("license") if isinstance(entries, dict) else None
        stated = ", ".join(map(str, stated)) if isinstance(stated, list) else stated
        licence = licence or (str(stated) if stated else "")
    body = text[head.end() :] if head else text
    paragraphs = (each.strip() for each in re.split(r"\n\s*\n", body))
    first = next((each for each in paragraphs if each and not each.startswith(("#", "<", "!", "|", "```"))), "")
    return licence, description or " ".join(first.split())[:500]
