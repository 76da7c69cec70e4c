"""Main content of pages: resiliparse bare, our extraction around it, the whole fused stage; trafilatura."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.curation_stages.contest import Agreement, Contest, equal_share
from benchmarks.curation_stages.pages import Pages


def contests(pages: Pages) -> Iterator[Contest[Any, Any]]:
    """Texts of all pages."""
    from resiliparse.extract.html2text import extract_plain_text
    from trafilatura import extract as trafilatura

    from catalog.tables.dclm import DOCUMENTS
    from spark_jobs.archives.documents import documents_batches
    from spark_jobs.archives.extract import decode, extract
    from spark_jobs.kernels.html.text import main_content

    def bare() -> list[str | None]:
        return [extract_plain_text(each.decode("utf-8", "replace"), main_content=True) for each in pages.payloads]

    def ours() -> list[str | None]:
        return [extract(each, "text/html", "utf-8").text for each in pages.payloads]

    def fused() -> list[str | None]:
        found: list[str | None] = []
        for batch in documents_batches([pages.pool_row()], DOCUMENTS.schema):
            found += batch.column("text").drop_null().to_pylist()
        return found

    def theirs() -> list[str | None]:
        return [trafilatura(each.decode("utf-8", "replace"), include_comments=False) for each in pages.payloads]

    def equal(ours: list[str | None], theirs: list[str | None]) -> Agreement:
        return Agreement(equal_share(ours, theirs), f"texts of {len(ours):,} pages, equal to the character")

    def equal_and_by_kernels(ours: list[str | None], theirs: list[str | None]) -> Agreement:
        share, compared = equal(ours, theirs)
        texts = (main_content(decode(each, "utf-8")[0].encode()) for each in pages.payloads)
        by_kernels = sum(text is not None for text in texts)
        return Agreement(share, f"{compared}; kernels read {by_kernels:,} of them, resiliparse the others")

    def overlap(ours: list[str | None], theirs: list[str | None]) -> Agreement:
        shares = [words_shared(one or "", other or "") for one, other in zip(ours, theirs, strict=True)]
        return Agreement(sum(shares) / len(shares), "another algorithm: words in both, of those in either")

    def same_texts(ours: list[str | None], theirs: list[str | None]) -> Agreement:
        share, compared = equal(ours, theirs)
        return Agreement(share, f"{compared}; ours reads the archive too, and adds language, statistics and signatures")

    both = {"bytes": pages.payload_bytes, "documents": len(pages.payloads)}
    yield Contest(stage="extraction", peer="resiliparse", ours=ours, theirs=bare, agree=equal_and_by_kernels, **both)
    yield Contest(stage="fused stage", peer="resiliparse alone", ours=fused, theirs=bare, agree=same_texts, **both)
    yield Contest(stage="extraction", peer="trafilatura", ours=ours, theirs=theirs, agree=overlap, **both)


def words_shared(one: str, other: str) -> float:
    """Jaccard similarity of two texts as sets of words between white space; 1 of two empty ones."""
    left, right = set(one.split()), set(other.split())
    return len(left & right) / len(left | right) if left | right else 1.0
