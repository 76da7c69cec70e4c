"""dclm.documents: every record of the crawl exactly once, with its origin, text and statistics."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from made_crawl import HOST, PAGES, archive, page
from made_documents import prose

from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.progress import listening
from catalog.tables.dclm import DOCUMENTS, POOL, STATISTICS
from spark_jobs.archives.documents import BATCH_ROWS, document_id, documents_batches, host_of
from spark_jobs.archives.extract import extract
from spark_jobs.archives.records import read_record
from spark_jobs.dclm.documents import write_documents
from spark_jobs.dclm.pool import register
from spark_jobs.demo.crawl.faults import sound_page

if TYPE_CHECKING:
    from conftest import Curated
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def test_every_record_of_the_crawl_is_a_document_exactly_once(curated: Curated) -> None:
    expected = Counter((name, f"{HOST}/{path}") for name, pages in PAGES.items() for path in pages)
    for fault in curated.faults:
        expected.update((fault.name, url) for url in (*fault.sound_pages, *fault.faulty_pages))
    rows = curated.rows("dclm.documents")
    assert Counter((row["warc"], row["url"]) for row in rows) == expected
    assert len({row["doc_id"] for row in rows}) == len(rows)
    assert sum(counts["documents"] for counts in curated.counts["documents"]) == len(rows)


def test_every_fault_is_counted_with_its_reason_and_costs_no_sound_page(curated: Curated) -> None:
    pool = {row["warc"]: row for row in curated.rows("dclm.pool")}
    rows = {row["url"]: row for row in curated.rows("dclm.documents")}
    for fault in curated.faults:
        assert (pool[fault.name]["state"] == "ready") == fault.readable
        assert fault.readable or pool[fault.name]["reason"]
        for url in fault.sound_pages:
            # Pages in codings were made from their label alone.
            texts = [extract(sound_page(made_from), "text/html").text for made_from in (url, url.rsplit("/", 1)[1])]
            assert rows[url]["state"] == "ok", url
            assert rows[url]["text"] in texts, url
        for url in fault.faulty_pages:
            assert rows[url]["reason"], url
            assert rows[url]["state"] != "ok" or fault.name == "invalid-utf8.warc.gz"
    states = {url.rsplit("/", 1)[1]: rows[url]["state"] for fault in curated.faults for url in fault.faulty_pages}
    assert states == {
        "cut-off": "record_damaged",
        "wrong": "record_damaged",
        "says-utf8-and-is-not": "ok",
        "picture": "binary",
        "program": "binary",
        "fifty-megabytes": "too_large",
        "moved": "http_error",
        "paper.pdf": "not_html",
        "missing": "http_error",
        "nothing": "no_payload",
    }


def test_counts_by_state_are_those_of_the_table(curated: Curated) -> None:
    reported = Counter[str]()
    for counts in curated.counts["documents"]:
        reported.update(counts["states"])
    assert reported == Counter(row["state"] for row in curated.rows("dclm.documents"))


def test_a_document_is_found_again_in_its_archive_and_says_the_same(curated: Curated) -> None:
    pool = {row["warc"]: row for row in curated.rows("dclm.pool")}
    for row in curated.rows("dclm.documents"):
        record = read_record(pool[row["warc"]]["uri"], row["record_offset"])
        assert record is not None
        assert (record.url, record.payload_digest) == (row["url"], row["payload_digest"])
        assert row["doc_id"] == document_id(row["warc"], row["record_offset"], row["payload_digest"])
        if row["text"] is not None:
            assert record.payload is not None
            assert extract(record.payload, record.content_type, record.charset).text == row["text"]


def test_spark_writes_what_the_plain_function_gives(curated: Curated) -> None:
    plain = pa.Table.from_batches(
        documents_batches(curated.lake.read("dclm.pool").to_pylist(), DOCUMENTS.schema)
    ).sort_by("doc_id")
    stored = curated.lake.read("dclm.documents").select(plain.column_names).sort_by("doc_id")
    assert DOCUMENTS.conform(plain).equals(DOCUMENTS.conform(stored))


@pytest.mark.campaign
def test_documents_do_not_depend_on_shards_or_workers(curated: Curated, curated_alone: tuple[Curated, object]) -> None:
    shards = {"global_shard", "local_shard"}
    ours, theirs = (
        [{name: value for name, value in row.items() if name not in shards} for row in lake.rows("dclm.documents")]
        for lake in (curated, curated_alone[0])
    )
    assert ours == theirs


def test_columns_are_filled_where_there_is_text_and_only_there(curated: Curated) -> None:
    of_text = ["text", "text_hash", "language", "language_score", "minhash", *(name for name, _, _ in STATISTICS)]
    for row in curated.rows("dclm.documents"):
        filled = {name for name in of_text if row[name] is not None}
        if row["state"] == "ok":
            assert filled == set(of_text), row["url"]
            assert row["text_bytes"] == len(row["text"].encode())
            assert row["characters"] == len(row["text"])
            assert len(row["minhash"]) == 512
        else:
            assert (filled, row["text_bytes"]) == (set(), 0)


def test_the_origin_of_a_document_is_recorded(curated: Curated) -> None:
    (row,) = [row for row in curated.rows("dclm.documents") if row["url"] == f"{HOST}/alone"]
    payload = page(PAGES["copies-a.warc.gz"]["alone"])
    assert (row["host"], row["content_type"], row["payload_bytes"]) == ("copies.example", "text/html", len(payload))
    assert row["payload_digest"].startswith("sha1:")
    assert row["crawled_at"].utcoffset().total_seconds() == 0


def test_a_partition_is_replaced_alone_and_writing_it_again_changes_nothing(
    spark: SparkSession, curated: Curated
) -> None:
    before = curated.rows("dclm.documents")
    partition = {"global_shard": 0, "local_shard": 0}
    version = curated.lake.version("dclm.documents")
    write_documents(spark, curated.lake, [Part(partition, "again")])
    assert curated.rows("dclm.documents") == before
    written = curated.lake.written("dclm.documents")
    assert written["global_shard=0/local_shard=0"].fingerprint == "again"
    assert written["global_shard=0/local_shard=1"].fingerprint == "d" * 16
    assert curated.lake.version("dclm.documents") == (version or 0) + 1


def test_an_archive_that_changed_since_it_was_registered_stops_the_partition(
    spark: SparkSession, lake: Lake, tmp_path: Path
) -> None:
    path = tmp_path / "made.warc.gz"
    path.write_bytes(b"".join(archive(path.name, {"https://made.example/": page(prose(1))})))
    lake.replace(POOL, register([str(path)], "made", 1), "p")
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(WatershedError, match="when it was registered") as caught:
        write_documents(spark, lake, [Part({"global_shard": 0, "local_shard": 0}, "d")])
    assert "register the crawl again" in caught.value.mend
    assert lake.written("dclm.documents") == {}


class Heard:
    """A listener that records the reported progress of each piece of work."""

    def __init__(self) -> None:
        self.works: dict[str, tuple[float, str, list[float]]] = {}
        self.ended: list[object] = []

    def begin(self, label: str, total: float, unit: str) -> object:
        self.works[label] = (total, unit, [])
        return label

    def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
        self.works[str(handle)][2].append(done)

    def end(self, handle: object) -> None:
        self.ended.append(handle)


def test_archives_are_counted_as_they_are_read(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / f"made-{number}.warc.gz"
        path.write_bytes(b"".join(archive(path.name, {f"https://made.example/{number}": page(prose(number))})))
    lake.replace(POOL, register([str(tmp_path)], "made", 3), "p")
    heard = Heard()
    with listening(heard):
        (found,) = write_documents(spark, lake, [Part({"global_shard": 0, "local_shard": 0}, "d")])
    assert found["archives"] == found["documents"] == 3
    total, unit, done = heard.works["reading shard 0-0"]
    assert (total, unit, done[-1]) == (3, "archives", 3)
    assert done == sorted(done)
    assert heard.ended == ["reading shard 0-0"]


def test_a_partition_without_archives_is_empty_and_on_record(spark: SparkSession, curated: Curated) -> None:
    partition = {"global_shard": 9, "local_shard": 9}
    (found,) = write_documents(spark, curated.lake, [Part(partition, "empty")])
    assert found == {"archives": 0, "documents": 0, "states": {}}
    assert curated.lake.written("dclm.documents")["global_shard=9/local_shard=9"].fingerprint == "empty"


def test_batches_are_bounded(tmp_path: Path) -> None:
    payloads = {f"https://made.example/{number}": page(f"Page {number}.") for number in range(BATCH_ROWS + 1)}
    path = tmp_path / "made.warc.gz"
    path.write_bytes(b"".join(archive(path.name, payloads)))
    batches = list(documents_batches(register([str(path)], "made", 1).to_pylist(), DOCUMENTS.schema))
    assert [batch.num_rows for batch in batches] == [BATCH_ROWS, 1]


def test_a_document_is_named_by_where_it_lies_and_what_it_is() -> None:
    expected = hashlib.blake2b(b"a.warc.gz\n17\nsha1:X", digest_size=16).hexdigest()
    assert document_id("a.warc.gz", 17, "sha1:X") == expected
    assert len({document_id("a", 1, None), document_id("a", 2, None), document_id("b", 1, None)}) == 3


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Docs.Example:8080/a", "docs.example"),
        ("https://user@x.example/", "x.example"),
        ("http://[bad/", None),
        ("no url", None),
        (None, None),
    ],
)
def test_the_host_of_a_url_is_in_lower_case_and_without_port(url: str | None, host: str | None) -> None:
    assert host_of(url) == host
