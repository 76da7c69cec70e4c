"""Manual pages: roff with the `man` or the `mdoc` macros, read for its text."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from html import escape
from pathlib import Path

from spark_jobs.demo.crawl.documents import GZIP_RATIO, read_text
from spark_jobs.demo.crawl.pages import Page

MANUAL_FOLDERS = (Path("/usr/share/man"), Path("/usr/local/share/man"))
HOST = "man.example"
MIN_BYTES = 700
MAX_CHARACTERS = 60_000
ESCAPES = {
    r"\-": "-",
    r"\e": "\\",
    r"\&": "",
    r"\|": "",
    r"\^": "",
    r"\/": "",
    r"\,": "",
    r"\ ": " ",
    r"\~": " ",
    r"\0": " ",
    r"\:": "",
    r"\%": "",
    r"\c": "",
    r"\(aq": "'",
    r"\(cq": "’",
    r"\(oq": "‘",
    r"\(lq": "“",
    r"\(rq": "”",
    r"\(dq": '"',
    r"\(bu": "•",
    r"\(em": "—",
    r"\(en": "–",
    r"\(co": "©",
    r"\(ha": "^",
    r"\(ti": "~",
    r"\(ga": "`",
    r"\(rs": "\\",
    r"\*(Aq": "'",
    r"\*(lq": "“",
    r"\*(rq": "”",
    r"\*(C`": "“",
    r"\*(C'": "”",
    r"\*(--": "—",
}
ESCAPE = re.compile(
    r"\\f(?:\[[^\]]*\]|\(..|.)|\\s[+-]?\d|\\m\[[^\]]*\]|\\[hvwLlD]'[^']*'|\\\*?\(..|\\\[[^\]]*\]|\\\*\[[^\]]*\]|\\\*.|\\."
)
HEADINGS = {"SH": 2, "Sh": 2, "SS": 3, "Ss": 3}
ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", ":": "\u0308", "~": "\u0303", ",": "\u0327"}
COMPOSED = re.compile(r"\\[(\[](?:u(?P<code>[0-9A-F]{4})|(?P<accent>['`^:~,])(?P<letter>[A-Za-z]))\]?")
FONT_MACROS = frozenset({"B", "I", "BR", "IR", "RB", "RI", "BI", "IB", "SM", "SB", "R"})
PARAGRAPH_MACROS = frozenset({"PP", "LP", "P", "sp", "Pp", "br", "HP", "TP", "TQ", "IP", "It", "RS", "RE", "Bl", "El"})
MDOC_TEXT = frozenset(
    "Nm Nd Fl Ar Op Dq Sq Pq Bq Aq Ql Qq Pa Ev Em Sy Li Cm Ic Va Vt Fn Ft Fa Xr Dv Er Tn Ux Bx Fx Nx Ox At Sx An"
    " Ad No Ns Lk Mt Brq Do Dc Oo Oc Po Pc Xo Xc Qo Qc In Cd St Rv Ex Os".split()
)
MDOC_CALLABLE = MDOC_TEXT | {"Ta", "Ap"}


def manual_pages(folders: tuple[Path, ...] = MANUAL_FOLDERS) -> Iterator[Page]:
    """Pages from the system's manual folders; pages in other languages count as translations."""
    for folder in folders:
        for section in sorted(folder.glob("**/man[1-9]")):
            inside = section.relative_to(folder).as_posix()
            lang = inside.split("/")[0].split(".")[0] if "/" in inside else "en"
            for entry in sorted(os.scandir(section), key=lambda entry: entry.name):
                if entry.is_file(follow_symlinks=False):
                    yield from _manual_page(entry, inside, lang)


def _manual_page(entry: os.DirEntry[str], inside: str, lang: str) -> Iterator[Page]:
    size = entry.stat().st_size * (GZIP_RATIO if entry.name.endswith(".gz") else 1)
    if size < MIN_BYTES:
        return
    name = entry.name.removesuffix(".gz")
    label, _, section = name.rpartition(".")
    yield Page(
        kind="manual" if lang == "en" else "translation",
        group=label.split("-")[0] if lang == "en" else f"manual/{lang}",
        host=HOST,
        path=f"/{inside}/{name}.html",
        title=f"{label}({section})",
        weight=min(size, MAX_CHARACTERS),
        source=Path(entry.path),
        lang=lang,
    )


def manual_body(page: Page) -> str:
    """A manual page as HTML; "" if the file only refers to another one."""
    text = read_text(page.source)
    if text.lstrip().startswith(".so ") or not text:
        return ""
    return f"<h1>{escape(page.title)}</h1>\n{roff_html(text[:MAX_CHARACTERS])}"


def plain(text: str) -> str:
    """A run of roff text without its escapes."""
    return ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    known = ESCAPES.get(match[0])
    if known is not None:
        return known
    composed = COMPOSED.fullmatch(match[0])
    if composed is None:
        return ""
    if composed["code"]:
        return chr(int(composed["code"], 16))
    return unicodedata.normalize("NFC", composed["letter"] + ACCENTS[composed["accent"]])


def roff_html(source: str) -> str:
    """Headings, paragraphs and listings of a roff page; fonts, tabs and tables are dropped."""
    page = _RoffPage()
    skipping = False
    for raw in source.split("\n"):
        line = raw.rstrip()
        if skipping:
            skipping = line.strip() != ".."
        elif not line.startswith((".", "'")):
            page.text(plain(line))
        elif not line.startswith(("'\\\"", ".\\", "'br")):
            macro, arguments = _request(line)
            skipping = macro in ("de", "de1", "ig", "am")
            page.request(macro, arguments)
    return page.html()


class _RoffPage:
    """Builds the HTML of a roff page line by line."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.words: list[str] = []
        self.listing: list[str] | None = None

    def text(self, line: str) -> None:
        """A line of text: part of the listing or of the paragraph; an empty one ends the paragraph."""
        if self.listing is not None:
            self.listing.append(line)
        elif line.strip():
            self.words.append(line.strip())
        else:
            self.end_paragraph()

    def request(self, macro: str, arguments: list[str]) -> None:
        """A macro line; unknown ones are ignored with their arguments."""
        if macro in FONT_MACROS:
            self.text((" " if len(macro) == 1 or macro == "SM" else "").join(arguments))
        elif macro in MDOC_TEXT:
            self.text(_mdoc_text([macro, *arguments]))
        elif macro in HEADINGS:
            self.end_paragraph()
            level = HEADINGS[macro]
            self.parts.append(f"<h{level}>{escape(' '.join(arguments), quote=False)}</h{level}>")
        elif macro in PARAGRAPH_MACROS:
            self.end_paragraph()
            if macro in ("IP", "It") and arguments:
                self.words.append(_mdoc_text(arguments) if macro == "It" else arguments[0])
        elif macro in ("nf", "EX", "Bd"):
            self.end_paragraph()
            self.listing = []
        elif macro in ("fi", "EE", "Ed"):
            self.end_listing()

    def end_paragraph(self) -> None:
        """Close the open paragraph, if any."""
        if self.words:
            self.parts.append(f"<p>{escape(' '.join(self.words), quote=False)}</p>")
            self.words = []

    def end_listing(self) -> None:
        """Close the open listing, if any."""
        if self.listing:
            self.parts.append("<pre>" + escape("\n".join(self.listing), quote=False) + "</pre>")
        self.listing = None

    def html(self) -> str:
        """All of it."""
        self.end_listing()
        self.end_paragraph()
        return "\n".join(self.parts)


def _request(line: str) -> tuple[str, list[str]]:
    """The macro's name and its arguments: `"quoted text"` is one argument."""
    body = line[1:].strip()
    macro, _, rest = body.partition(" ")
    found = re.findall(r'"((?:[^"]|"")*)"?|(\S+)', rest.replace("\\ ", "\u00a0"))
    return macro, [plain((quoted or bare).replace('""', '"')).replace("\u00a0", " ") for quoted, bare in found]


def _mdoc_text(tokens: list[str]) -> str:
    """Arguments of an mdoc line as words: flags get their dash, calls within the line disappear."""
    words: list[str] = []
    dash = False
    for token in tokens:
        if token == "Fl":
            dash = True
        elif token not in MDOC_CALLABLE:
            words.append(f"-{token}" if dash else token)
            dash = False
    return " ".join(words)
