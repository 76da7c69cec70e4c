"""Compare the kernels with resiliparse on every page of a crawl, and count the pages that they leave to it.

    uv run --group bench python -m benchmarks.extraction_agreement CORPUS [--pages N]

CORPUS is a folder of WARC files. The last line says what became of the pages; a page whose text differs is named.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from resiliparse.extract.html2text import extract_plain_text

from spark_jobs.archives.extract import decode
from spark_jobs.archives.records import read_records
from spark_jobs.kernels.html.text import main_content


def pages(corpus: Path) -> Iterator[tuple[str, str]]:
    """Address and characters of every page of a crawl."""
    for archive in sorted(corpus.rglob("*.warc.gz")):
        for record in read_records(str(archive)):
            if record.payload is not None and record.content_type == "text/html":
                yield record.url or "", decode(record.payload, record.charset)[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, page by page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--pages", type=int)
    options = parser.parse_args(arguments)
    found: Counter[str] = Counter()
    for address, html in islice(pages(options.corpus), options.pages):
        text = main_content(html.encode())
        found["pages"] += 1
        if text is None:
            found["left"] += 1
        elif text != extract_plain_text(html, main_content=True):
            found["different"] += 1
            print(f"different: {address}")
    print(f"{found['pages']:,} pages: {found['different']:,} differ, {found['left']:,} are left to resiliparse")


if __name__ == "__main__":
    main()
