"""Real documents of this machine as records of papers: Python's reference, package descriptions, and docstrings.

A document's summary, which is the first sentence of its module's docstring, is left out of its text: it is a question
whose answer is known, so that searches can be compared.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from pathlib import Path

FEWEST_CHARACTERS = 800
MOST_SOURCE_BYTES = 600_000
SKIPPED = {"test", "tests", "__pycache__", "_vendor", "vendor", "node_modules", "site-packages", "lib2to3"}


@dataclass(frozen=True)
class Document:
    """A document, and its summary; None if it has none."""

    id: str
    title: str
    text: str
    summary: str | None = None

    def record(self) -> dict[str, str]:
        """Return the record that `papers.read_papers` reads."""
        return {"id": self.id, "title": self.title, "text": self.text}


def documents() -> Iterator[Document]:
    """Yield the documents of this Python installation, in a fixed order: reference, descriptions, then modules."""
    paths = sysconfig.get_paths()
    stdlib, packages = Path(paths["stdlib"]), Path(paths["purelib"])
    yield from _topics(stdlib / "pydoc_data" / "topics.py")
    yield from _descriptions(packages)
    yield from _modules(stdlib)
    yield from _modules(packages)


def chosen_documents(count: int) -> list[Document]:
    """Return the reference and the descriptions, and of the modules those that a hash chooses, up to `count` in all.

    The modules' files are read in the order of the hash of their names, so that only as many are read as are chosen.
    """
    paths = sysconfig.get_paths()
    stdlib, packages = Path(paths["stdlib"]), Path(paths["purelib"])
    found = [*_topics(stdlib / "pydoc_data" / "topics.py"), *_descriptions(packages)][:count]
    files = [(path, folder) for folder in (stdlib, packages) for path in _sources(folder)]
    files.sort(key=lambda each: hashlib.sha256(_module_name(*each).encode()).digest())
    for path, folder in files:
        if len(found) >= count:
            break
        if document := _module(path, _module_name(path, folder)):
            found.append(document)
    return found


def _topics(source: Path) -> Iterator[Document]:
    if not source.is_file():
        return
    for node in ast.parse(source.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for topic, text in sorted(ast.literal_eval(node.value).items()):
                if len(text) >= FEWEST_CHARACTERS:
                    yield Document(f"python-reference:{topic}", f"Python reference: {topic}", text.strip())


def _descriptions(packages: Path) -> Iterator[Document]:
    for path in sorted(packages.glob("*.dist-info/METADATA")):
        data = path.read_bytes()
        head = BytesHeaderParser().parsebytes(data)
        body = data.partition(b"\n\n")[2].decode("utf-8", "replace")
        text = re.sub(r"<[^>]{1,400}>|\[!\[[^\n]*", " ", body).strip()
        name = str(head.get("Name", path.parent.name))
        if len(text) >= FEWEST_CHARACTERS:
            summary = " ".join(str(head.get("Summary") or "").split()) or None
            yield Document(f"package:{name.lower()}", f"{name}, its description", text, summary)


def _modules(folder: Path) -> Iterator[Document]:
    for path in _sources(folder):
        if document := _module(path, _module_name(path, folder)):
            yield document


def _sources(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder).parts
        if not SKIPPED.intersection(inside) and not path.name.startswith("test_"):
            yield path


def _module_name(path: Path, folder: Path) -> str:
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def _module(path: Path, name: str) -> Document | None:
    """Return the docstrings of a module, its classes and its functions, each under its name."""
    data = path.read_bytes()
    if len(data) > MOST_SOURCE_BYTES or data.count(b'"""') + data.count(b"'''") < 2:
        return None
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    own = ast.get_docstring(tree) or ""
    summary, rest = _summary(own)
    parts = [rest, *_docstrings(tree, "")]
    text = "\n\n".join(part for part in parts if part.strip()).strip()
    return Document(f"module:{name}", name, text, summary) if len(text) >= FEWEST_CHARACTERS else None


def _docstrings(node: ast.AST, inside: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            name = f"{inside}{child.name}"
            if doc := ast.get_docstring(child):
                yield f"{name}: {doc}"
            if isinstance(child, ast.ClassDef):
                yield from _docstrings(child, f"{name}.")


def _summary(doc: str) -> tuple[str | None, str]:
    """Return the first sentence of a docstring, if it has enough words to be searched for, and the rest."""
    first, _, rest = doc.partition("\n\n")
    sentence = " ".join(first.split())
    if not 5 <= len(sentence.split()) <= 40:
        return None, doc
    return sentence, rest
