"""From payload to text: pages, encodings, main content and languages."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pyarrow as pa
import pytest
from made_documents import prose

from catalog.tables.languages import LANGUAGES
from spark_jobs.archives import extract as extraction
from spark_jobs.archives.extract import Extracted, Extractor, decode, extract
from spark_jobs.classifiers.languages import LANGUAGE_CHARACTERS, language, languages

SHARED = os.environ.get("WATERSHED_SHARED")
SAYINGS = {
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy a všichni lidé z vesnice ho tiše poslouchali až do rána.",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю, пока он не остыл совсем.",
    "ja": "色は匂へど散りぬるを、我が世誰ぞ常ならむ。有為の奥山今日越えて、浅き夢見じ酔ひもせず。",
    "de": "Größere Straßen führen über schöne Brücken in die ältesten Städte der Gegend, sagte er.",
    "en": "The river rises in the hills and gathers the rain of the whole valley on its way to the sea.",
}
AS_BROWSERS = str.maketrans("〜‖−¢£¬", "～∥－￠￡￢")
"""Six characters that Python's codec spells differently from the WHATWG's index of JIS X 0208."""
ENCODINGS = {"cs": "cp1250", "ru": "cp1251", "ja": "shift_jis", "de": "cp1252", "en": "ascii"}


def html(text: str, head: str = "") -> str:
    return f"<html><head>{head}</head><body><main><p>{text}</p></main></body></html>"


def meta(charset: str) -> str:
    return f'<meta charset="{charset}">'


@pytest.mark.parametrize("code", SAYINGS)
@pytest.mark.parametrize("said_by", ["header", "page", "nobody"])
def test_a_page_is_read_in_its_encoding_whoever_declares_it(code: str, said_by: str) -> None:
    text = " ".join([SAYINGS[code]] * 5)
    encoding = ENCODINGS[code]
    payload = html(text, meta(encoding) if said_by == "page" else "").encode(encoding)
    found = extract(payload, "text/html", encoding if said_by == "header" else None)
    assert (found.state, found.reason, found.text) == ("ok", None, text)


@pytest.mark.parametrize("code", SAYINGS)
def test_the_detected_language_is_one_of_the_contract(code: str) -> None:
    detected, score = language(SAYINGS[code])
    assert detected == code
    assert detected in LANGUAGES
    assert score is not None
    assert 0 < score <= 1.001


@pytest.mark.parametrize("text", ["--- *** ...", "---", "  ", "", "1 2 3", "12:30 😀 ² ½", "\n\n"])
def test_a_text_without_letters_has_no_language(text: str) -> None:
    assert language(text) == (None, None)
    assert language(f"{text}a")[0] in LANGUAGES


def test_newlines_are_deleted_for_language_as_dclm_does() -> None:
    text = "This is English.\nDies ist Deutsch, die offizielle Sprache in Deutschland.\n"
    assert language(text) == language(text.replace("\n", ""))


def test_language_of_a_long_text_is_that_of_most_of_it() -> None:
    long = SAYINGS["de"] * (4 * LANGUAGE_CHARACTERS // len(SAYINGS["de"]))
    assert language(SAYINGS["en"] * 20 + long)[0] == "de"


def test_languages_of_many_texts_are_those_of_each_and_a_null_text_has_none() -> None:
    long = SAYINGS["ru"] * (2 * LANGUAGE_CHARACTERS // len(SAYINGS["ru"])) + SAYINGS["de"] * 20
    texts = [*SAYINGS.values(), "", "\n", long, "a\nb" * 30]
    codes, scores = languages(pa.array([*texts, None]))
    alone = [language(text) for text in texts]
    assert codes.to_pylist() == [*(code for code, _ in alone), None]
    assert scores.to_pylist() == [*(score for _, score in alone), None]


def test_a_repeated_payload_is_not_extracted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[bytes] = []

    def counted(payload: bytes, content_type: str | None = None, charset: str | None = None) -> Extracted:
        met.append(payload)
        return extract(payload, content_type, charset)

    monkeypatch.setattr(extraction, "extract", counted)
    pages = [html(SAYINGS[code]).encode() for code in ("en", "de", "en", "en", "de")]
    extractor = Extractor()
    found = [extractor.extract(page, "text/html", None, page.hex()) for page in pages]
    assert found == [extract(page, "text/html", None) for page in pages]
    assert met == pages[:2]
    # The same payload with another declared type is another payload.
    assert extractor.extract(pages[0], "text/plain", None, pages[0].hex()).state == "not_html"


def test_what_is_remembered_of_payloads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "REMEMBERED_BYTES", 20_000)
    extractor = Extractor()
    for number in range(300):
        page = html(f"{SAYINGS['en']} {number}").encode()
        assert extractor.extract(page, "text/html", None, str(number)).text == f"{SAYINGS['en']} {number}"
    assert 1 < len(extractor) < 30


def test_valid_utf8_is_utf8_whatever_is_declared() -> None:
    payload = html(SAYINGS["ru"], meta("iso-8859-1")).encode()
    assert extract(payload, "text/html", "windows-1252").text == SAYINGS["ru"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_byte_order_mark_is_heeded_and_left_out(encoding: str) -> None:
    assert extract(html(SAYINGS["cs"]).encode(encoding), "text/html").text == SAYINGS["cs"]


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("declared", ["utf-16", "UTF-16LE", "utf-16be"])
@pytest.mark.parametrize("code", SAYINGS)
def test_utf16_that_only_the_server_declares_is_read_in_the_byte_order_of_the_page(
    code: str, declared: str, order: str
) -> None:
    text = " ".join([SAYINGS[code]] * 5)
    payload = html(text).encode(f"utf-16-{order}")
    found = extract(payload, "text/html", declared)
    assert (found.state, found.reason, found.text) == ("ok", None, text)
    # Nobody declares it: a browser would not read it either.
    assert extract(payload, "text/html").state == "binary"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "shift_jis"])
def test_a_page_wrongly_declared_as_utf16_is_read_in_its_own_encoding(encoding: str) -> None:
    text = " ".join([SAYINGS["ja" if encoding == "shift_jis" else "de"]] * 5)
    assert extract(html(text, meta(encoding)).encode(encoding), "text/html", "utf-16").text == text


@pytest.mark.parametrize("said_by", ["header", "page", "nobody"])
def test_iso_2022_jp_is_read_as_browsers_do(said_by: str) -> None:
    text = " ".join([SAYINGS["ja"]] * 5)
    payload = html(text, meta("iso-2022-jp") if said_by == "page" else "").encode("iso-2022-jp")
    found = extract(payload, "text/html", "iso-2022-jp" if said_by == "header" else None)
    assert (found.state, found.reason, found.text) == ("ok", None, text)


def test_every_character_of_iso_2022_jp_is_the_one_that_browsers_show() -> None:
    known = 0
    for row in range(0x21, 0x7F):
        for cell in range(0x21, 0x7F):
            written = b"\x1b$B" + bytes((row, cell)) + b"\x1b(B"
            try:
                expected = written.decode("iso2022_jp").translate(AS_BROWSERS)
            except UnicodeDecodeError:
                continue
            known += 1
            assert decode(written)[0] == expected, (row, cell)
    assert known == 6_879
    assert decode(b"a\x1b$B\x2d\x21\x1b(Bb\x1b(J\\~\x1b(I1\x1b(B.")[0] == "a①b¥‾ｱ."
    assert decode(b"\x1b$B\x24\x22\n\x24\x24\x1b(B\xff")[0] != "あ\nい"
    assert decode(b"\x1b$B\x24\x22\n\x24\x24")[0] == "あ\nい"


def test_a_page_wrongly_declared_as_utf8_is_read_in_its_real_encoding_and_reported() -> None:
    text = " ".join([SAYINGS["de"]] * 5)
    found = extract(html(text, meta("utf-8")).encode("cp1252"), "text/html")
    assert (found.state, found.text) == ("ok", text)
    assert found.reason == "declared utf-8, read as cp1252"


def test_a_few_bytes_that_are_not_utf8_cost_their_characters_only() -> None:
    payload = html(SAYINGS["ru"] * 5).encode().replace("чаю".encode(), b"\xff\xfe", 1)
    found = extract(payload, "text/html", "utf-8")
    assert found.state == "ok"
    assert found.reason == "2 characters are not utf-8"
    assert found.text == (SAYINGS["ru"] * 5).replace("чаю", "\ufffd\ufffd", 1)


def test_a_page_of_mostly_undecodable_characters_has_no_text() -> None:
    payload = html("я" * 20 + "\ufffd" * 50).encode()
    found = extract(payload, "text/html", "utf-8")
    assert (found.state, found.text) == ("undecodable", None)
    assert found.reason == "50 of 70 characters are not utf-8"


NOISE = random.Random(3).randbytes(30_000)
BINARIES = {
    "image/png": b"\x89PNG\r\n\x1a\n" + NOISE,
    "application/pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
    "application/zip": b"PK\x03\x04" + NOISE,
    "application/x-elf": b"\x7fELF\x02\x01\x01" + bytes(20) + NOISE,
    "application/octet-stream": b"<html>" + NOISE,
}


@pytest.mark.parametrize("kind", BINARIES)
def test_a_binary_served_as_a_page_is_named(kind: str) -> None:
    found = extract(BINARIES[kind], "text/html", "utf-8")
    assert (found.state, found.reason) == ("binary", f"{kind}, served as text/html")


@pytest.mark.parametrize(
    "start",
    [
        '<?xml version="1.0"?><!DOCTYPE html>',
        '<html xmlns="http://www.w3.org/1999/xhtml">',
        "<!-- x -->",
        "\n\n plain ",
    ],
)
def test_a_page_is_a_page_however_it_begins(start: str) -> None:
    assert extract((start + html(SAYINGS["en"])).encode(), "text/html").state == "ok"


def test_only_pages_are_extracted() -> None:
    payload = html(SAYINGS["en"]).encode()
    assert extract(payload, "application/xhtml+xml").state == "ok"
    assert extract(payload, None).state == "ok"
    assert extract(payload, "text/plain").state == "not_html"
    assert extract(b'{"a": 1}', None).state == "not_html"


def test_boilerplate_is_left_out() -> None:
    menu = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/about'>About us</a></li></ul></nav>"
    body = f"<main><p>{SAYINGS['en']}</p></main><footer>Copyright</footer>"
    found = extract(f"<html><body>{menu}{body}</body></html>".encode(), "text/html")
    assert found.text == SAYINGS["en"]


@pytest.mark.parametrize("payload", [b"", b"<html><head><title>Only a title</title></head></html>", b"<p>  </p>"])
def test_a_page_without_text_says_so(payload: bytes) -> None:
    found = extract(payload, "text/html")
    assert (found.state, found.text) == ("empty_text", None)


def test_tags_nested_without_end_do_not_hold_up_a_worker() -> None:
    found = extract(b"<DIV>" * 200_000 + b"x", "text/html")
    assert found.state == "extraction_failed"
    assert "200,000 deep" in str(found.reason)
    assert extract(b"<div>" * 300 + prose(1).encode() + b"</div>" * 300, "text/html").state == "ok"
    assert extract(b"<div>a</div>" * 20_000, "text/html").state == "ok"


def test_decoding_never_fails() -> None:
    draw = random.Random(5)
    for charset in ("utf-7", "nonsense", "gbk", "idna", None):
        html_, encoding, _ = decode(draw.randbytes(2_000) + b"<meta charset=punycode>", charset)
        assert html_
        assert encoding


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of recorded cases")
def test_text_and_language_are_those_that_dclm_recorded() -> None:
    folder = Path(str(SHARED)) / "data" / "cases" / "dclm"
    cases = [json.loads(line) for name in ("extraction", "language") for line in (folder / f"{name}.jsonl").open()]
    compared = 0
    for case in cases:
        if case["component"] == "html_content_extraction_modifier":
            expected = case["expect"].get("pages", [{"text": None}])[0]["text"]
            assert extract(case["input"]["text"].encode(), "text/html").text == expected
            compared += 1
        elif case["config"].get("model") == "fasttext":
            ((code, _),) = case["expect"]["pages"][0]["language_id_whole_page_fasttext"].items()
            assert language(case["input"]["text"])[0] == code
            compared += 1
    assert compared >= 4
