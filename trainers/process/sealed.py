"""JSON files that hold a digest of themselves, so that a changed or half-written one is noticed when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_text, write_json

DIGEST = "digest"
"""The field with the SHA-256 of all other fields, as canonical JSON."""


def digest_of_fields(fields: Mapping[str, Any]) -> str:
    """Hex SHA-256 of all fields but the digest itself."""
    return sha256_text(canonical_json({name: value for name, value in fields.items() if name != DIGEST}))


def sealed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields and their digest."""
    return {**fields, DIGEST: digest_of_fields(fields)}


def write_sealed(path: Path, fields: Mapping[str, Any]) -> None:
    """Replace `path`, whole, by a JSON object of `fields` and their digest."""
    write_json(path, sealed(fields))


def read_sealed(path: Path, kinds: Mapping[str, type | tuple[type, ...]], mend: str) -> dict[str, Any]:
    """The fields of a JSON file, without the digest.

    A file without a digest is one of an earlier version, and is read too.

    Args:
        kinds: the fields that must be there, and the types of their values.
        mend: what a user does about a damaged file.

    Raises:
        TrainerError: the file cannot be read, is not a JSON object with these fields, or differs from its digest.
    """
    try:
        fields = json.loads(path.read_bytes())
    except OSError as error:
        raise TrainerError(f"{path} cannot be read: {error.strerror}", mend) from None
    except (ValueError, RecursionError):
        raise TrainerError(f"{path} is damaged: it is not JSON", mend) from None
    if not isinstance(fields, dict):
        raise TrainerError(f"{path} is damaged: it holds no JSON object", mend)
    fields = unsealed(fields)
    if fields is None:
        raise TrainerError(f"{path} is damaged: it differs from the digest in it", mend)
    for name, kind in kinds.items():
        if not isinstance(fields.get(name), kind) or (isinstance(fields[name], bool) and kind is int):
            raise TrainerError(f"{path} is damaged: its field {name} is missing or of another type", mend)
    return fields


def unsealed(fields: Any) -> dict[str, Any] | None:
    """An object's fields without the digest; None of anything else, or where the digest is that of other fields.

    An object without a digest is one of an earlier version.
    """
    if not isinstance(fields, dict):
        return None
    digest, rest = fields.get(DIGEST), {name: value for name, value in fields.items() if name != DIGEST}
    try:
        return rest if digest is None or digest == digest_of_fields(rest) else None
    except ValueError:  # NaN, which nothing here writes
        return None
