"""Which code runs: the version of the package, and the commit of the checkout that it runs from, if it does."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SHOWN = 12
"""Hexadecimal digits of a commit."""


@cache
def code_version() -> str:
    """For instance `0.1.0 at 3f0c12ab9d11`; the version alone outside a checkout.

    It is kept with each commit of a table, for people. Fingerprints do not depend on it.
    """
    try:
        release = version("watershed")
    except PackageNotFoundError:
        release = "unknown"
    commit = _commit(Path(__file__).resolve().parent.parent / ".git")
    return f"{release} at {commit[:SHOWN]}" if commit else release


def _commit(git: Path) -> str:
    """The commit that is checked out, without starting a process; empty if there is none."""
    try:
        if git.is_file():
            # A work tree names its folder within that of the repository.
            git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return head
        ref = head.removeprefix("ref:").strip()
        shared = git / "commondir"
        common = (git / shared.read_text().strip()).resolve() if shared.is_file() else git
        if (common / ref).is_file():
            return (common / ref).read_text().strip()
        packed = (common / "packed-refs").read_text().splitlines()
        return next((line.split()[0] for line in packed if line.endswith(f" {ref}")), "")
    except OSError:
        return ""
