"""The crawl of this machine's documentation, and the files with planted faults."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from catalog.errors import WatershedError
from spark_jobs.demo.crawl import CrawlReport, CrawlSize, Fault, write_crawl, write_faults
from spark_jobs.demo.crawl.catalogues import catalogue_body
from spark_jobs.demo.crawl.faults import sound_page
from spark_jobs.demo.crawl.manuals import roff_html
from spark_jobs.demo.crawl.pages import Page, Site
from spark_jobs.demo.crawl.parts import WarcPart, write_parts
from spark_jobs.demo.crawl.plan import choose, previous_version
from spark_jobs.demo.crawl.prose import docstring_html
from spark_jobs.demo.crawl.python_docs import module_body
from spark_jobs.demo.crawl.site import framed
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response

pytestmark = pytest.mark.slow

TINY = CrawlSize(pages=240, warc_files=3, max_html_bytes=20_000_000)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CrawlReport]:
    folder = tmp_path_factory.mktemp("crawl")
    return folder, write_crawl(folder, TINY, workers=2)


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Fault]]:
    folder = tmp_path_factory.mktemp("faults")
    return folder, {fault.name: fault for fault in write_faults(folder)}


def members(path: Path) -> list[bytes]:
    """The file's gzip members, each unpacked on its own."""
    data, found = path.read_bytes(), []
    while data:
        unpacker = zlib.decompressobj(31)
        found.append(unpacker.decompress(data) + unpacker.flush())
        assert unpacker.eof, "a member is cut off"
        data = unpacker.unused_data
    return found


def responses(folder: Path) -> list[tuple[str, str, bytes]]:
    """(address, payload digest, payload) of every page in a folder's crawl."""
    found = []
    for path in sorted(folder.glob("WATERSHED-*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                headers = record.headers
                found.append((headers["WARC-Target-URI"], headers["WARC-Payload-Digest"], record.reader.read()))
    return found


def page(kind: str, group: str, number: int, weight: int = 1_000) -> Page:
    return Page(
        kind=kind,
        group=group,
        host=f"docs.{group}.example",
        path=f"/{kind}/{number}.html",
        title=f"{group} {number}",
        weight=weight,
        source=Path(),
    )


def test_every_record_is_a_gzip_member_of_its_own_and_the_first_is_the_warcinfo(crawl):
    folder, report = crawl
    for file in report.files:
        records = members(folder / file.name)
        assert records[0].startswith(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n")
        assert all(record.startswith(b"WARC/1.0\r\nWARC-Type: response\r\n") for record in records[1:])
        assert len(records) - 1 == file.pages


def test_block_and_payload_digests_hold(crawl):
    folder, report = crawl
    checked = 0
    for file in report.files:
        with (folder / file.name).open("rb") as stream:
            assert all(record.verify_block_digest() for record in ArchiveIterator(stream, parse_http=False))
        with (folder / file.name).open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                assert record.verify_payload_digest()
                assert record.http_headers.status_code == 200
                assert record.http_content_type == "text/html"
                checked += 1
    assert checked == report.pages


def test_the_report_counts_what_is_in_the_files(crawl):
    folder, report = crawl
    pages = responses(folder)
    assert len(pages) == report.pages == sum(report.pages_by_kind.values())
    assert report.pages >= 0.9 * TINY.pages
    assert report.html_bytes == sum(len(payload) for _, _, payload in pages)
    assert report.bytes == sum((folder / file.name).stat().st_size for file in report.files)
    assert report.hosts == len({address.split("/")[2] for address, _, _ in pages})


def test_every_address_and_every_record_id_occurs_once(crawl):
    folder, report = crawl
    addresses = [address for address, _, _ in responses(folder)]
    assert len(set(addresses)) == len(addresses)
    records = [record for file in report.files for record in members(folder / file.name)]
    ids = [record.split(b"WARC-Record-ID: ")[1].split(b"\r\n")[0] for record in records]
    assert len(set(ids)) == len(ids)


def test_some_pages_are_served_under_two_addresses(crawl):
    folder, _ = crawl
    digests = Counter(digest for _, digest, _ in responses(folder))
    assert max(digests.values()) >= 2


def test_pages_hold_prose_and_frames_and_some_hold_next_to_nothing(crawl):
    folder, _ = crawl
    texts = [extract_plain_text(payload.decode("utf-8", "replace")) for _, _, payload in responses(folder)]
    lengths = sorted(map(len, texts))
    assert lengths[len(lengths) // 2] > 1_500
    assert lengths[len(lengths) // 50] < 900
    assert any("Was this page helpful?" in text for text in texts)


def test_no_package_dominates(crawl):
    folder, report = crawl
    hosts = Counter(address.split("/")[2] for address, _, _ in responses(folder))
    assert report.hosts > 60
    assert hosts.most_common(1)[0][1] < 0.5 * report.pages


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_processes(crawl, tmp_path):
    _, report = crawl
    assert write_crawl(tmp_path / "one", TINY, workers=1).files == report.files
    other = CrawlSize(pages=40, warc_files=1, max_html_bytes=20_000_000)
    first = write_crawl(tmp_path / "first", other, seed=1, workers=1)
    assert first.files != write_crawl(tmp_path / "second", other, seed=2, workers=1).files


def test_a_finished_crawl_is_not_written_again_and_a_damaged_one_is(tmp_path):
    size = CrawlSize(pages=30, warc_files=2, max_html_bytes=20_000_000)
    seen: list[tuple[int, int]] = []
    report = write_crawl(tmp_path, size, progress=lambda done, total: seen.append((done, total)), workers=1)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1]
    seen.clear()
    assert write_crawl(tmp_path, size, progress=lambda done, total: seen.append((done, total))) == report
    assert not seen
    damaged = tmp_path / report.files[1].name
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert write_crawl(tmp_path, size, progress=lambda done, total: seen.append((done, total)), workers=1) == report
    assert seen


def test_a_crawl_of_another_size_replaces_the_one_that_was_there(tmp_path):
    write_crawl(tmp_path, CrawlSize(pages=20, warc_files=3, max_html_bytes=20_000_000), workers=1)
    (tmp_path / "WATERSHED-small-00007.warc.gz.12345.part").write_bytes(b"left by a killed run")
    (tmp_path / "mine.warc.gz").write_bytes(b"the user's own")
    report = write_crawl(tmp_path, CrawlSize(pages=20, warc_files=1, max_html_bytes=20_000_000), workers=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [report.files[0].name, "crawl.json", "mine.warc.gz"]
    )


def test_the_manifest_names_size_seed_and_files(crawl):
    folder, report = crawl
    manifest = json.loads((folder / "crawl.json").read_text())
    assert manifest["size"] == {"pages": 240, "warc_files": 3, "max_html_bytes": 20_000_000}
    assert [file["sha256"] for file in manifest["report"]["files"]] == [file.sha256 for file in report.files]
    assert str(folder) not in json.dumps(manifest)


def test_the_cap_on_html_bytes_ends_a_file_early(tmp_path):
    size = CrawlSize(pages=60, warc_files=1, max_html_bytes=100_000)
    report = write_crawl(tmp_path, size, workers=1)
    assert 100_000 <= report.html_bytes < 600_000
    assert 0 < report.pages < 60


def test_a_folder_that_cannot_be_made_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WatershedError) as error:
        write_crawl(tmp_path / "file" / "crawl", TINY)
    assert "crawl folder" in error.value.cause
    assert error.value.mend


def test_a_process_that_cannot_write_its_file_ends_the_crawl_with_the_reason(tmp_path):
    (tmp_path / "file").touch()
    parts = [WarcPart(tmp_path / "file" / f"{number}.warc.gz", 0, (), {}, 1_000) for number in range(2)]
    with pytest.raises(OSError, match="File exists"):
        write_parts(parts, workers=2, progress=lambda done, total: None)


def test_the_choice_is_balanced_among_kinds_and_groups():
    pages = [page("module", "giant", number, weight=50_000) for number in range(900)]
    pages += [page("module", group, number) for group in ("small", "middle") for number in range(20)]
    pages += [page("text", "notes", number) for number in range(10)]
    chosen = choose(pages, 100, {"module": 0.5, "text": 0.5}, seed=3)
    assert len(chosen) == len(set(chosen)) == 100
    assert Counter(page.kind for page in chosen) == {"module": 90, "text": 10}
    groups = Counter(page.group for page in chosen if page.kind == "module")
    assert groups == {"giant": 50, "small": 20, "middle": 20}
    assert {page.url for page in choose(reversed(pages), 100, {"module": 0.5, "text": 0.5}, seed=3)} == {
        page.url for page in chosen
    }


def test_longer_pages_are_likelier_to_be_chosen():
    pages = [page("module", "one", number, weight=10_000 if number % 2 else 500) for number in range(400)]
    chosen = choose(pages, 100, {"module": 1.0}, seed=5)
    assert sum(page.weight == 10_000 for page in chosen) > 80


def test_a_module_is_documented_without_being_imported(tmp_path):
    source = tmp_path / "river.py"
    source.write_text(
        '"""Rivers and lakes.\n\nUse ``flow`` for water::\n\n    flow(3)\n"""\nraise SystemExit("imported")\n'
        "def flow(volume: float, *, unit: str = 'm3') -> float:\n"
        '    """Let water flow.\n\n    Parameters\n    ----------\n    volume : float\n        How much.\n    """\n'
        'class Lake:\n    def fill(self):\n        """Fill it to the brim."""\n'
    )
    body = module_body(
        Page(kind="module", group="g", host="h", path="/river.html", title="river", weight=1, source=source)
    )
    assert "<p>Rivers and lakes.</p>" in body
    assert "<pre><code>flow(3)</code></pre>" in body
    assert "<code>flow(volume: float, *, unit: str='m3') -&gt; float</code>" in body
    assert "<dt>volume : float</dt>\n<dd>How much.</dd>" in body
    assert "Lake.fill(self)" in body


def test_source_that_is_not_python_gives_no_page(tmp_path):
    source = tmp_path / "broken.py"
    source.write_text('"""A template, not a module."""\nclass {{ name }}:\n')
    broken = Page(kind="module", group="g", host="h", path="/b.html", title="b", weight=1, source=source)
    assert module_body(broken) == ""


def test_an_older_edition_lacks_the_notes_on_what_came_later():
    text = "Open a file.\n\n.. versionadded:: 3.11\n   The mode argument.\n\nMore text."
    assert "New in version 3.11" in docstring_html(text)
    assert docstring_html(text, older=True) == "<p>Open a file.</p>\n<p>More text.</p>"
    assert [previous_version(version) for version in ("1.13.27", "2.0", "0.0.1", "2024a")] == ["1.12", "1.9", "", ""]


def test_docstrings_escape_what_is_not_markup():
    html = docstring_html("Compare a < b & ``x<y`` with :func:`~os.path.join` and **care**.")
    assert html == (
        "<p>Compare a &lt; b &amp; <code>x&lt;y</code> with <code>os.path.join</code> and <strong>care</strong>.</p>"
    )


def test_every_house_style_frames_the_article_and_says_where_it_is():
    for host in ("docs.a.example", "docs.b.example", "docs.c.example", "docs.d.example", "docs.e.example"):
        shown = Page(kind="module", group="g", host=host, path="/api/x.html", title="x", weight=1, source=Path())
        site = Site(host, "thing", "1.2", (("x", "/api/x.html"), ("y", "/api/y.html")))
        html = framed(shown, site, "<h1>x</h1>\n<p>The article.</p>").decode()
        assert html.startswith("<!DOCTYPE html>")
        assert "<p>The article.</p>" in html
        assert 'href="/api/y.html"' in html
        assert "1.2" in html


def test_roff_is_read_for_its_text():
    html = roff_html(
        '.TH LAKE 1\n.SH "NAME"\nlake \\- hold \\fIwater\\fR\n.de XX\nnot text\n..\n.PP\n'
        "Un\\['e]t\\(`a,\n.B bold\nword.\n"
        ".nf\n$ lake < river\n.fi\n"
    )
    assert "<h2>NAME</h2>\n<p>lake - hold water</p>" in html
    assert "<p>Unétà, bold word.</p>" in html
    assert "<pre>$ lake &lt; river</pre>" in html
    assert "not text" not in html


def test_message_catalogues_become_pages_in_their_language(tmp_path):
    originals = [b"", b"Open", b"Rivers\x00%d rivers"]
    translations = [
        b"Content-Type: text/plain; charset=ISO-8859-1\n",
        "Öffnen".encode("latin-1"),
        b"Fluss\x00%d Fl\xfcsse",
    ]
    tables, strings = [], b""
    start = 28 + 8 * 2 * len(originals)
    for texts in (originals, translations):
        for text in texts:
            tables.append(struct.pack("<2I", len(text), start + len(strings)))
            strings += text + b"\x00"
    head = struct.pack("<7I", 0x950412DE, 0, len(originals), 28, 28 + 8 * len(originals), 0, 0)
    source = tmp_path / "lake.mo"
    source.write_bytes(head + b"".join(tables) + strings)
    shown = Page(
        kind="translation",
        group="messages/de",
        host="h",
        path="/de.html",
        title="lake",
        weight=1,
        source=source,
        lang="de",
    )
    assert catalogue_body(shown) == "<h1>lake</h1>\n<p>Öffnen</p>\n<p>Fluss</p>\n<p>%d Flüsse</p>"


def test_each_fault_file_is_the_same_every_time(faults, tmp_path):
    folder, by_name = faults
    write_faults(tmp_path)
    for name in by_name:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_sound_pages_beside_faults_can_all_be_read_back_member_by_member(faults):
    folder, by_name = faults
    for fault in by_name.values():
        data = (folder / fault.name).read_bytes()
        if not fault.readable or fault.name in ("plain.warc", "one-member.warc.gz", "encoded.warc.gz"):
            continue
        found = {}
        while data:
            unpacker = zlib.decompressobj(31)
            record = unpacker.decompress(data)
            head, _, block = record.partition(b"\r\n\r\n")
            address = head.partition(b"WARC-Target-URI: ")[2].split(b"\r\n")[0].decode()
            found[address] = block.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n\r\n")
            data = unpacker.unused_data if unpacker.eof else b""
        assert [found[address] for address in fault.sound_pages] == [sound_page(a) for a in fault.sound_pages]
        assert set(fault.faulty_pages) <= set(found)


def test_the_faults_are_what_they_are_called(faults):
    folder, by_name = faults
    assert (folder / "empty.warc.gz").read_bytes() == b""
    assert not (folder / "not-gzip.warc.gz").read_bytes().startswith(b"\x1f\x8b")
    with pytest.raises(EOFError):
        gzip.decompress((folder / "truncated.warc.gz").read_bytes())
    with pytest.raises(UnicodeDecodeError):
        members(folder / "invalid-utf8.warc.gz")[2].decode("utf-8")
    assert max(map(len, members(folder / "huge.warc.gz"))) > 50_000_000
    assert (folder / "huge.warc.gz").stat().st_size < 3_000_000
    assert b"\x89PNG" in members(folder / "binary.warc.gz")[2]
    assert b"\x7fELF" in members(folder / "binary.warc.gz")[3]
    for name, sign in (("length-too-long.warc.gz", 1), ("length-too-short.warc.gz", -1)):
        head, _, block = members(folder / name)[2].partition(b"\r\n\r\n")
        stated = int(head.rpartition(b"Content-Length: ")[2])
        assert (stated - (len(block) - 4)) * sign > 0
    assert by_name["other-responses.warc.gz"].faulty_pages[0].endswith("/moved")


def test_valid_oddities_are_read_by_an_independent_reader(faults):
    folder, by_name = faults
    for name in ("plain.warc", "one-member.warc.gz"):
        with (folder / name).open("rb") as stream:
            records = ArchiveIterator(stream, record_types=WarcRecordType.response)
            assert [(r.headers["WARC-Target-URI"], r.reader.read()) for r in records] == [
                (address, sound_page(address)) for address in by_name[name].sound_pages
            ]


@pytest.mark.parametrize("label", ["chunked", "gzip", "chunked-gzip", "brotli"])
def test_encoded_bodies_decode_to_the_page(faults, label):
    folder, _ = faults
    record = next(r for r in members(folder / "encoded.warc.gz") if f"/encoded/{label}\r\n".encode() in r)
    decoded = next(iter(ArchiveIterator(io.BytesIO(gzip_member(record)), auto_decode="all"))).reader.read()
    assert decoded == sound_page(label)


def test_a_record_states_its_length_and_can_be_made_to_lie():
    message = http_message("200 OK", [("Content-Type", "text/html")], b"<p>x</p>")
    honest = response("https://a.example/", message, b"<p>x</p>", file_name="f", index=0)
    assert f"Content-Length: {len(message)}\r\n".encode() in honest
    lying = response("https://a.example/", message, b"<p>x</p>", file_name="f", index=0, stated_length=9)
    assert b"Content-Length: 9\r\n" in lying
