"""Writes WARC files with one fault each, and unusual but valid ones, to test readers.

Every file but the unreadable ones also holds sound pages, so that a reader can be held to losing nothing else.
"""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catalog.files import write_whole
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo

HOST = "https://faults.example"
HUGE_BYTES = 50_000_000
SENTENCES = (
    "The river rises in the hills and gathers the rain of the whole valley on its way to the sea.",
    "A reader of archives has to expect that some of what was written down is broken.",
    "Where a record cannot be read, the reason is written beside it and the next record is read.",
    "Nothing that can be read is thrown away because something near it could not be.",
    "The keeper of the lake counts what comes in, what is left out, and says why.",
)
HTML = ("Content-Type", "text/html; charset=utf-8")
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x02\x00\x00\x00\x02\x00\x08\x06\x00\x00\x00"
ELF = b"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00>\x00\x01\x00\x00\x00"


@dataclass(frozen=True)
class Fault:
    """One file of the folder and what can be expected of it."""

    name: str
    """File name."""
    fault: str
    """What is unusual about it, in one line."""
    sound_pages: tuple[str, ...]
    """Addresses of the HTML pages whose text any correct reader returns, in order."""
    faulty_pages: tuple[str, ...] = ()
    """Addresses of records whose text cannot be kept as it is."""
    readable: bool = True
    """False if not even the first record of the file can be read."""


def sound_page(address: str) -> bytes:
    """An HTML page of a few paragraphs of English, different for each address."""
    draw = random.Random(address)
    paragraphs = "\n".join(f"<p>{' '.join(draw.choices(SENTENCES, k=4))}</p>" for _ in range(6))
    title = address.rsplit("/", 1)[-1].replace("-", " ")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>\n'
        f"<body><h1>{title}</h1>\n{paragraphs}\n</body></html>\n"
    ).encode()


def write_faults(folder: Path) -> tuple[Fault, ...]:
    """Write one WARC file for each fault into `folder`, always with the same bytes, and describe each.

    Args:
        folder: made if missing; files of the same names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    faults: list[Fault] = []
    for make in FAULTS:
        fault, data = make()
        write_whole(folder / fault.name, data)
        faults.append(fault)
    return tuple(faults)


class _File:
    """Records of one file as they are added; each is kept apart so that a fault can be planted in one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.records = [warcinfo(name, "planted faults")]
        self.sound: list[str] = []
        self.faulty: list[str] = []

    def add_sound(
        self, label: str, payload: bytes | None = None, headers: tuple[tuple[str, str], ...] = (HTML,)
    ) -> None:
        """A page that any correct reader gets; `payload` is its body as sent, if that is not the page as it is."""
        address = self._address(label)
        self._add(address, sound_page(address) if payload is None else payload, headers=headers)
        self.sound.append(address)

    def add_faulty(
        self,
        label: str,
        payload: bytes,
        *,
        status: str = "200 OK",
        headers: tuple[tuple[str, str], ...] = (HTML,),
        media_type: str = "text/html",
        shift: int = 0,
    ) -> None:
        """A page with something wrong; `shift` is added to the length that its record states."""
        address = self._address(label)
        self._add(address, payload, status=status, headers=headers, media_type=media_type, shift=shift)
        self.faulty.append(address)

    def _address(self, label: str) -> str:
        return f"{HOST}/{self.name.split('.')[0]}/{label}"

    def _add(
        self,
        address: str,
        payload: bytes,
        *,
        status: str = "200 OK",
        headers: tuple[tuple[str, str], ...] = (HTML,),
        media_type: str = "text/html",
        shift: int = 0,
    ) -> None:
        message = http_message(status, [*headers, ("Content-Length", str(len(payload)))], payload)
        self.records.append(
            response(
                address,
                message,
                payload,
                file_name=self.name,
                index=len(self.records),
                media_type=media_type,
                stated_length=len(message) + shift,
            )
        )

    def members(self) -> list[bytes]:
        """The records, one gzip member each."""
        return [gzip_member(record) for record in self.records]

    def fault(self, text: str, *, readable: bool = True) -> Fault:
        """What this file is."""
        return Fault(self.name, text, tuple(self.sound), tuple(self.faulty), readable)


def _truncated() -> tuple[Fault, bytes]:
    file = _File("truncated.warc.gz")
    for label in ("first", "second", "third"):
        file.add_sound(label)
    file.add_faulty("cut-off", sound_page("cut-off"))
    members = file.members()
    members[-1] = members[-1][: len(members[-1]) // 2]
    return file.fault("the download stopped in the middle of the last gzip member"), b"".join(members)


def _length(name: str, shift: int, text: str) -> Callable[[], tuple[Fault, bytes]]:
    def make() -> tuple[Fault, bytes]:
        file = _File(name)
        file.add_sound("before")
        file.add_faulty("wrong", sound_page("wrong"), shift=shift)
        file.add_sound("after")
        file.add_sound("last")
        return file.fault(text), b"".join(file.members())

    return make


def _invalid_utf8() -> tuple[Fault, bytes]:
    file = _File("invalid-utf8.warc.gz")
    file.add_sound("before")
    page = sound_page("invalid").replace(b"river", b"r\xedv\xe9r").replace(b"lake", b"l\xff\xc3\x28ke")
    file.add_faulty("says-utf8-and-is-not", page)
    file.add_sound("after")
    return file.fault("a page that says UTF-8 and holds other bytes"), b"".join(file.members())


def _empty() -> tuple[Fault, bytes]:
    return _File("empty.warc.gz").fault("no bytes at all", readable=False), b""


def _binary() -> tuple[Fault, bytes]:
    file = _File("binary.warc.gz")
    file.add_sound("before")
    noise = random.Random("binary")
    file.add_faulty("picture", PNG + noise.randbytes(40_000), media_type="image/png")
    file.add_faulty("program", ELF + noise.randbytes(60_000), media_type="application/x-executable")
    file.add_sound("after")
    return file.fault("a picture and a program, both served as text/html"), b"".join(file.members())


def _huge() -> tuple[Fault, bytes]:
    file = _File("huge.warc.gz")
    file.add_sound("before")
    paragraphs = [f"<p>{number}: {SENTENCES[number % len(SENTENCES)]}</p>\n" for number in range(2_000)]
    block = "".join(paragraphs).encode()
    body = block * (HUGE_BYTES // len(block) + 1)
    file.add_faulty("fifty-megabytes", b"<html><body>\n" + body[:HUGE_BYTES] + b"\n</body></html>\n")
    file.add_sound("after")
    return file.fault("a page of 50 MB"), b"".join(file.members())


def _not_gzip() -> tuple[Fault, bytes]:
    name = "not-gzip.warc.gz"
    page = b"<html><body><h1>503 Slow down</h1><p>Please reduce your request rate.</p></body></html>\n"
    return _File(name).fault("an error page saved under the archive's name", readable=False), page


def _plain() -> tuple[Fault, bytes]:
    file = _File("plain.warc")
    for label in ("first", "second", "third"):
        file.add_sound(label)
    return file.fault("valid, but not compressed"), b"".join(file.records)


def _one_member() -> tuple[Fault, bytes]:
    file = _File("one-member.warc.gz")
    for label in ("first", "second", "third"):
        file.add_sound(label)
    text = "valid, but compressed as a whole, so that no record can be read by its offset"
    return file.fault(text), gzip.compress(b"".join(file.records), 6, mtime=0)


def _encoded() -> tuple[Fault, bytes]:
    file = _File("encoded.warc.gz")
    chunked = ("Transfer-Encoding", "chunked")
    file.add_sound("chunked", _chunked(sound_page("chunked")), (HTML, chunked))
    packed = gzip.compress(sound_page("gzip"), 6, mtime=0)
    file.add_sound("gzip", packed, (HTML, ("Content-Encoding", "gzip")))
    both = _chunked(gzip.compress(sound_page("chunked-gzip"), 6, mtime=0))
    file.add_sound("chunked-gzip", both, (HTML, ("Content-Encoding", "gzip"), chunked))
    deflated = zlib.compress(sound_page("deflate"), 6)
    file.add_sound("deflate", deflated, (HTML, ("Content-Encoding", "deflate")))
    file.add_sound("brotli", _stored_brotli(sound_page("brotli")), (HTML, ("Content-Encoding", "br")))
    file.add_sound("after")
    return file.fault("valid pages in HTTP's transfer and content encodings"), b"".join(file.members())


def _chunked(payload: bytes, size: int = 700) -> bytes:
    """A body in HTTP/1.1 chunks. Source: RFC 9112, section 7.1."""
    chunks = [payload[start : start + size] for start in range(0, len(payload), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def _stored_brotli(payload: bytes) -> bytes:
    """A Brotli stream that stores up to 64 KiB as they are. Source: RFC 7932, section 9.

    Bits of the header, least significant first: window 16 (0), not last (0), four nibbles of length (00),
    length - 1 (16 bits), uncompressed (1); then the bytes, then an empty last block (11).
    """
    bits = (len(payload) - 1) << 4 | 1 << 20
    return bits.to_bytes(3, "little") + payload + b"\x03"


def _other_responses() -> tuple[Fault, bytes]:
    file = _File("other-responses.warc.gz")
    file.add_sound("before")
    moved = (("Location", f"{HOST}/other-responses/before"), ("Content-Type", "text/html"))
    file.add_faulty("moved", b"", status="301 Moved Permanently", headers=moved)
    pdf = b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
    file.add_faulty("paper.pdf", pdf, headers=(("Content-Type", "application/pdf"),), media_type="application/pdf")
    missing = sound_page("missing")
    file.add_faulty("missing", missing, status="404 Not Found")
    file.add_faulty("nothing", b"")
    file.add_sound("after")
    return file.fault("a redirect, a PDF, a 404 and an empty page"), b"".join(file.members())


FAULTS: tuple[Callable[[], tuple[Fault, bytes]], ...] = (
    _truncated,
    _length("length-too-long.warc.gz", 1_000, "a record that says it is longer than it is"),
    _length("length-too-short.warc.gz", -300, "a record that says it is shorter than it is"),
    _invalid_utf8,
    _empty,
    _binary,
    _huge,
    _not_gzip,
    _plain,
    _one_member,
    _encoded,
    _other_responses,
)
