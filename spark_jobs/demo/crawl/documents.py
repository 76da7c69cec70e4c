"""Pages from files that are documents: HTML pages, READMEs, licences, change logs, notes."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from html import escape
from pathlib import Path

from spark_jobs.demo.crawl.packages import Package
from spark_jobs.demo.crawl.pages import Page
from spark_jobs.demo.crawl.prose import document_html

SYSTEM_FOLDERS = (Path("/usr/share/doc"), Path("/usr/share/gtk-doc/html"), Path("/usr/share/javadoc"))
MIN_BYTES = 600
MAX_HTML_BYTES = 400_000
MAX_TEXT_CHARACTERS = 60_000
TEMPLATE_MARKS = (b"{{", b"{%", b"<%=", b"$base_")
GZIP_RATIO = 3
"""Assumed ratio of a packed text's size to its compressed size; unpacking it to measure would cost too much."""
SKIPPED_FOLDERS = frozenset({"__pycache__", "site-packages", "test", "tests", "node_modules"})
HTML_NAME = re.compile(r"\.html?$", re.IGNORECASE)
TEXT_NAME = re.compile(
    r"^(?P<class>readme|licen[cs]e|copying|copyright|notice|authors|thanks|news|changes|changelog|history|"
    r"release|contributing|todo|faq|bugs|security|install)[\w.+-]*$|\.(?:md|rst|markdown|txt)(?:\.gz)?$",
    re.IGNORECASE,
)
NOT_TEXT = re.compile(
    r"^(?:cmakelists|top_level|entry_points|requires|requirements|robots|sources|.*data.*)\.txt(?:\.gz)?$|"
    r"\.(?:py|c|h|json|xml|sh|pdf|ps|pl|so|pyc|html?|js|css|ya?ml|toml|csv|cfg|ini|in|exe|bin|png|svg|map|ts)(?:\.gz)?$",
    re.IGNORECASE,
)
TRANSLATED = re.compile(r"^readme[._-](?P<lang>[a-z]{2}(?:[-_](?:[A-Z]{2}|Hans|Hant))?)(?:\.\w+)?$", re.IGNORECASE)
NOT_LANGUAGES = frozenset({"md", "rs", "py", "js", "en", "io", "tt", "qt", "vc", "os", "mk", "in", "pc", "gz", "me"})
CLASSES = {
    "license": "licence",
    "licence": "licence",
    "copying": "licence",
    "copyright": "licence",
    "notice": "licence",
    "changes": "changes",
    "changelog": "changes",
    "history": "changes",
    "release": "changes",
    "news": "changes",
    "readme": "readme",
}


def system_documents(folders: tuple[Path, ...] = SYSTEM_FOLDERS) -> Iterator[Page]:
    """Pages from the system's documentation folders, with a host for each system package."""
    for folder in folders:
        for relative in _walk(folder):
            host = f"www.{_host_label(relative.split('/')[0])}.example"
            yield from _document(folder / relative, host, f"/{relative}")


def package_documents(site_packages: Path, packages: list[Package]) -> Iterator[Page]:
    """Licences, notices and notes that packages installed, under each package's own host."""
    for package in packages:
        for relative in _walk(package.info):
            yield from _document(package.info / relative, package.docs_host, f"/about/{relative}")
        for top in package.top_level:
            for relative in _walk(site_packages / top):
                yield from _document(site_packages / top / relative, package.docs_host, f"/files/{top}/{relative}")


def python_documents(stdlib: Path) -> Iterator[Page]:
    """HTML pages and notes within the standard library's folder."""
    for relative in _walk(stdlib):
        yield from _document(stdlib / relative, "docs.python.example", f"/files/{relative}")


def _host_label(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "misc"


def _walk(folder: Path) -> Iterator[str]:
    """Files whose names identify them as documents, relative to the folder, in a fixed order."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        inside = os.path.relpath(root, folder)
        for name in sorted(files):
            if HTML_NAME.search(name) or (TEXT_NAME.search(name) and not NOT_TEXT.search(name)):
                yield name if inside == "." else f"{inside}/{name}"


def _document(path: Path, host: str, address: str) -> Iterator[Page]:
    """The page of a document file; none for links, templates and files of a few words."""
    if path.is_symlink():
        return
    size = path.stat().st_size * (GZIP_RATIO if path.suffix == ".gz" else 1)
    if size < MIN_BYTES:
        return
    if HTML_NAME.search(path.name):
        if size <= MAX_HTML_BYTES and not any(mark in _head(path) for mark in TEMPLATE_MARKS):
            yield Page(kind="html", group=host, host=host, path=address, title=path.name, weight=size // 3, source=path)
        return
    lang = _language(path.name)
    match = TEXT_NAME.search(path.name)
    document_class = CLASSES.get((match["class"] or "").lower() if match else "", "notes")
    yield Page(
        kind="text" if lang == "en" else "translation",
        group=document_class if lang == "en" else f"readme/{lang}",
        host=host,
        path=f"{address.removesuffix('.gz')}.html",
        title=f"{host.split('.')[1]}: {path.name.removesuffix('.gz')}",
        weight=min(size, MAX_TEXT_CHARACTERS),
        source=path,
        lang=lang,
    )


def _language(name: str) -> str:
    """Language of a translated README by its name, `README.zh-Hans.md`; "en" for everything else."""
    match = TRANSLATED.match(name)
    if match is None or match["lang"].lower() in NOT_LANGUAGES:
        return "en"
    return match["lang"].replace("-", "_")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20_000)


def read_text(path: Path) -> str:
    """A text file, unpacked if its name ends in `.gz`: decoded as UTF-8, or else as Latin-1."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error):
        return ""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def text_body(page: Page) -> str:
    """The document as HTML, cut at a maximum length; "" if it is not text."""
    text = read_text(page.source)
    if "\x00" in text:
        return ""
    return f"<h1>{escape(page.title)}</h1>\n{document_html(text[:MAX_TEXT_CHARACTERS], page.source.name)}"
