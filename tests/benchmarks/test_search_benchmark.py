"""The small form of `python -m benchmarks.search`."""

from __future__ import annotations

import sys

import pytest

from benchmarks import search


def test_a_new_table_is_found_and_a_removed_one_never(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["search", "--tables", "30", "--searches", "25"])
    search.main()
    printed = capsys.readouterr().out
    assert "30 contracts are read" in printed
    assert "a new table is found" in printed
