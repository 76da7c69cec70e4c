"""Removes web addresses from running text, as RefinedWeb describes and DCLM does.

mlfoundations/dclm, baselines/mappers/modifiers.py, url_removal_modifier: first addresses by host name, then by number.
Its code searches for host names only in a text that begins with the letters of some top-level domain, in either case
("This ..." does, by .th). This seems to be a slip (`match` for `search`); it skips about half of all pages.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.measures.base import Edit, Option

ALL, BEGUN = "all", "begun_with_domain"


def remove_urls(text: pa.Array, *, domains: str | None = None, pages: str = BEGUN) -> pa.Array:
    """Cut web addresses, and up to ten characters of white space before each.

    Args:
        text: documents.
        domains: a file with one lower-case top-level domain in each line; None for DCLM's list.
        pages: where to search for host names, ALL or BEGUN; numeric addresses are cut everywhere.

    Raises:
        WatershedError: the file cannot be read.
    """
    from spark_jobs.kernels.urls import domains_of, without_ipv4, without_urls, without_urls_where_begun

    known = domains_of(top_level_domains(domains))
    without = without_urls if pages == ALL else without_urls_where_begun
    return without_ipv4(without(text, known))


@cache
def top_level_domains(file: str | None = None) -> tuple[str, ...]:
    """Lower-case names without a dot, from the lines of a file; None for the list of DCLM-Baseline."""
    path = Path(file) if file else Path(__file__).with_name("top_level_domains.txt")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WatershedError(
            f"{path}: the list of top-level domains cannot be read ({error})",
            "give a text file with one domain per line",
        ) from error
    return tuple(name for line in lines if not line.startswith("#") for name in line.split())


EDITS = (
    Edit(
        name="remove_urls",
        description="cuts web addresses out of the text",
        options={
            "domains": Option(
                kind=str, description="file with one top-level domain per line; DCLM's if left out", default=None
            ),
            "pages": Option(
                kind=str,
                description="where to search for host names: in all pages, or, as DCLM does, in those whose first"
                " letters are a top-level domain",
                default=BEGUN,
                choices=(BEGUN, ALL),
            ),
        },
        apply=remove_urls,
    ),
)
