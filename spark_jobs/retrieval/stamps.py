"""Where vectors come from. Vectors of two stamps cannot be compared, so that every store of vectors has one stamp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from catalog.errors import WatershedError


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Everything that decides a vector besides the text."""

    model: str
    """Name of the encoder."""
    revision: str
    """Digest of its weights."""
    library: str
    """Library that runs it, with its version: releases have changed vectors of the same weights."""
    dimensions: int
    normalised: bool
    """Whether vectors have length 1, so that the inner product is the cosine."""
    query_prompt: str = ""
    """Text before each query."""
    document_prompt: str = ""
    """Text before each document."""

    @property
    def digest(self) -> str:
        """16 hex digits of all entries."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Stamp:
        """Return the stamp that `dataclasses.asdict` gave.

        Raises:
            WatershedError: an entry is missing or unknown.
        """
        try:
            return cls(**entries)
        except TypeError as error:
            raise WatershedError(f"a stamp of vectors is malformed: {error}", "build the index again") from error


def require_same(stored: Stamp, given: Stamp, place: str) -> None:
    """Check that vectors can be compared.

    Args:
        stored: the stamp of the vectors that are there.
        given: the stamp of those that are added, or that ask.
        place: the store, for the message.

    Raises:
        WatershedError: the stamps differ; the message names the entries.
    """
    differing = [
        f"{each.name} {getattr(stored, each.name)!r} and not {getattr(given, each.name)!r}"
        for each in fields(Stamp)
        if getattr(stored, each.name) != getattr(given, each.name)
    ]
    if differing:
        raise WatershedError(
            f"{place} holds vectors of another encoder: {'; '.join(differing)}",
            "use the encoder of the index, or embed all passages again with the new one",
        )
