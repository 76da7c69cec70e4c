"""Archives compressed by Zstandard and xz read as their gzip twins do, damaged and hostile ones included."""

from __future__ import annotations

import lzma
import random
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from made_crawl import archive, page
from made_documents import prose

from spark_jobs.archives import zstd
from spark_jobs.archives.framing import PLACE
from spark_jobs.archives.records import Record, read_record, read_records
from spark_jobs.curate.inputs import find_sources, read_batches
from spark_jobs.dclm.pool import register

URLS = [f"https://made.example/{number}" for number in range(6)]
PAYLOADS = {url: page(prose(number, 60)) for number, url in enumerate(URLS)}
PLAIN = [zlib.decompress(member, 31) for member in archive("made.warc.gz", PAYLOADS)]
DICTIONARY = zstandard.train_dictionary(2048, [page(prose(number, 20)) for number in range(60)])


def skippable(magic: bytes, content: bytes) -> bytes:
    return magic + len(content).to_bytes(4, "little") + content


def frames(records: list[bytes], dictionary: zstandard.ZstdCompressionDict | None = None) -> list[bytes]:
    compressor = zstandard.ZstdCompressor(dict_data=dictionary, write_checksum=True)
    return [compressor.compress(record) for record in records]


def dictionary_frame(compressed: bool) -> bytes:
    content = DICTIONARY.as_bytes()
    return skippable(zstd.DICTIONARY_MAGIC, zstandard.compress(content) if compressed else content)


MEMBERS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "zst": frames,
    "xz": lambda records: [lzma.compress(record, preset=1) for record in records],
}
ARCHIVES: dict[str, tuple[str, bytes]] = {
    "zst": ("made.warc.zst", b"".join(frames(PLAIN))),
    "zst with a dictionary": ("made.warc.zst", dictionary_frame(False) + b"".join(frames(PLAIN, DICTIONARY))),
    "zst with a compressed dictionary": ("made.warc.zst", dictionary_frame(True) + b"".join(frames(PLAIN, DICTIONARY))),
    "zst with skippable frames": (
        "made.warc.zst",
        b"".join(frame + skippable(b"\x50\x2a\x4d\x18", b"note" * 9) for frame in frames(PLAIN)),
    ),
    "zst as one frame": ("made.warc.zst", zstandard.compress(b"".join(PLAIN))),
    "xz": ("made.warc.xz", b"".join(MEMBERS["xz"](PLAIN))),
    "xz as one stream": ("made.warc.xz", lzma.compress(b"".join(PLAIN))),
    "xz with padding": ("made.warc.xz", b"".join(stream + bytes(8) for stream in MEMBERS["xz"](PLAIN))),
}


def read(folder: Path, data: bytes, name: str) -> list[Record]:
    path = folder / name
    path.write_bytes(data)
    records = list(read_records(str(path)))
    for found in records:
        assert read_record(str(path), found.offset) == found
    assert len({found.offset for found in records}) == len(records)
    return records


def urls(records: list[Record]) -> list[str | None]:
    return [found.url for found in records if found.state == "ok"]


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_compressed_archive_reads_as_the_plain_one(tmp_path: Path, kind: str) -> None:
    name, data = ARCHIVES[kind]
    plain = read(tmp_path, b"".join(PLAIN), "plain.warc")
    found = read(tmp_path, data, name)
    assert [(r.state, r.url, r.payload, r.payload_digest) for r in found] == [
        (r.state, r.url, r.payload, r.payload_digest) for r in plain
    ]


def test_each_record_has_its_own_address(tmp_path: Path) -> None:
    members = frames(PLAIN, DICTIONARY)
    start = len(dictionary_frame(False))
    records = read(tmp_path, dictionary_frame(False) + b"".join(members), "made.warc.zst")
    assert [r.offset for r in records] == [start + sum(map(len, members[:place])) for place in range(1, len(PLAIN))]
    packed = read(tmp_path, lzma.compress(b"".join(PLAIN)), "made.warc.xz")
    assert [r.offset for r in packed] == [place * PLACE for place in range(1, len(PLAIN))]


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_cut_anywhere_loses_only_what_was_cut_off(tmp_path: Path, kind: str) -> None:
    members = MEMBERS[kind](PLAIN)
    data = b"".join(members)
    ends = [sum(map(len, members[: count + 1])) for count in range(len(members))]
    for length in range(0, len(data), 97):
        records = read(tmp_path, data[:length], f"made.warc.{kind}")
        whole = sum(end <= length for end in ends)
        assert urls(records) == URLS[: max(whole - 1, 0)], length
        damaged = [r for r in records if r.state != "ok"]
        assert len(damaged) == (0 if length in (0, *ends) else 1), length


@pytest.mark.parametrize("kind", MEMBERS)
def test_a_flipped_byte_damages_one_record_and_is_reported_once(tmp_path: Path, kind: str) -> None:
    draw = random.Random(7)
    members = MEMBERS[kind](PLAIN)
    for _ in range(60):
        place = draw.randrange(1, len(members))
        first = sum(map(len, members[:place]))
        position = first + draw.randrange(12, len(members[place]))
        data = bytearray(b"".join(members))
        data[position] ^= 1 << draw.randrange(8)
        records = read(tmp_path, bytes(data), f"made.warc.{kind}")
        assert urls(records) == [url for url in URLS if url != URLS[place - 1]], (place, position)
        (damaged,) = [r for r in records if r.state != "ok"]
        assert damaged.offset == first
        assert damaged.payload is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (DICTIONARY.as_bytes()[:-60], None),
        (zstandard.compress(DICTIONARY.as_bytes())[:-60], "the dictionary is cut short"),
        (zstd.MAGIC + bytes(40), "the dictionary cannot be read"),
        (zstandard.compress(bytes(zstd.MAX_DICTIONARY_BYTES + 1)), "has more than"),
    ],
)
def test_a_damaged_dictionary_is_reported_and_no_frame_is_read_with_it(
    tmp_path: Path, content: bytes, reason: str | None
) -> None:
    frame = skippable(zstd.DICTIONARY_MAGIC, content)
    records = read(tmp_path, frame + b"".join(frames(PLAIN, DICTIONARY)), "made.warc.zst")
    assert not urls(records)
    assert records
    assert reason is None or reason in str(records[0].reason)


def test_frames_that_need_a_dictionary_which_is_missing_say_so(tmp_path: Path) -> None:
    (found,) = read(tmp_path, b"".join(frames(PLAIN, DICTIONARY)), "made.warc.zst")
    assert (found.state, found.offset) == ("file_damaged", 0)
    assert "ictionary" in str(found.reason)


def bombs() -> dict[str, bytes]:
    """A few kilobytes each that stand for gigabytes, or that ask for a window of gigabytes."""
    head = PLAIN[1][: PLAIN[1].index(b"\r\n\r\n") + 4]
    long = head.replace(b"Content-Length: ", b"Content-Length: 9")
    # Frame header: a window of 128 KB, no content size. Blocks: the head as it is, then 128 KB of zeros each.
    raw = (len(long) << 3).to_bytes(3, "little") + long
    zeros = ((1 << 17) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = ((1 << 17) << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    frame = zstd.MAGIC + b"\x00\x38" + raw
    filters = [{"id": lzma.FILTER_LZMA2, "mode": lzma.MODE_FAST, "mf": lzma.MF_HC3, "dict_size": 1 << 28}]
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=0)
    parts = [compressor.compress(long), *(compressor.compress(bytes(1 << 24)) for _ in range(16)), compressor.flush()]
    return {
        "zst blocks of zeros": frame + zeros * (1 << 12) + last,
        "zst window": zstd.MAGIC + b"\x00\xb8" + raw + last,
        "zst content size": zstd.MAGIC + b"\xe0" + (1 << 60).to_bytes(8, "little") + raw + last,
        "xz of zeros": b"".join(parts),
        "xz window": lzma.compress(PLAIN[1], lzma.FORMAT_XZ, filters=filters),
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_decompression_bomb_is_read_in_bounded_memory_and_time(tmp_path: Path, kind: str) -> None:
    coding, _, _ = kind.partition(" ")
    path = tmp_path / f"made.warc.{coding}"
    path.write_bytes(bombs()[kind] + MEMBERS[coding](PLAIN)[1])
    tracemalloc.start()
    began = time.monotonic()
    records = list(read_records(str(path), max_payload=1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert urls(records)[-1] == URLS[0]
    assert records[0].state != "ok"
    assert peak < 12_000_000
    assert time.monotonic() - began < 10


def test_the_accepted_names_are_found_in_folders_and_by_curate(tmp_path: Path) -> None:
    for name, data in (ARCHIVES["zst with a dictionary"], ARCHIVES["xz"]):
        (tmp_path / name).write_bytes(data)
    pool = register([str(tmp_path)], "made", 2)
    assert pool["warc"].to_pylist() == ["made.warc.xz", "made.warc.zst"]
    assert set(pool["state"].to_pylist()) == {"ready"}
    sources = find_sources([str(tmp_path)])
    assert [source.kind for source in sources] == ["warc", "warc"]
    texts = [[text for batch in read_batches(source) for text in batch["text"].to_pylist()] for source in sources]
    assert texts[0] == texts[1]
    assert len(texts[0]) == len(URLS)
