"""Archives with planted copies, and the stages from a crawl to duplicates, as a program too."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from made_documents import prose

from catalog.lake import Lake, Part
from catalog.settings import load_settings
from catalog.tables.dclm import POOL
from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo
from spark_jobs.recipes.recipe import Recipe, Rule

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HOST = "https://copies.example"
HTML = (("Content-Type", "text/html; charset=utf-8"),)

ANY_WORDS = Recipe(
    name="any-words",
    description="Pages with words.",
    source="made here",
    steps=(Rule(name="words_minimum", statistic="words", keep=">=", threshold=1, source="made here"),),
)
MANY_WORDS = Recipe(
    name="many-words",
    description="Pages with many words.",
    source="made here",
    steps=(Rule(name="words_minimum", statistic="words", keep=">=", threshold=100, source="made here"),),
)
RECIPES = (ANY_WORDS, MANY_WORDS)

LONG = prose(1, 600)
PAGES = {
    "copies-a.warc.gz": {
        "exact/1": prose(2, 300),
        "near/short": LONG,
        "near/longest": f"{LONG} And one more sentence that none of the others has.",
        "alone": prose(3, 300),
        "tiny/1": "Nothing here.",
        "tiny/2": "Not found.",
        "tiny/3": "Moved.",
        "half/1": prose(4, 300) + prose(5, 300),
    },
    "copies-b.warc.gz": {
        "exact/2": prose(2, 300),
        "exact/3": prose(2, 300),
        "near/same": LONG,
        "half/2": prose(4, 300) + prose(6, 300),
        "tiny/4": "Nothing here.",
    },
}
"""Text of each page, by archive and path."""


def page(text: str) -> bytes:
    """An HTML page whose main content is `text`."""
    return f"<!DOCTYPE html><html><body><main><p>{text}</p></main></body></html>".encode()


def archive(name: str, pages: dict[str, bytes], headers: tuple[tuple[str, str], ...] = HTML) -> list[bytes]:
    """The gzip members of an archive of these payloads by URL, the warcinfo record first."""
    records = [warcinfo(name, "made here")]
    for index, (url, payload) in enumerate(pages.items(), start=1):
        message = http_message("200 OK", headers, payload)
        records.append(response(url, message, payload, file_name=name, index=index))
    return [gzip_member(record) for record in records]


def write_copies(folder: Path) -> None:
    """Write PAGES as archives."""
    for name, pages in PAGES.items():
        members = archive(name, {f"{HOST}/{path}": page(text) for path, text in pages.items()})
        (folder / name).write_bytes(b"".join(members))


def curate(spark: SparkSession, lake: Lake, crawl: Path, files_per_shard: int) -> dict[str, Any]:
    """Every stage up to dclm.duplicates; the counts that each returned."""
    from spark_jobs.dclm.documents import write_documents
    from spark_jobs.dclm.duplicates import write_duplicates
    from spark_jobs.dclm.measurements import write_measurements
    from spark_jobs.dclm.pool import register
    from spark_jobs.dclm.verdicts import write_verdicts

    pool = register([str(crawl)], "made", files_per_shard)
    lake.replace(POOL, pool, "p" * 16)
    shards = sorted({(row["global_shard"], row["local_shard"]) for row in pool.to_pylist()})

    def parts(fingerprint: str) -> list[Part]:
        return [Part({"global_shard": first, "local_shard": second}, fingerprint) for first, second in shards]

    return {
        "documents": write_documents(spark, lake, parts("d" * 16)),
        "measurements": write_measurements(spark, lake, parts("m" * 16), RECIPES),
        "verdicts": write_verdicts(spark, lake, parts("v" * 16), RECIPES),
        "duplicates": write_duplicates(spark, lake, ANY_WORDS.name, "e" * 16),
    }


def main(root: str, crawl: str) -> None:
    """Curate `crawl` into a lake at `root` with the settings of the environment, and print the counts."""
    from spark_jobs.spark.session import spark_session

    lake = Lake(root, Path(root) / "_files", {})
    print(json.dumps(curate(spark_session(load_settings()), lake, Path(crawl), files_per_shard=20)))


if __name__ == "__main__":
    main(*sys.argv[1:])
