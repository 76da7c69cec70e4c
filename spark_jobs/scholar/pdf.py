"""The text of a PDF, read by pypdfium2 in a process of its own, which bounds its time and memory.

    python -m spark_jobs.scholar.pdf FILE.pdf

prints one JSON object: `{"title": ..., "pages": [...]}`, or `{"error": ...}`. A PDF comes from strangers, and its
reader is a large program in C++: what it does to its process reaches no other file.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

MOST_PAGES = 2_000
MOST_CHARACTERS = 20_000_000
MOST_BYTES = 200_000_000
SECONDS = 60
MEMORY = 3 << 30


@dataclass(frozen=True)
class PdfText:
    """The text of a PDF, its pages divided by empty lines, and its title if it states one."""

    title: str | None
    text: str


class NotReadableError(Exception):
    """A file that is not a PDF, or whose text cannot be read; the message says why."""


def read_pdf(path: Path) -> PdfText:
    """Return the text of a PDF.

    Raises:
        NotReadableError: the file is not a PDF, is encrypted or too large, or its pages hold no text.
    """
    with path.open("rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise NotReadableError("it is not a PDF: its first bytes lack %PDF-")
    if path.stat().st_size > MOST_BYTES:
        raise NotReadableError(f"it has more than {MOST_BYTES:,} bytes")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "spark_jobs.scholar.pdf", str(path.absolute())],
            capture_output=True,
            timeout=SECONDS * 2,
            cwd=Path(__file__).parents[2],
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotReadableError(f"reading it takes more than {SECONDS * 2} s") from None
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise NotReadableError(f"its reader ended with code {done.returncode}") from None
    if "error" in found:
        raise NotReadableError(found["error"])
    text = "\n\n".join(found["pages"]).strip()
    if not text:
        raise NotReadableError("its pages hold no text: they may be pictures")
    return PdfText(found["title"], text)


def _pages(path: str) -> dict[str, object]:
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(path)
        if len(document) > MOST_PAGES:
            return {"error": f"it has more than {MOST_PAGES:,} pages"}
        pages, length = [], 0
        for page in document:
            text = page.get_textpage().get_text_bounded().replace("\r\n", "\n").replace("\ufffe", "")
            length += len(text)
            if length > MOST_CHARACTERS:
                return {"error": f"it has more than {MOST_CHARACTERS:,} characters"}
            pages.append(text)
        title = (document.get_metadata_dict().get("Title") or "").strip()
    except pypdfium2.PdfiumError as error:
        return {"error": f"pypdfium2 cannot read it: {error}"}
    return {"title": title or None, "pages": pages}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.stdout.write(json.dumps(_pages(sys.argv[1])))
