"""Installed packages: what is installed, their pages in a package index, their licences and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from spark_jobs.demo.crawl.pages import Page
from spark_jobs.demo.crawl.prose import docstring_html, markdown_html, plain_text_html

INDEX_HOST = "packages.example"
MIN_DESCRIPTION = 300


@dataclass(frozen=True)
class Package:
    """One installed distribution."""

    name: str
    """Normalised: lower case, runs of `-_.` as one dash."""
    version: str
    top_level: tuple[str, ...]
    """Names directly in `site-packages` that it installed, without `.py`."""
    info: Path
    """Its `.dist-info` folder."""

    @property
    def docs_host(self) -> str:
        """Host of its documentation."""
        return f"docs.{self.name}.example"


def installed_packages(site_packages: Path) -> list[Package]:
    """Every distribution in the folder, by name; not those installed from a local source tree.

    Local installs (`direct_url.json`) are left out because the crawl must not change with the user's own work.
    """
    packages: dict[str, Package] = {}
    for info in sorted(site_packages.glob("*.dist-info")):
        if (info / "direct_url.json").is_file() or not (info / "METADATA").is_file():
            continue
        headers, _ = read_metadata(info / "METADATA")
        name = re.sub(r"[-_.]+", "-", headers.get("name", [info.name.split("-")[0]])[0]).lower()
        version = headers.get("version", [""])[0]
        packages[name] = Package(name, version, _top_level(info), info)
    return [packages[name] for name in sorted(packages)]


def _top_level(info: Path) -> tuple[str, ...]:
    record = info / "RECORD"
    if not record.is_file():
        return ()
    paths = re.findall(r"^([^/,\n]+)(/[^,\n]*)?,", record.read_text("utf-8", "replace"), re.MULTILINE)
    names = {first.removesuffix(".py") for first, rest in paths if rest or first.endswith(".py")}
    return tuple(sorted(name for name in names if name.isidentifier() and name != "__pycache__"))


def read_metadata(path: Path) -> tuple[dict[str, list[str]], str]:
    """Headers (lower-case name to values, in order) and long description of a METADATA file."""
    head, _, body = path.read_text("utf-8", "replace").partition("\n\n")
    headers: dict[str, list[str]] = {}
    for line in head.split("\n"):
        name, colon, value = line.partition(": ")
        if colon and not line.startswith((" ", "\t")):
            headers.setdefault(name.lower(), []).append(value.strip())
    if "description" in headers and not body.strip():
        folded = head.partition("\nDescription: ")[2]
        body = re.sub(r"\n(?: {8}|\t|\s{7}\|)", "\n", folded)
    return headers, body


def package_pages(packages: list[Package]) -> Iterator[Page]:
    """A page of the package index, and the same description as the front page of the package's own site."""
    for package in packages:
        _, description = read_metadata(package.info / "METADATA")
        if len(description) < MIN_DESCRIPTION:
            continue
        for host, path in ((INDEX_HOST, f"/project/{package.name}/"), (package.docs_host, "/en/stable/")):
            yield Page(
                kind="package",
                group=package.name,
                host=host,
                path=path,
                title=package.name,
                weight=len(description),
                source=package.info / "METADATA",
            )


def description_html(path: Path) -> str:
    """A long description by its declared content type: Markdown, reStructuredText or plain text."""
    headers, description = read_metadata(path)
    kind = headers.get("description-content-type", [""])[0].split(";")[0].strip()
    if kind == "text/markdown":
        return markdown_html(description)
    if kind == "text/x-rst" or re.search(r"^(={4,}|-{4,})\s*$|^\.\. ", description, re.MULTILINE):
        return docstring_html(description, level=2)
    return plain_text_html(description)


def package_body(page: Page) -> str:
    """Title, summary and long description."""
    headers, _ = read_metadata(page.source)
    summary = headers.get("summary", [""])[0]
    heading = f"<h1>{escape(page.title)} {escape(headers.get('version', [''])[0])}</h1>"
    if page.host == INDEX_HOST:
        heading += f'\n<pre class="install">pip install {escape(page.title)}</pre>'
    return f'{heading}\n<p class="summary">{escape(summary, quote=False)}</p>\n{description_html(page.source)}'


def package_aside(page: Page) -> str:
    """The index's box beside a description: licence, classifiers, requirements, project links."""
    if page.host != INDEX_HOST:
        return ""
    headers, _ = read_metadata(page.source)
    rows: list[str] = []
    for label, field in (
        ("License", "license-expression"),
        ("Requires", "requires-python"),
        ("Author", "author"),
        ("Classifiers", "classifier"),
        ("Dependencies", "requires-dist"),
        ("Links", "project-url"),
    ):
        values = [value for value in headers.get(field, []) if len(value) < 200][:30]
        if values:
            items = "".join(f"<li>{escape(value, quote=False)}</li>" for value in values)
            rows.append(f"<h3>{label}</h3><ul>{items}</ul>")
    return "\n".join(rows) + "\n"
