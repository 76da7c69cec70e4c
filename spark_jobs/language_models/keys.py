"""Keys of servers: read from the environment, and taken out of every text that is stored or shown."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Iterable
from urllib.parse import quote

from catalog.errors import WatershedError

SHORTEST = 8
"""Fewest characters of a key. A shorter one would be taken out of words."""

HIDDEN = "[key]"

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read_key(variable: str, endpoint: str) -> str | None:
    """Return the key in the environment variable `variable`; None if the endpoint names none.

    Raises:
        WatershedError: the variable is not set, too short, or not the name of a variable. No message has the value.
    """
    if not variable:
        return None
    # A key that was pasted in place of a name must not be printed, and no variable has such a name in practice.
    if not _VARIABLE.fullmatch(variable) or (len(variable) > 30 and variable not in os.environ):
        raise WatershedError(
            f"[models.{endpoint}] key is not the name of an environment variable",
            "export the key as a variable such as MODEL_KEY, and write that name",
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise WatershedError(f"[models.{endpoint}] key: {variable} is not set", f"export {variable}=...")
    if len(key) < SHORTEST or not key.isascii() or not key.isprintable():
        raise WatershedError(
            f"[models.{endpoint}] key: {variable} is not a key: it is shorter than {SHORTEST} characters, or has "
            "characters that no header can carry",
            "correct it, or leave `key` out for a server without keys",
        )
    return key


class Scrubber:
    """Takes keys out of texts, however they are written: plain, in JSON, in a URL, in base64."""

    def __init__(self, keys: Iterable[str | None]) -> None:
        forms: set[str] = set()
        for key in keys:
            if key:
                forms |= {key, json.dumps(key)[1:-1], quote(key, safe=""), quote(key)}
                forms |= {base64.b64encode(f"{before}{key}".encode()).decode().rstrip("=") for before in ("", ":")}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._forms = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """Return `text` with `[key]` in place of every key."""
        return self._forms.sub(HIDDEN, text) if self._forms else text


def quiet_logs() -> None:
    """Keep the HTTP libraries from logging headers, which hold the key, whatever level the program logs at."""
    for name in ("httpcore", "httpcore2", "httpx", "httpx2", "openai", "hpack"):
        for logger in (name, *(each for each in logging.root.manager.loggerDict if each.startswith(f"{name}."))):
            logging.getLogger(logger).setLevel(logging.WARNING)
