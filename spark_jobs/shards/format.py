"""The format of shards that trainers read: plain WebDataset tars of .npy members, and a manifest of their offsets.

    train/shard_00000000.tar    members 00000000-000000.tokens.npy, ...: (n, L + 1) tokens, n <= 256
    train/manifest.jsonl        a line a shard, in order: counts, digest, sources, each member's byte offset
    heldout/...                 the same
    dataset.json                fingerprint, vocabulary, sequence length, end-of-document id, seed
    tokenizer.json              Hugging Face tokenizers

The bytes depend on the sequences alone: headers carry no time, owner or host.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalog.files import write_whole

SEQUENCES_PER_MEMBER = 256
"""webdataset reads about eight times as many sequences a second from members of 256 sequences as from single ones."""
MANIFEST = "manifest.jsonl"
DATASET = "dataset.json"
TOKENIZER = "tokenizer.json"

Sequences = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True)
class TarMember:
    """One .npy file in a tar."""

    name: str
    offset: int
    """Byte of the tar where its .npy header begins."""
    sequences: int


@dataclass(frozen=True, kw_only=True)
class ManifestLine:
    """The manifest's entry for a shard."""

    shard: str
    split: str
    num_sequences: int
    sequence_length: int
    """L; a sequence holds L + 1 tokens."""
    dtype: str
    tokens: int
    text_bytes: int
    """UTF-8 bytes of the text of the tokens; the end-of-document token has none."""
    bytes: int
    sha256: str
    sources: dict[str, int]
    """Tokens by source, by name."""
    members: tuple[TarMember, ...]


def shard_name(number: int) -> str:
    """`shard_00000007`."""
    return f"shard_{number:08d}"


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """Little-endian, 16 bits if every id fits, else 32."""
    return np.dtype("<u2" if vocab_size <= 65_536 else "<u4")


def tar_bytes(number: int, sequences: Sequences) -> tuple[bytes, tuple[TarMember, ...]]:
    """The tar of shard `number` and its members.

    Args:
        sequences: (n, L + 1), C order.
    """
    buffer, members = io.BytesIO(), []
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for place, start in enumerate(range(0, len(sequences), SEQUENCES_PER_MEMBER)):
            rows = np.ascontiguousarray(sequences[start : start + SEQUENCES_PER_MEMBER])
            array = io.BytesIO()
            np.lib.format.write_array(array, rows, version=(1, 0), allow_pickle=False)
            # TarInfo's own defaults are time 0, owner 0 and mode 0644.
            header = tarfile.TarInfo(f"{number:08d}-{place:06d}.tokens.npy")
            header.size = array.tell()
            members.append(TarMember(header.name, buffer.tell() + tarfile.BLOCKSIZE, len(rows)))
            array.seek(0)
            tar.addfile(header, array)
    return buffer.getvalue(), tuple(members)


def write_shard(
    folder: Path, split: str, number: int, sequences: Sequences, *, text_bytes: int, sources: dict[str, int]
) -> ManifestLine:
    """Write `folder`/shard_NNNNNNNN.tar, whole or not at all; returns its entry for the manifest."""
    data, members = tar_bytes(number, sequences)
    write_whole(folder / f"{shard_name(number)}.tar", data)
    return ManifestLine(
        shard=shard_name(number),
        split=split,
        num_sequences=len(sequences),
        sequence_length=sequences.shape[1] - 1,
        dtype=sequences.dtype.name,
        tokens=sequences.size,
        text_bytes=text_bytes,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        sources=dict(sorted(sources.items())),
        members=members,
    )


def read_shard(path: Path) -> Sequences:
    """Every sequence of a shard in order, (n, L + 1), read member by member without the manifest."""
    parts = []
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                parts.append(np.lib.format.read_array(io.BytesIO(file.read()), allow_pickle=False))
    return np.concatenate(parts)


def write_manifest(folder: Path, lines: Iterable[ManifestLine]) -> None:
    """`folder`/manifest.jsonl, sorted by shard; its presence marks the split as complete."""
    texts = (json.dumps(asdict(line), separators=(",", ":")) for line in sorted(lines, key=lambda line: line.shard))
    write_whole(folder / MANIFEST, "".join(f"{line}\n" for line in texts).encode())


def read_manifest(folder: Path) -> list[ManifestLine]:
    """The lines of `folder`/manifest.jsonl."""
    lines = (folder / MANIFEST).read_text("utf-8").splitlines()
    return [parse_line(json.loads(line)) for line in lines]


def parse_line(fields: dict[str, Any]) -> ManifestLine:
    """A manifest line from its JSON object."""
    members = tuple(TarMember(**member) for member in fields["members"])
    return ManifestLine(members=members, **{name: value for name, value in fields.items() if name != "members"})


def write_dataset(
    folder: Path, *, fingerprint: str, vocab_size: int, sequence_length: int, eot: int, seed: int
) -> None:
    """`folder`/dataset.json."""
    fields = {
        "fingerprint": fingerprint,
        "vocab_size": vocab_size,
        "sequence_length": sequence_length,
        "eot": eot,
        "seed": seed,
    }
    write_whole(folder / DATASET, (json.dumps(fields, indent=2) + "\n").encode())
