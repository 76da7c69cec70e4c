"""API pages of Python modules, classes and functions, made from their docstrings without importing them."""

from __future__ import annotations

import ast
import gc
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from spark_jobs.demo.crawl.packages import Package
from spark_jobs.demo.crawl.pages import Page
from spark_jobs.demo.crawl.prose import docstring_html

DEFINITION = re.compile(rb"^(?:async +def|def|class) +(\w+)", re.MULTILINE)
NEXT_STATEMENT = re.compile(rb"^[^\s)\]}#'\"]", re.MULTILINE)
SKIPPED_FOLDERS = frozenset({"__pycache__", "tests", "test", "site-packages", "dist-packages", "node_modules"})
MIN_CHARACTERS = 600
"""Docstring characters below which a module gets no page of its own, except as a stub."""
STUB_CHARACTERS = 60
SPLIT_CHARACTERS = 30_000
"""A module above it is split: an overview, and a page for each well documented class or function."""
OBJECT_CHARACTERS = 1_500
MAX_SOURCE_BYTES = 1_500_000
PYTHON_HOST = "docs.python.example"


@dataclass(frozen=True)
class Entry:
    """One documented thing of a module, in source order."""

    depth: int
    """0 the module, 1 its classes and functions, 2 methods."""
    name: str
    signature: str
    doc: str


def module_pages(folder: Path, package: Package) -> Iterator[Page]:
    """API pages that a package's modules allow, unordered: modules, objects of big modules, stubs.

    Args:
        folder: where its modules lie, `site-packages` or the standard library.
        package: whose top-level names are read.
    """
    prefix = "/3/library" if package.name == "python" else "/en/stable/api"
    for relative in _sources(folder, package.top_level):
        path = folder / relative
        data = path.read_bytes()
        characters = docstring_characters(data)
        if characters < STUB_CHARACTERS or len(data) > MAX_SOURCE_BYTES:
            continue
        name = module_name(relative)
        group = f"python/{name.split('.')[0]}" if package.name == "python" else package.name
        kind = "module" if characters >= MIN_CHARACTERS else "stub"
        page = Page(
            kind=kind,
            group=group,
            host=package.docs_host,
            path=f"{prefix}/{name}.html",
            title=name,
            weight=min(characters, SPLIT_CHARACTERS),
            source=path,
            part="overview" if characters > SPLIT_CHARACTERS else "",
        )
        yield page
        if characters > SPLIT_CHARACTERS:
            for object_name, length in _big_objects(data):
                yield Page(
                    kind="object",
                    group=group,
                    host=page.host,
                    path=f"{prefix}/{name}.{object_name}.html",
                    title=f"{name}.{object_name}",
                    weight=length,
                    source=path,
                    part=object_name,
                )


def _sources(folder: Path, top_level: tuple[str, ...]) -> Iterator[str]:
    """Python files of the top-level names, relative to the folder, in a fixed order."""
    for top in top_level:
        if (folder / f"{top}.py").is_file():
            yield f"{top}.py"
        for root, folders, files in os.walk(folder / top):
            folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
            inside = os.path.relpath(root, folder)
            yield from (f"{inside}/{name}" for name in sorted(files) if name.endswith(".py"))


def module_name(relative: str) -> str:
    """`asyncio/events.py` as `asyncio.events`, a package's `__init__.py` as the package."""
    return relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def docstring_characters(data: bytes) -> int:
    """Characters between triple quotes: close to the docstrings' length, at a fraction of parsing's cost."""
    return sum(len(text) for mark in (b'"""', b"'''") for text in data.split(mark)[1::2])


def _big_objects(data: bytes) -> Iterator[tuple[str, int]]:
    starts = [(match.start(), match[1].decode()) for match in DEFINITION.finditer(data)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    seen: set[str] = set()
    for (start, name), end in zip(starts, ends, strict=False):
        length = docstring_characters(data[start:end])
        if length >= OBJECT_CHARACTERS and name not in seen:
            seen.add(name)
            yield name, length


def reference_pages(stdlib: Path) -> Iterator[Page]:
    """The Python language reference, a page a topic, from the texts behind `help("...")`."""
    source = stdlib / "pydoc_data" / "topics.py"
    if not source.is_file():
        return
    for topic, text in _topics(source).items():
        yield Page(
            kind="reference",
            group=topic,
            host=PYTHON_HOST,
            path=f"/3/reference/{topic}.html",
            title=topic.capitalize(),
            weight=len(text),
            source=source,
            part=topic,
        )


@cache
def _topics(source: Path) -> dict[str, str]:
    for node in _parse(source.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return ast.literal_eval(node.value)
    return {}


def reference_body(page: Page) -> str:
    """A topic of the language reference as HTML."""
    text = _topics(page.source).get(page.part, "")
    return f"<h1>{escape(page.title)}</h1>\n{docstring_html(text, level=2, older=bool(page.version))}"


def module_body(page: Page) -> str:
    """A module's, class's or function's documentation as HTML; "" if its source cannot be read as Python."""
    data = page.source.read_bytes()
    try:
        tree = (_parse_object(data, page.part) if page.kind == "object" else None) or _parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    entries = list(_entries(tree, page.title))
    if page.kind == "object":
        entries = _of_object(entries, page.part)
    if not entries:
        return ""
    older = bool(page.version)
    if page.part == "overview":
        return _overview(page, entries, older)
    heading = f"<h1>{escape(page.title)}</h1>"
    return "\n".join([heading, *(_entry_html(entry, page.kind == "object", older) for entry in entries)])


def _of_object(entries: list[Entry], name: str) -> list[Entry]:
    starts = [place for place, entry in enumerate(entries) if entry.depth == 1 and entry.name == name]
    if not starts:
        return []
    start = starts[0]
    end = next((place for place in range(start + 1, len(entries)) if entries[place].depth < 2), len(entries))
    return entries[start:end]


def _overview(page: Page, entries: list[Entry], older: bool) -> str:
    """A split module's front page: its own docstring, and a line for everything in it."""
    parts = [f"<h1>{escape(page.title)}</h1>"]
    rows = []
    for entry in entries:
        if entry.depth == 0:
            parts.append(docstring_html(entry.doc, older=older))
        elif entry.depth == 1:
            summary = " ".join(entry.doc.strip().split("\n\n")[0].split())
            rows.append(
                f'<tr><td><a href="{escape(page.title)}.{entry.name}.html"><code>{escape(entry.name)}</code></a></td>'
                f"<td>{escape(summary, quote=False)}</td></tr>"
            )
    parts.append('<table class="summary">\n' + "\n".join(rows) + "\n</table>")
    return "\n".join(parts)


def _entry_html(entry: Entry, own_page: bool, older: bool) -> str:
    if entry.depth == 0:
        return docstring_html(entry.doc, level=2, older=older)
    level = entry.depth + (0 if own_page else 1)
    text = docstring_html(entry.doc, level=min(level + 1, 6), older=older)
    signature = f"<code>{escape(entry.signature, quote=False)}</code>"
    return f'<h{level} id="{escape(entry.name)}">{signature}</h{level}>\n{text}'


def _parse_object(data: bytes, name: str) -> ast.Module | None:
    """One class or function of a big module, parsed without the rest; None if it cannot be separated."""
    start = next((match for match in DEFINITION.finditer(data) if match[1].decode() == name), None)
    if start is None:
        return None
    end = NEXT_STATEMENT.search(data, start.end())
    try:
        return _parse(data[start.start() : end.start() if end else len(data)])
    except (SyntaxError, ValueError):
        return None


def _parse(data: bytes) -> ast.Module:
    """The syntax tree of the module; the garbage collector is off meanwhile, since it would only traverse the tree."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data)
    finally:
        if collecting:
            gc.enable()


def _entries(tree: ast.Module, module: str) -> Iterator[Entry]:
    doc = ast.get_docstring(tree, clean=False)
    if doc:
        yield Entry(0, module, "", doc)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _class_entries(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node, clean=False)
            if doc:
                yield Entry(1, node.name, _signature(node, ""), doc)
        else:
            yield from _attached_docs(node)


def _class_entries(node: ast.ClassDef) -> Iterator[Entry]:
    methods: list[Entry] = []
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(child, clean=False)
            if doc:
                methods.append(Entry(2, f"{node.name}.{child.name}", _signature(child, f"{node.name}."), doc))
    doc = ast.get_docstring(node, clean=False) or ""
    if doc or methods:
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        yield Entry(1, node.name, f"class {node.name}({bases})" if bases else f"class {node.name}", doc)
        yield from methods


def _attached_docs(node: ast.stmt) -> Iterator[Entry]:
    """Documentation kept apart from what it documents: `add_docstr(torch.abs, "...")`, `NAME_DOC = "..."`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and len(node.value.args) >= 2:
        target, text = node.value.args[0], node.value.args[1]
        if isinstance(target, ast.Attribute) and _is_prose(text):
            yield Entry(1, ast.unparse(target), ast.unparse(target), ast.literal_eval(text))
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_prose(node.value):
        yield Entry(1, node.targets[0].id, node.targets[0].id, ast.literal_eval(node.value))


def _is_prose(node: ast.expr) -> bool:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)) or len(node.value) < 400:
        return False
    text = node.value[:4000]
    return sum(character.isalpha() or character == " " for character in text) > 0.8 * len(text)


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef, prefix: str) -> str:
    text = f"{prefix}{node.name}({ast.unparse(node.args)})"
    if node.returns is not None:
        text += f" -> {ast.unparse(node.returns)}"
    return text if len(text) <= 300 else text[:297] + "..."
