"""From a planned page to the bytes that a server would send."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape

from spark_jobs.demo.crawl.catalogues import catalogue_body
from spark_jobs.demo.crawl.documents import text_body
from spark_jobs.demo.crawl.manuals import manual_body
from spark_jobs.demo.crawl.packages import package_aside, package_body
from spark_jobs.demo.crawl.pages import Page, Site, seeded
from spark_jobs.demo.crawl.python_docs import module_body, reference_body
from spark_jobs.demo.crawl.site import framed
from spark_jobs.demo.crawl.warc import http_message, sha1_base32, visit_time

SERVERS = ("nginx", "Apache/2.4.62 (Debian)", "cloudfront", "GitHub.com", "openresty")


@dataclass(frozen=True)
class Fetched:
    """The response of one address."""

    message: bytes
    """HTTP status line, headers and payload."""
    payload: bytes


def _translation_body(page: Page) -> str:
    if page.source.suffix in (".jar", ".mo"):
        return catalogue_body(page)
    return manual_body(page) if page.group.startswith("manual/") else text_body(page)


RENDERERS: dict[str, Callable[[Page], str]] = {
    "module": module_body,
    "object": module_body,
    "stub": module_body,
    "reference": reference_body,
    "package": package_body,
    "text": text_body,
    "manual": manual_body,
    "translation": _translation_body,
}
"""Article of a page by its kind; `html` pages are sent unchanged from the disk, `index` pages list a site."""


def fetch(page: Page, site: Site, index: int) -> Fetched | None:
    """The response for a page, or None if its source has nothing to show.

    Args:
        page: what was asked for.
        site: its host.
        index: position in the crawl, which decides the date of the visit.
    """
    payload = _payload(page, site)
    if payload is None:
        return None
    # A page taken from disk says its own charset or none: old sites do the same.
    content_type = "text/html" if page.kind == "html" else "text/html; charset=utf-8"
    headers = [
        ("Date", f"{_http_date(index)}"),
        ("Server", SERVERS[seeded(0, "server", page.host) % len(SERVERS)]),
        ("Content-Type", content_type),
        ("Content-Length", str(len(payload))),
        ("ETag", f'"{sha1_base32(payload)[5:21].lower()}"'),
        ("Vary", "Accept-Encoding"),
        ("Connection", "close"),
    ]
    return Fetched(http_message("200 OK", headers, payload), payload)


def _payload(page: Page, site: Site) -> bytes | None:
    # The same bytes under a second address: rendered as if the first one had been asked for.
    shown = replace(page, copy="", scheme="https", path=page.path.split("?")[0]) if page.copy == "same" else page
    if shown.kind == "html":
        try:
            return shown.source.read_bytes()
        except OSError:
            return None
    if shown.kind == "index":
        return framed(shown, site, _index_body(shown, site))
    body = RENDERERS[shown.kind](shown)
    if not body:
        return None
    aside = package_aside(shown) if shown.kind == "package" else ""
    return framed(shown, site, body, aside=aside)


def _index_body(page: Page, site: Site) -> str:
    items = "\n".join(f'<li><a href="{escape(path)}">{escape(title)}</a></li>' for title, path in site.pages)
    return f"<h1>{escape(page.title)}</h1>\n<ul>\n{items}\n</ul>"


def _http_date(index: int) -> str:
    moment = visit_time(index)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moment.weekday()]
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day}, {moment:%d} {names[moment.month - 1]} {moment:%Y %H:%M:%S} GMT"
