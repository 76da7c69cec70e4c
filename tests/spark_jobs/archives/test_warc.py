"""Reading archives: every response once, every damage once, nothing else lost."""

from __future__ import annotations

import base64
import gzip
import hashlib
import random
import re
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from made_crawl import archive, page
from made_documents import prose

from catalog.errors import WatershedError
from spark_jobs.archives import codings
from spark_jobs.archives.framing import PLACE, head_end
from spark_jobs.archives.records import Record, read_record, read_records
from spark_jobs.demo.crawl.faults import HUGE_BYTES, Fault
from spark_jobs.demo.crawl.warc import gzip_member, http_message, record, response, sha1_base32

NAME = "made.warc.gz"
URLS = [f"https://made.example/{number}" for number in range(6)]
PAYLOADS = {url: page(prose(number, 60)) for number, url in enumerate(URLS)}
MEMBERS = archive(NAME, PAYLOADS)
RESPONSE = (("WARC-Type", "response"), ("WARC-Target-URI", URLS[0]), ("Content-Type", "application/http"))
PLAIN = [zlib.decompress(member, 31) for member in MEMBERS]


def read(folder: Path, data: bytes, name: str = NAME, **limits: int) -> list[Record]:
    path = folder / name
    path.write_bytes(data)
    records = list(read_records(str(path), **limits))
    for found in records:
        assert read_record(str(path), found.offset, **limits) == found
    return records


def urls(records: list[Record]) -> list[str | None]:
    return [found.url for found in records if found.state == "ok"]


def test_every_response_of_a_sound_archive_is_read_as_fastwarc_reads_it(tmp_path: Path) -> None:
    records = read(tmp_path, b"".join(MEMBERS))
    expected = [
        (found.stream_pos, found.headers.get("WARC-Target-URI"), found.headers.get("WARC-Payload-Digest"), body)
        for found in ArchiveIterator(str(tmp_path / NAME), WarcRecordType.response)
        for body in [found.reader.read()]
    ]
    assert [(r.offset, r.url, r.payload_digest, r.payload) for r in records] == expected
    assert [r.payload for r in records] == list(PAYLOADS.values())
    assert {(r.state, r.http_status, r.content_type, r.charset) for r in records} == {("ok", 200, "text/html", "utf-8")}


@pytest.mark.parametrize("name", ["plain.warc", "plain.warc.gz"])
def test_a_plain_archive_reads_as_its_gzipped_twin(tmp_path: Path, name: str) -> None:
    plain = read(tmp_path, b"".join(PLAIN), name)
    assert [(r.url, r.payload, r.date) for r in plain] == [
        (r.url, r.payload, r.date) for r in read(tmp_path, b"".join(MEMBERS))
    ]


def test_records_packed_into_one_member_have_addresses_of_their_own(tmp_path: Path) -> None:
    records = read(tmp_path, gzip.compress(b"".join(PLAIN)))
    assert urls(records) == URLS
    assert [r.offset for r in records] == [place * PLACE for place in range(1, len(PLAIN))]


def test_a_cut_anywhere_loses_only_what_was_cut_off(tmp_path: Path) -> None:
    data = b"".join(MEMBERS)
    ends = [sum(map(len, MEMBERS[: count + 1])) for count in range(len(MEMBERS))]
    for length in range(0, len(data), 97):
        records = read(tmp_path, data[:length])
        whole = sum(end <= length for end in ends)
        assert urls(records) == URLS[: max(whole - 1, 0)], length
        damaged = [r for r in records if r.state != "ok"]
        assert len(damaged) == (0 if length in (0, *ends) else 1), length
        assert all("ends in the middle" in (r.reason or "") for r in damaged)


def test_a_flipped_byte_damages_one_record_and_is_reported_once(tmp_path: Path) -> None:
    draw = random.Random(7)
    start = len(MEMBERS[0])
    for _ in range(60):
        place = draw.randrange(1, len(MEMBERS))
        first = start + sum(map(len, MEMBERS[1:place]))
        position = first + draw.randrange(12, len(MEMBERS[place]))
        data = bytearray(b"".join(MEMBERS))
        data[position] ^= 1 << draw.randrange(8)
        records = read(tmp_path, bytes(data))
        others = [url for url in URLS if url != URLS[place - 1]]
        assert urls(records) == others, (place, position)
        (damaged,) = [r for r in records if r.state != "ok"]
        assert damaged.offset == first
        assert damaged.state in ("record_damaged", "file_damaged")
        assert damaged.payload is None


@pytest.mark.parametrize("members", [MEMBERS, PLAIN], ids=["gzip", "plain"])
def test_garbage_between_records_is_reported_with_its_size_and_place(tmp_path: Path, members: list[bytes]) -> None:
    garbage = random.Random(1).randbytes(3_000)
    records = read(tmp_path, b"".join(members[:3]) + garbage + b"".join(members[3:]), "made")
    assert urls(records) == URLS
    (damaged,) = [r for r in records if r.state != "ok"]
    assert damaged.state == "file_damaged"
    assert damaged.offset == sum(map(len, members[:3]))
    assert damaged.reason is not None
    assert "3,000 bytes" in damaged.reason


def test_zeros_after_the_last_record_are_reported(tmp_path: Path) -> None:
    records = read(tmp_path, b"".join(MEMBERS) + bytes(512))
    assert urls(records) == URLS
    assert [r.state for r in records if r.state != "ok"] == ["file_damaged"]


def lying(url: str, shift: int) -> bytes:
    """A record of the page that states a length off by `shift`."""
    message = http_message("200 OK", [("Content-Type", "text/html")], PAYLOADS[url])
    return response(url, message, PAYLOADS[url], file_name=NAME, index=1, stated_length=len(message) + shift)


@pytest.mark.parametrize("shift", [-300, -1, 5, 500, 1_000_000])
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_a_wrong_length_costs_its_own_record_alone(tmp_path: Path, shift: int, packed: bool) -> None:
    records = [PLAIN[0], PLAIN[1], lying(URLS[1], shift), *PLAIN[3:]]
    found = read(tmp_path, b"".join(map(gzip_member, records) if packed else records), "made")
    assert urls(found) == [url for url in URLS if url != URLS[1]]
    (damaged,) = [r for r in found if r.state != "ok"]
    assert (damaged.state, damaged.url) == ("record_damaged", URLS[1])
    assert "Content-Length" in str(damaged.reason)


def swallowing(members: list[bytes], place: int, more: int) -> bytes:
    """The archive in which the record at `place` states a length that is `more` too large, without a digest."""
    own = re.sub(rb"WARC-(?:Payload|Block)-Digest: [^\r]*\r\n", b"", members[place])
    length = re.search(rb"Content-Length: (\d+)", own)
    assert length
    stated = b"Content-Length: %d" % (int(length.group(1)) + more)
    return b"".join([*members[:place], own[: length.start()] + stated + own[length.end() :], *members[place + 1 :]])


@pytest.mark.parametrize("swallowed", [1, 2, 4])
@pytest.mark.parametrize("packed", [True, False], ids=["one gzip member", "plain"])
def test_a_length_that_ends_at_another_record_does_not_swallow_those_in_between(
    tmp_path: Path, swallowed: int, packed: bool
) -> None:
    more = sum(len(record) for record in PLAIN[3 : 3 + swallowed])
    data = swallowing(PLAIN, 2, more)
    found = read(tmp_path, gzip.compress(data) if packed else data, "made.warc")
    assert urls(found) == [url for url in URLS if url != URLS[1]]
    (damaged,) = [r for r in found if r.state != "ok"]
    assert (damaged.state, damaged.url) == ("record_damaged", URLS[1])
    assert "another record begins after" in str(damaged.reason)


def test_a_length_that_ends_in_the_headers_of_the_next_record_does_not_swallow_it(tmp_path: Path) -> None:
    # The empty line after the next record's headers looks like the end of a record.
    more = PLAIN[3].index(b"\r\n\r\n")
    found = read(tmp_path, swallowing(PLAIN, 2, more), "made.warc")
    assert urls(found) == [url for url in URLS if url != URLS[1]]
    assert [r.state for r in found if r.state != "ok"] == ["record_damaged"]


@pytest.mark.parametrize("confirmed_by", ["payload digest", "block digest", "HTTP length", "its own member"])
def test_a_page_that_holds_a_record_is_read_as_one_page(tmp_path: Path, confirmed_by: str) -> None:
    payload = b"<html><pre>\r\n\r\n" + PLAIN[1] + b"</pre></html>"
    lines = {"HTTP length": b"Content-Length: %d\r\n" % len(payload)}
    message = b"HTTP/1.1 200 OK\r\n" + lines.get(confirmed_by, b"") + b"\r\n" + payload
    sha256 = base64.b32encode(hashlib.sha256(message).digest()).decode()
    headers = {
        "payload digest": ("WARC-Payload-Digest", sha1_base32(payload)),
        "block digest": ("WARC-Block-Digest", f"sha256:{sha256}"),
    }
    own = record((*RESPONSE, *([headers[confirmed_by]] if confirmed_by in headers else [])), message)
    records = [PLAIN[0], own, PLAIN[2]]
    data = b"".join(map(gzip_member, records) if confirmed_by == "its own member" else records)
    found = read(tmp_path, data, "made.warc")
    assert [(r.state, r.payload) for r in found] == [("ok", payload), ("ok", PAYLOADS[URLS[1]])]


def test_lengths_that_all_claim_the_rest_of_the_file_take_no_longer_than_one_does(tmp_path: Path) -> None:
    claim = b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Payload-Digest: sha1:%b\r\nContent-Length: %d\r\n\r\n%b\r\n\r\n"
    size = len(claim % (b"A" * 32, 10**7, b"x" * 1000))
    data = b"".join(claim % (b"A" * 32, size * (6_000 - n) - size + 1000, b"x" * 1000) for n in range(6_000))
    began = time.monotonic()
    found = read_records(str(tmp_path / "claims.warc")) if (tmp_path / "claims.warc").write_bytes(data) else ()
    states = Counter(r.state for r in found)
    assert states["record_damaged"] >= 5_990
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("stated", [b"", b"-1", b"12a", b"9" * 19, b"9" * 5_000])
def test_a_length_that_is_no_size_costs_its_own_record_alone(tmp_path: Path, stated: bytes) -> None:
    own = re.sub(rb"Content-Length: \d+", b"Content-Length: " + stated, PLAIN[2], count=1)
    found = read(tmp_path, b"".join([*PLAIN[:2], own, *PLAIN[3:]]), "made.warc")
    assert urls(found) == [url for url in URLS if url != URLS[1]]
    (damaged,) = [r for r in found if r.state != "ok"]
    assert "not a size" in str(damaged.reason)
    assert len(str(damaged.reason)) < 100


def test_a_damaged_request_record_is_reported_and_valid_ones_are_skipped(tmp_path: Path) -> None:
    asked = record((("WARC-Type", "request"), ("Content-Type", "application/http")), b"GET / HTTP/1.1\r\n\r\n")
    cut = gzip_member(asked)[:-12]
    records = read(tmp_path, b"".join([MEMBERS[0], gzip_member(asked), cut, *MEMBERS[1:]]))
    assert urls(records) == URLS
    assert [r.state for r in records if r.state != "ok"] == ["file_damaged"]
    assert "request record" in str(records[0].reason)


def test_planted_faults_cost_nothing_but_the_faulty_pages(crawl: tuple[Path, tuple[Fault, ...]]) -> None:
    folder, faults = crawl
    for fault in faults:
        if fault.readable:
            records = list(read_records(str(folder / fault.name)))
            assert {r.url for r in records} == {*fault.sound_pages, *fault.faulty_pages}, fault.name
            assert len(records) == len(fault.sound_pages) + len(fault.faulty_pages), fault.name
            sound = [r for r in records if r.url in fault.sound_pages]
            assert all(r.state == "ok" and (r.payload or b"").startswith(b"<!DOCTYPE html>") for r in sound)


def test_a_page_of_fifty_megabytes_is_measured_and_not_held(crawl: tuple[Path, tuple[Fault, ...]]) -> None:
    path = crawl[0] / "huge.warc.gz"
    tracemalloc.start()
    records = list(read_records(str(path), max_payload=1_000_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    (huge,) = [r for r in records if r.state == "too_large"]
    assert huge.payload_bytes > HUGE_BYTES
    assert huge.payload is None
    assert peak < 12_000_000


def test_a_digest_is_of_the_whole_payload_however_large(tmp_path: Path) -> None:
    payload = page(prose(1, 30_000))
    (large,) = read(tmp_path, b"".join(archive(NAME, {URLS[0]: payload})), max_payload=10_000)
    assert (large.state, large.payload_bytes) == ("too_large", len(payload))
    assert large.payload_digest == sha1_base32(payload)


def answer(headers: str, body: bytes, status: str = "200 OK") -> bytes:
    message = f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body
    return gzip_member(record(RESPONSE, message))


def chunked(payload: bytes) -> bytes:
    parts = [payload[start : start + 500] for start in range(0, len(payload), 500)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


BODY = PAYLOADS[URLS[0]]
CODED = {
    "chunked": ("Transfer-Encoding: chunked\r\n", chunked(BODY)),
    "gzip": ("Content-Encoding: gzip\r\n", gzip.compress(BODY)),
    "x-gzip": ("Content-Encoding: X-GZip\r\n", gzip.compress(BODY)),
    "deflate": ("Content-Encoding: deflate\r\n", zlib.compress(BODY)),
    "bare deflate": ("Content-Encoding: deflate\r\n", zlib.compress(BODY, wbits=-15)),
    "chunked bare deflate": (
        "Transfer-Encoding: chunked\r\nContent-Encoding: deflate\r\n",
        chunked(zlib.compress(BODY, wbits=-15)),
    ),
    "chunked gzip": ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", chunked(gzip.compress(BODY))),
    "gzip, its chunks joined": ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", gzip.compress(BODY)),
    "declared gzip, undone": ("Content-Encoding: gzip\r\n", BODY),
    "declared chunked, undone": ("Transfer-Encoding: chunked\r\n", BODY),
    "not a coding": ("Content-Encoding: utf-8\r\n", BODY),
}


@pytest.mark.parametrize("coding", CODED)
def test_codings_are_undone_and_the_digest_is_of_what_is_stored(tmp_path: Path, coding: str) -> None:
    headers, stored = CODED[coding]
    (found,) = read(tmp_path, answer(headers, stored))
    assert (found.state, found.payload) == ("ok", BODY)
    assert (found.payload_digest, found.payload_bytes) == (sha1_base32(stored), len(stored))


def test_every_decompressor_reports_the_same_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(11)
    data = b"".join(MEMBERS)
    damaged = [data[: draw.randrange(len(data))] for _ in range(20)]
    for _ in range(60):
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        damaged.append(bytes(flipped))
    fastest = [read(tmp_path, each) for each in (data, *damaged)]
    monkeypatch.setattr(codings, "inflater", zlib)
    assert fastest == [read(tmp_path, each) for each in (data, *damaged)]


def test_headers_end_at_the_first_empty_line() -> None:
    draw = random.Random(12)
    pattern = re.compile(rb"\r?\n\r?\n")
    for _ in range(20_000):
        data = bytes(draw.choices(b"\r\n\na", k=draw.randrange(12)))
        start, stop = draw.randrange(4), draw.randrange(13)
        expected = pattern.search(data, start, stop)
        assert head_end(data, start, stop) == (expected and expected.span()), (data, start, stop)


@pytest.mark.parametrize(
    ("headers", "stored"),
    [
        ("Content-Encoding: gzip\r\n", gzip.compress(BODY)[:-60]),
        ("Content-Encoding: deflate\r\n", zlib.compress(BODY, wbits=-15)[:-60]),
        ("Transfer-Encoding: chunked\r\n", chunked(BODY)[:-60]),
    ],
    ids=["gzip", "bare deflate", "chunked"],
)
def test_a_transfer_that_broke_off_gives_what_arrived(tmp_path: Path, headers: str, stored: bytes) -> None:
    (found,) = read(tmp_path, answer(headers, stored))
    assert found.state == "ok"
    assert found.payload
    assert BODY.startswith(found.payload)


@pytest.mark.parametrize(
    ("headers", "stored", "status", "state"),
    [
        ("", BODY, "404 Not Found", "http_error"),
        ("", b"", "200 OK", "no_payload"),
        ("Content-Encoding: gzip\r\n", b"\x01\x02" * 500, "200 OK", "undecodable"),
        ("Content-Encoding: gzip\r\n", gzip.compress(bytes(2_000_000)), "200 OK", "too_large"),
        ("Content-Encoding: deflate\r\n", b"\xff\xfe" * 500, "200 OK", "undecodable"),
        ("Content-Encoding: deflate\r\n", zlib.compress(bytes(2_000_000), wbits=-15), "200 OK", "too_large"),
        ("", BODY * 4_000, "200 OK", "too_large"),
    ],
)
def test_what_holds_no_page_says_why(tmp_path: Path, headers: str, stored: bytes, status: str, state: str) -> None:
    (found,) = read(tmp_path, answer(headers, stored, status), max_payload=1_000_000)
    assert (found.state, found.payload) == (state, None)
    assert found.reason


def test_a_response_without_http_headers_is_damaged(tmp_path: Path) -> None:
    (found,) = read(tmp_path, gzip_member(record(RESPONSE, b"no status line")))
    assert (found.state, found.url) == ("record_damaged", URLS[0])


class Server(BaseHTTPRequestHandler):
    """Serves DATA; breaks the first connection off in the middle."""

    data = b""
    broken: ClassVar[list[bool]] = []
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        if not self.path.endswith(".warc.gz"):
            self.send_error(404)
            return
        requested = self.headers.get("Range")
        self.asked.append(requested)
        first, _, last = (requested or "bytes=0-").removeprefix("bytes=").partition("-")
        part = self.data[int(first) : int(last) + 1 if last else None]
        self.send_response(206 if requested else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"made"')
        if requested:
            self.send_header("Content-Range", f"bytes {first}-{len(self.data) - 1}/{len(self.data)}")
        self.end_headers()
        if not last and not self.broken:
            self.broken.append(True)
            self.wfile.write(part[: len(part) // 2])
            return
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Generator[str]:
    Server.data = b"".join(MEMBERS)
    Server.broken.clear()
    Server.asked.clear()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()
    serving.server_close()
    thread.join()


def test_a_remote_archive_reads_as_a_local_one_though_the_connection_breaks(server: str, tmp_path: Path) -> None:
    uri = f"{server}/crawl/{NAME}"
    remote = list(read_records(uri, len(Server.data)))
    assert remote == read(tmp_path, b"".join(MEMBERS))
    assert Server.broken
    assert read_record(uri, remote[3].offset) == remote[3]


def test_an_archive_that_is_gone_or_changed_is_a_user_error(server: str, tmp_path: Path) -> None:
    path = tmp_path / NAME
    with pytest.raises(WatershedError, match="No such file"):
        list(read_records(str(path)))
    path.write_bytes(MEMBERS[0])
    with pytest.raises(WatershedError, match="when it was registered"):
        list(read_records(str(path), 5))
    with pytest.raises(WatershedError, match="404"):
        list(read_records(f"{server}/missing"))
    with pytest.raises(WatershedError, match="when it was registered"):
        list(read_records(f"{server}/{NAME}", 5))
