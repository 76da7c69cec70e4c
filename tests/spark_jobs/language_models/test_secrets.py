"""A planted key is in no table, file, log or error, although the server repeats it wherever it can."""

from __future__ import annotations

import base64
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from scripted_endpoint import Serve, files_with

from benchmarks.model_server import Script
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import EndpointSettings, load_settings
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.endpoint import Endpoint, endpoint_of
from spark_jobs.language_models.keys import Scrubber, read_key
from spark_jobs.language_models.request import Request

KEY = "sk-planted/0123456789+abcdef=="


def test_the_search_finds_a_key(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": [f"a {KEY} b"]}), tmp_path / "a.parquet", compression="zstd")
    (tmp_path / "b.txt").write_bytes(base64.b64encode(KEY.encode()))
    assert len(files_with(tmp_path, KEY)) == 2


def test_a_key_that_the_server_repeats_is_stored_nowhere(
    lake: Lake, served: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setenv("MODEL_KEY", KEY)
    coded = base64.b64encode(KEY.encode()).decode()

    def repeat(body: dict[str, Any], digest: str) -> str:
        return f"your key is {KEY}, or {coded}, in JSON {digest}"

    script = Script(answer=repeat, key=KEY, faults={"server_error": 0.3, "rate_limited": 0.1})
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpcore2.http11").setLevel(logging.DEBUG)
        model = served(script, key="MODEL_KEY")
        found = ask(lake, model, [Request.chat(f"q {n} {KEY}") for n in range(30)], purpose="test", first_delay=0.001)
    assert script.made["server_error"]
    assert all(row.answered and "[key]" in row.text for row in found)
    assert KEY not in caplog.text
    assert KEY not in repr(model)
    assert not files_with(tmp_path, KEY)
    # The key that is refused is another one, and the server quotes it in its error.
    monkeypatch.setenv("MODEL_KEY", KEY + "x")
    with pytest.raises(WatershedError) as refused:
        ask(lake, model, [Request.chat("one more")], purpose="test")
    assert "Incorrect API key provided: Bearer [key]" in refused.value.cause
    assert KEY not in "".join(traceback.format_exception(refused.value))
    assert not files_with(tmp_path, KEY)


@pytest.mark.parametrize(
    "entries",
    [
        {"url": f"http://user:{KEY}@host/v1"},
        {"url": f"https://host/v1?key={KEY}"},
        {"url": KEY},
        {"url": "http://host/v1", "key": KEY},
        {"url": "http://host/v1", "key": "a" * 40},
    ],
    ids=range(5),
)
def test_a_key_in_the_wrong_place_is_refused_without_being_printed(entries: dict[str, str], tmp_path: Path) -> None:
    lines = "".join(f'{name} = "{value}"\n' for name, value in entries.items())
    (tmp_path / "watershed.toml").write_text(f"[models.hosted]\n{lines}")
    settings = load_settings(tmp_path)
    with pytest.raises(WatershedError) as refused:
        found = endpoint_of(settings, "hosted")
        read_key(found.settings.key, found.name)
    assert all(value not in str(refused.value) for value in (KEY, "a" * 40))


@pytest.mark.parametrize("value", ["", "tiny", "with\nline and more", "schlüssel-schlüssel"])
def test_a_key_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_KEY", value)
    with pytest.raises(WatershedError) as refused:
        read_key("MODEL_KEY", "hosted")
    assert "MODEL_KEY" in refused.value.cause
    assert not value or value not in str(refused.value)


def test_without_a_key_nothing_is_taken_out() -> None:
    assert Scrubber([None])("a text") == "a text"
    assert read_key("", "local") is None
    assert Endpoint(name="a", url="http://h", model="m", revision="", settings=EndpointSettings()).asks_lost
