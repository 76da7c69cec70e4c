"""Shards of token sequences: what the manifest promises, and a source that reads them in place.

A split is a folder of plain WebDataset tars and a manifest.jsonl with a line a shard; each tar holds .npy members of
shape (n, L + 1) whose byte offsets the manifest names. So `Sequences` reads rows by their place in the tars; it unpacks
nothing. `read_with_webdataset` reads the same sequences with the webdataset library.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.data.open_files import OpenFiles
from trainers.data.tokenizer_digest import tokenizer_digest
from trainers.process.errors import TrainerError
from trainers.process.files import canonical_json, sha256_file, sha256_text
from trainers.process.run_folder import TOKENIZER
from trainers.process.sealed import read_sealed

DATASET = "dataset.json"
TOKEN_DTYPES = ("uint16", "uint32")

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Member:
    """One .npy in a tar."""

    name: str
    offset: int
    """Byte in the tar where the .npy header begins."""
    sequences: int


@dataclass(frozen=True)
class Shard:
    """One line of the manifest."""

    shard: str
    split: str
    num_sequences: int
    sequence_length: int
    """L: tokens predicted in a sequence; L + 1 are stored."""
    dtype: str
    tokens: int
    text_bytes: int
    """UTF-8 bytes of the text that these tokens stand for."""
    bytes: int
    sha256: str
    sources: dict[str, int]
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Split:
    """A checked folder of shards."""

    folder: Path
    shards: tuple[Shard, ...]
    data_offsets: tuple[int, ...]
    """Byte in its tar where each member's numbers begin, over all shards in order."""
    vocab_size: int
    dataset_fingerprint: str
    eot: int = 0
    """The token that ends a document."""
    tokenizer: str = ""
    """`tokenizer_digest` of the tokenizer.json beside the shards; "" where there is none."""

    @property
    def sequence_length(self) -> int:
        """Tokens of a sequence, without the one that is only predicted."""
        return self.shards[0].sequence_length

    @property
    def num_sequences(self) -> int:
        """Sequences in all shards."""
        return sum(shard.num_sequences for shard in self.shards)

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of text a stored token stands for, the end-of-text tokens counting zero bytes."""
        return sum(shard.text_bytes for shard in self.shards) / sum(shard.tokens for shard in self.shards)

    @property
    def digest(self) -> str:
        """Hex SHA-256 over the shards' names and digests: what was read, wherever it lies."""
        return sha256_text(canonical_json([[shard.shard, shard.sha256] for shard in self.shards]))


def check_manifest(folder: Path | str, *, digests: bool = True) -> Split:
    """Read a split's manifest and hold every shard against it; `digests` re-reads the tars (about 1 GB/s a core).

    Raises TrainerError naming each shard that is absent, short, changed, or disagrees with its line.
    """
    folder = Path(folder)
    shards = _read_manifest(folder / "manifest.jsonl")
    problems, offsets = [], []
    for shard in shards:
        found = _disagreements(shard, shards[0]) or _file_problems(folder, shard, digests)
        starts = [] if found else _data_offsets(folder / f"{shard.shard}.tar", shard)
        lost = [m.name for m, start in zip(shard.members, starts, strict=False) if start < 0]
        problems += found + [f"{shard.shard}.tar has no such array at the offset of {name}" for name in lost]
        offsets += starts
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise TrainerError(
            f"{folder}: " + "; ".join(problems[:3]) + more, "write the shards again, or copy them again in full"
        )
    dataset = _read_dataset(folder)
    vocab_size, eot = dataset["vocab_size"], int(dataset.get("eot") or 0)
    tokenizer = tokenizer_digest(dataset_folder(folder) / TOKENIZER)
    return Split(folder, shards, tuple(offsets), vocab_size, dataset["fingerprint"], eot, tokenizer)


def _read_manifest(path: Path) -> tuple[Shard, ...]:
    mend = "point the trainer at a shard folder with train/ and heldout/, as dclm.shards writes it"
    if not path.is_file():
        raise TrainerError(f"{path} does not exist", mend)
    shards = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row: dict[str, Any] = json.loads(line)
            members = tuple(Member(**member) for member in row.pop("members"))
            fields = {name: row[name] for name in Shard.__dataclass_fields__ if name != "members"}
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise TrainerError(f"{path}, line {number} is not a shard: {error!r}", "write the shards again") from None
        shards.append(Shard(**fields, members=members))
    if not sum(shard.num_sequences for shard in shards):
        raise TrainerError(
            f"{path} names no shards with sequences", "let more documents through, so that a shard is filled"
        )
    names = [shard.shard for shard in shards]
    if names != sorted(set(names)):
        raise TrainerError(f"{path} names a shard twice or out of order", "write the shards again")
    return tuple(shards)


def _read_dataset(folder: Path) -> dict[str, Any]:
    kinds = {"vocab_size": int, "sequence_length": int, "fingerprint": str}
    return read_sealed(dataset_folder(folder) / DATASET, kinds, "write the shards again")


def dataset_folder(folder: Path) -> Path:
    """Where dataset.json and tokenizer.json of a split lie: beside it, or in it; TrainerError where neither is."""
    for place in (folder.parent, folder):
        if (place / DATASET).is_file():
            return place
    raise TrainerError(f"{folder.parent / DATASET} does not exist", "write the shards again")


def _disagreements(shard: Shard, first: Shard) -> list[str]:
    """What in a manifest line contradicts itself or the first line."""
    name, found = shard.shard, []
    if shard.num_sequences != sum(member.sequences for member in shard.members):
        found.append(f"{name} has {shard.num_sequences} sequences but its members have another number")
    if shard.tokens != shard.num_sequences * (shard.sequence_length + 1):
        found.append(f"{name} has {shard.tokens} tokens, not sequences x (length + 1)")
    if (shard.sequence_length, shard.dtype) != (first.sequence_length, first.dtype):
        found.append(f"{name} is {shard.dtype} of {shard.sequence_length}, unlike {first.shard}")
    offsets = [member.offset for member in shard.members]
    if any(a >= b for a, b in pairwise(offsets)):
        found.append(f"{name} has members out of order")
    if shard.dtype not in TOKEN_DTYPES:
        found.append(f"{name} has tokens of {shard.dtype}, not one of {', '.join(TOKEN_DTYPES)}")
    return found


def _file_problems(folder: Path, shard: Shard, digests: bool) -> list[str]:
    """How a tar differs from its manifest line."""
    path = folder / f"{shard.shard}.tar"
    if not path.is_file():
        return [f"{path.name} is missing"]
    size = path.stat().st_size
    if size != shard.bytes:
        return [f"{path.name} has {size} bytes, not {shard.bytes}"]
    if digests and sha256_file(path) != shard.sha256:
        return [f"{path.name} has another SHA-256 than its manifest line"]
    return []


def _data_offsets(path: Path, shard: Shard) -> list[int]:
    """Byte in the tar where each member's numbers begin; -1 where the header there is not the promised one."""
    expected = np.dtype(shard.dtype)
    offsets = []
    with path.open("rb") as file:
        for member in shard.members:
            file.seek(member.offset)
            try:
                if np.lib.format.read_magic(file) != (1, 0):
                    raise ValueError
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            except (ValueError, EOFError):
                offsets.append(-1)
                continue
            whole = file.tell() + expected.itemsize * member.sequences * (shard.sequence_length + 1) <= shard.bytes
            right = shape == (member.sequences, shard.sequence_length + 1) and dtype == expected and not fortran
            offsets.append(file.tell() if whole and right else -1)
    return offsets


class Sequences:
    """A split as a `Source`: its sequences, numbered from 0 in the order of manifest and members."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.stored_length = split.sequence_length + 1
        self._dtype = np.dtype(split.shards[0].dtype)
        members = [(s, m) for s, shard in enumerate(split.shards) for m in shard.members]
        counts = np.array([member.sequences for _, member in members], dtype=np.int64)
        self._member_first = np.concatenate(([0], np.cumsum(counts)))
        self._member_shard = np.array([shard for shard, _ in members], dtype=np.int64)
        self._member_offset = np.array(split.data_offsets, dtype=np.int64)
        self._files = OpenFiles([split.folder / f"{shard.shard}.tar" for shard in split.shards])

    def __len__(self) -> int:
        return int(self._member_first[-1])

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over the shards' names and digests."""
        return self.split.digest

    def __getitem__(self, places: NDArray[np.int64]) -> Tokens:
        """Tokens (len(places), L + 1), int64, of the sequences numbered `places`."""
        member = np.searchsorted(self._member_first, places, side="right") - 1
        row_bytes = self.stored_length * self._dtype.itemsize
        start = self._member_offset[member] + (places - self._member_first[member]) * row_bytes
        stored = np.empty((len(places), self.stored_length), dtype=self._dtype)
        whole = stored.reshape(-1).view(np.uint8).data
        for row, (shard, offset) in enumerate(zip(self._member_shard[member].tolist(), start.tolist(), strict=True)):
            self._files.read_into(shard, offset, whole[row * row_bytes : (row + 1) * row_bytes])
        tokens = stored.astype(np.int64)
        self._check_vocabulary(tokens)
        return tokens

    def _check_vocabulary(self, tokens: Tokens) -> None:
        if tokens.size and tokens.max() >= self.split.vocab_size:
            raise TrainerError(
                f"{self.split.folder} holds token {tokens.max()}, past a vocabulary of {self.split.vocab_size}",
                "write the shards again with the tokenizer beside them",
            )


def read_with_webdataset(folder: Path | str) -> Iterator[NDArray[np.unsignedinteger]]:
    """The members of a split in order, each (n, L + 1), read by the webdataset library without the manifest."""
    from webdataset.compat import WebDataset

    tars = [str(path) for path in sorted(Path(folder).glob("shard_*.tar"))]
    for sample in WebDataset(tars, shardshuffle=False, empty_check=False):
        yield np.load(io.BytesIO(sample["tokens.npy"]), allow_pickle=False)
