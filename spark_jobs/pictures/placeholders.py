"""Pictures that hosts give in place of those that are gone, with status 200.

Three signs: the address after redirects names one ("photo_unavailable.png" of Flickr, "removed.png" of Imgur); all
pixels have one colour; or a host gives the same bytes for several addresses of which none was said to have them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import urlsplit

SAME_BYTES = 3
"""Addresses of one host with the same bytes from which on these are a placeholder."""
NAMES = re.compile(
    r"(photo[-_]?unavailable|image[-_]?(not[-_]?found|unavailable|removed|deleted)|no[-_]?(image|photo)([-_]?available)?"
    r"|removed|deleted|unavailable|placeholder|missing|404)\.(png|jpe?g|gif|webp)",
    flags=re.I,
)


def is_placeholder_address(url: str) -> bool:
    """Whether the last part of an address is the usual name of a placeholder.

    Example:
        >>> is_placeholder_address("https://s.yimg.com/pw/images/en-us/photo_unavailable.png")
        True
    """
    return NAMES.fullmatch(urlsplit(url).path.rsplit("/", 1)[-1]) is not None


def repeated_bytes(found: Iterable[tuple[str, str, str | None, str]], least: int = SAME_BYTES) -> set[str]:
    """The places whose bytes are a placeholder, because their host gives them for other places too.

    Args:
        found: place, host, declared digest and observed digest of pictures that arrived.
        least: places of a host with the same bytes from which on these are a placeholder.

    Example:
        >>> sorted(repeated_bytes([(str(n), "a.example", None, "9f") for n in range(3)]))
        ['0', '1', '2']
    """
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place, host, declared, observed in found:
        if declared is None:
            groups[host, observed].append(place)
    return {place for places in groups.values() if len(places) >= least for place in places}
