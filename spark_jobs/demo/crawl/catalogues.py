"""Pages in other languages: the messages of GNU gettext catalogues and of Java resource bundles."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Iterator
from html import escape
from pathlib import Path

from spark_jobs.demo.crawl.pages import Page

LOCALE_FOLDERS = (Path("/usr/share/locale"), Path("/usr/local/share/locale"))
HOST = "translations.example"
MIN_BYTES = 3_000
MIN_BUNDLE_BYTES = 1_500
MAX_CHARACTERS = 40_000
MAX_JAR_BYTES = 4_000_000
"""Bigger archives are bundles of classes whose long directories are slow to read."""
BUNDLE = re.compile(
    r"(?P<name>[^/]+)_(?P<lang>(?:ar|cs|da|de|el|es|fi|fr|he|hu|it|ja|ko|nb|nl|no|pl|pt|ro|ru|sk|sv|tr|uk|zh)"
    r"(?:_[A-Z]{2})?)\.properties$"
)


def gettext_pages(folders: tuple[Path, ...] = LOCALE_FOLDERS) -> Iterator[Page]:
    """A page per message catalogue of the system that is not English."""
    for folder in folders:
        for path in sorted(folder.glob("*/LC_MESSAGES/*.mo")):
            lang = path.parts[-3].split("@")[0]
            size = path.stat().st_size
            if lang.split("_")[0] == "en" or size < MIN_BYTES:
                continue
            yield Page(
                kind="translation",
                group=f"messages/{lang}",
                host=HOST,
                path=f"/{path.parts[-3]}/{path.stem}.html",
                title=f"{path.stem} ({lang})",
                weight=min(size // 2, MAX_CHARACTERS),
                source=path,
                lang=lang,
            )


def bundle_pages(site_packages: Path) -> Iterator[Page]:
    """A page per translated resource bundle in the Java archives of packages."""
    for jar in sorted(site_packages.glob("*/jars/*.jar")):
        if jar.stat().st_size > MAX_JAR_BYTES:
            continue
        try:
            with zipfile.ZipFile(jar) as archive:
                members = [info for info in archive.infolist() if info.file_size >= MIN_BUNDLE_BYTES]
        except (OSError, zipfile.BadZipFile):
            continue
        for info in members:
            match = BUNDLE.search(info.filename)
            if match is None:
                continue
            label = re.sub(r"-\d.*$", "", jar.stem)
            folder = info.filename.rpartition("/")[0].replace("/", ".")
            yield Page(
                kind="translation",
                group=f"bundle/{match['lang']}",
                host=f"docs.{label.lower()}.example",
                path=f"/{match['lang']}/{folder}.{match['name']}.html",
                title=f"{folder}.{match['name']}",
                weight=min(info.file_size, MAX_CHARACTERS),
                source=jar,
                part=info.filename,
                lang=match["lang"],
            )


def catalogue_body(page: Page) -> str:
    """The messages of a catalogue or bundle, a paragraph each, in the catalogue's order."""
    messages = _bundle_messages(page.source, page.part) if page.part else _gettext_messages(page.source)
    parts = [f"<h1>{escape(page.title)}</h1>"]
    length = 0
    for message in messages:
        length += len(message)
        if length > MAX_CHARACTERS:
            break
        parts.append("<p>" + escape(message, quote=False).replace("\n", "<br>\n") + "</p>")
    return "\n".join(parts) if length else ""


def _gettext_messages(path: Path) -> list[str]:
    """Translations of a `.mo` file, in order of their originals; each plural form separately.

    Source: GNU gettext manual, "The Format of GNU MO Files".
    """
    data = path.read_bytes()
    if len(data) < 28:
        return []
    order = "<" if data[:4] == b"\xde\x12\x04\x95" else ">"
    count, originals, translations = struct.unpack_from(f"{order}3I", data, 8)
    messages: list[str] = []
    charset = "utf-8"
    for place in range(count):
        original_length, _ = struct.unpack_from(f"{order}2I", data, originals + 8 * place)
        length, start = struct.unpack_from(f"{order}2I", data, translations + 8 * place)
        text = data[start : start + length]
        if original_length == 0:
            found = re.search(rb"charset=([\w-]+)", text)
            charset = found[1].decode() if found else charset
            continue
        try:
            messages.extend(form for form in text.decode(charset).split("\x00") if form.strip())
        except (UnicodeDecodeError, LookupError):
            continue
    return messages


def _bundle_messages(jar: Path, member: str) -> list[str]:
    r"""Values of a Java `.properties` file: `\uXXXX` escapes resolved, continued lines joined."""
    with zipfile.ZipFile(jar) as archive:
        data = archive.read(member)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    text = re.sub(r"\\\r?\n[ \t]*", "", text)
    messages: list[str] = []
    for line in text.splitlines():
        key, separator, value = line.partition("=")
        if separator and not key.lstrip().startswith(("#", "!")) and value.strip():
            value = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), value)
            messages.append(value.replace("\\n", "\n").replace("\\t", " ").replace("\\", "").strip())
    return messages
