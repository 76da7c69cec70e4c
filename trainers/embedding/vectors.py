"""Vectors of documents by the digest of their text, in a safetensors file.

`keys` is (n, 32) bytes, the SHA-256 of each text in UTF-8; `vectors` is (n, dimensions) in float32. They are those of a
frozen encoder, and are read only by runs that begin with an encoder of the same weights, as `encoder` of the metadata
says: the hex SHA-256 that `core.checkpoint.digest_of` gives. Who has embedded the documents already can write such a
file, so that a run embeds queries alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainers.process.errors import TrainerError
from trainers.process.files import whole_file

Floats = NDArray[np.float32]


def key_of(text: str) -> bytes:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).digest()


def read_vectors(path: Path, encoder: str = "") -> dict[bytes, Floats]:
    """The vectors of a file by key.

    Args:
        path: the file.
        encoder: the digest of the encoder that they must be of; "" for any, where the file does not say it.

    Raises:
        TrainerError: the file cannot be read, or its vectors are of another encoder.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), "numpy") as file:
            named = (file.metadata() or {}).get("encoder", "")
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise TrainerError(
            f"{path} cannot be read: {error}", "give a file of vectors, or leave `vectors` out"
        ) from None
    if named and encoder and named != encoder:
        raise TrainerError(f"{path} holds vectors of another encoder", "give those of the encoder that is trained")
    if keys.ndim != 2 or keys.shape[1] != 32 or vectors.ndim != 2 or len(keys) != len(vectors):
        raise TrainerError(f"{path} holds no keys of 32 bytes, each with a vector", "write it as vectors.py says")
    if not np.isfinite(vectors).all():
        raise TrainerError(f"{path} holds a vector that is not finite", "embed its documents again")
    found = np.asarray(vectors, dtype=np.float32)
    return {row.tobytes(): vector for row, vector in zip(keys.astype(np.uint8), found, strict=True)}


def write_vectors(path: Path, found: Mapping[bytes, Floats], encoder: str) -> None:
    """Write vectors by key, whole."""
    from safetensors.numpy import save

    keys = np.frombuffer(b"".join(found), dtype=np.uint8).reshape(len(found), 32)
    with whole_file(path) as file:
        file.write(save({"keys": keys.copy(), "vectors": np.stack(list(found.values()))}, {"encoder": encoder}))


def completed(
    found: Mapping[bytes, Floats], texts: Sequence[str], encode: Callable[[Sequence[str]], Floats]
) -> dict[bytes, Floats]:
    """The vectors of texts by key: those that were found, and the others computed."""
    missing = [text for text in texts if key_of(text) not in found]
    computed = encode(missing) if missing else ()
    more = {key_of(text): vector for text, vector in zip(missing, computed, strict=True)}
    return {key: found[key] if key in found else more[key] for key in map(key_of, texts)}
