"""The Python example of docs/language_models.md, run against a scripted server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.model_server import Script, running

PAGE = Path(__file__).parents[2] / "docs" / "language_models.md"


def test_the_example_of_python_gives_rows_and_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(body: dict[str, Any], digest: str) -> str:
        found = {"name": digest[:6], "kilometres": 7}
        return json.dumps(found) if "response_format" in body else f"The {digest[:6]}."

    example = re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert example is not None
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    script, names = Script(answer=answer), dict[str, Any]()
    with running(script) as url:
        (tmp_path / "watershed.toml").write_text(f'[models.hosted]\nurl = "{url}"\njson_schema = true\n')
        exec(compile(example[1], str(PAGE), "exec", dont_inherit=True), names)  # the page's own code
    assert len(names["texts"]) == len(set(names["texts"])) == 100
    assert [river.kilometres for river in names["rivers"]] == [7] * 100
    assert sum(script.seen.values()) == 200
