"""What the crawl plans before it renders: one `Page` per address, one `Site` per host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the crawl, planned but not yet rendered."""

    kind: str
    """Which renderer makes it, and the line it is counted under: see `render.RENDERERS`."""
    group: str
    """What the selection balances within a kind: a package, a language, a class of document."""
    host: str
    path: str
    """Address below the host, starting with a slash, query included."""
    title: str
    weight: int
    """Characters of text expected on it; longer pages are likelier to be chosen."""
    source: Path
    """The file it is made from."""
    part: str = ""
    """What of the file: a class, a topic, an archive member, an encoding of the language."""
    scheme: str = "https"
    lang: str = "en"
    copy: str = ""
    """"" for an original, "same" for the same bytes under a second address, "session" for a second visit."""
    version: str = ""
    """A version other than the site's own: the page is then the older edition."""

    @property
    def url(self) -> str:
        """The address that the crawl asks for."""
        return f"{self.scheme}://{self.host}{self.path}"


@dataclass(frozen=True)
class Site:
    """What all pages of one host share."""

    host: str
    name: str
    version: str
    pages: tuple[tuple[str, str], ...] = ()
    """(title, path) of the site's chosen pages in reading order, for navigation."""


def seeded(seed: int, *parts: str) -> int:
    """A 64-bit number that the seed and the parts decide, whatever the order of calls or the process."""
    text = "\x1f".join((str(seed), *parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest())
