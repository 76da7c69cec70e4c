"""Kernels in a fresh process: empty inputs first, and pages before machine code is available."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from resiliparse.extract.html2text import extract_plain_text

import spark_jobs.kernels
from spark_jobs.archives import extract as extraction
from spark_jobs.kernels import compiled, warm
from spark_jobs.kernels.exercises import EXERCISES, LAKE, sample

ROOT = Path(spark_jobs.kernels.__file__).parents[2]
ARRAYS = {
    "no row": pa.array([], pa.string()),
    "an empty text": pa.array([""]),
    "nulls": pa.array([None, None], pa.string()),
}


def first_in_a_thread(call: Callable[[], object]) -> None:
    """Call in a thread of its own, which has no arrays of an earlier call to write to."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


@pytest.mark.parametrize("array", ARRAYS)
@pytest.mark.parametrize("module", EXERCISES)
def test_a_kernel_takes_empty_inputs_first(module: str, array: str) -> None:
    first_in_a_thread(lambda: EXERCISES[module](ARRAYS[array]))


def test_an_empty_page_may_be_the_first_of_its_process() -> None:
    program = (
        "from spark_jobs.archives.extract import extract\n"
        "from spark_jobs.kernels.html.text import main_content\n"
        "print(repr(main_content(b'')), extract(b'', 'text/html').state)"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["''", "empty_text"], run.stderr


def test_every_entry_has_an_exercise_that_compiles_it() -> None:
    for exercise in EXERCISES.values():
        exercise(sample())
    entries = [entry for entry in compiled.ENTRIES if entry.py_func.__module__.startswith(compiled.PACKAGE)]
    files = [path for path in Path(spark_jobs.kernels.__file__).parent.rglob("*.py") if path.name != "compiled.py"]
    assert len(entries) == sum(path.read_text().count("\n@entry\n") for path in files)
    # More than one would be compiled twice.
    assert [entry.py_func.__qualname__ for entry in entries if len(entry.signatures) != 1] == []


def test_a_small_crawl_does_not_have_the_parser_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr("spark_jobs.kernels.html.text.is_ready", lambda: False)
    monkeypatch.setattr(warm, "warm_in_background", lambda modules, processes: asked.append(modules))
    for name, value in {"is_over": False, "until": 0.0, "read_bytes": 0, "is_compiling": False}.items():
        monkeypatch.setattr(extraction._Waiting, name, value)
    monkeypatch.setattr(extraction, "COMPILE_AFTER_BYTES", 1_000)
    page = b"<p>Some text.</p>".ljust(400)
    counts = []
    for _ in range(4):
        assert extraction.extract(page, "text/html").text == "Some text."
        counts.append(len(asked))
    assert counts == [0, 0, 1, 1]
    assert asked == [["html"]]


COLD = """
import json, sys, time
from spark_jobs.archives import extract as extraction
from spark_jobs.archives.extract import extract
from spark_jobs.kernels.html import text as html_text
extraction.COMPILE_AFTER_BYTES = 1
payloads = [open(path, "rb").read() for path in sys.argv[1:]]
ready = html_text.is_ready()
texts = [extract(payload, "text/html").text for payload in payloads]
compiled_here = len(html_text.parse_into.signatures)
deadline = time.monotonic() + 600
while not ready and not html_text.is_ready() and time.monotonic() < deadline:
    time.sleep(0.2)
again = [html_text.main_content(payload) for payload in payloads]
loaded = sum(html_text.parse_into.stats.cache_hits.values())
print(json.dumps([ready, texts, compiled_here, again, loaded]))
"""


@pytest.mark.campaign
def test_pages_are_read_at_once_while_another_process_compiles(tmp_path: Path) -> None:
    pages = {
        "plain.html": "<!doctype html><html><body><main><h1>Title</h1><p>Some <b>text</b>.</p></main></body></html>",
        "table.html": "<body><nav>Menu</nav><table><tr><td>one<td>two</table><ul><li>first<li>second</ul>",
        "sloppy.html": "<p>An <a href=x>unclosed <i>link<p>next &amp; last<div class=footer>foot</div>",
    }
    for name, html in pages.items():
        (tmp_path / name).write_text(html)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment.pop(compiled.SHIPPED, None)
    command = [sys.executable, "-c", COLD, *(str(tmp_path / name) for name in pages)]
    outputs = []
    for _ in range(2):
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        outputs.append(json.loads(run.stdout))
    expected = [extract_plain_text(html, main_content=True) for html in pages.values()]
    (ready, texts, compiled_here, again, loaded), second = outputs
    # Nothing was compiled in the process that read the pages; what another one compiled is there, and says the same.
    assert (ready, texts, compiled_here, again, loaded) == (False, expected, 0, expected, 1)
    assert second == [True, expected, 1, expected, 1]


@pytest.mark.slow
def test_shipped_machine_code_is_used_where_it_can_be_trusted(tmp_path: Path) -> None:
    warm = [sys.executable, "-m", "spark_jobs.kernels.warm", "text_hash", "--out", str(tmp_path / "made")]
    subprocess.run(warm, cwd=ROOT, check=True, capture_output=True)
    # Another place, other times of change.
    shipped = tmp_path / "shipped"
    subprocess.run(["cp", "-r", tmp_path / "made", shipped], check=True)

    def hits(own: str) -> list[int]:
        program = (
            "import pyarrow as pa\nfrom spark_jobs.kernels import text_hash as kernel\n"
            "kernel.text_hash(pa.array(['a']))\n"
            "stats = kernel._text_hash.stats\n"
            "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))"
        )
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / own), compiled.SHIPPED: str(shipped)}
        command = [sys.executable, "-c", program]
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]
        return [int(number) for number in run.stdout.split()]

    assert hits("first") == [1, 0]
    (code,) = shipped.rglob("*.nbc")
    code.chmod(0o666)
    assert hits("second") == [0, 1], "a file that anybody may have written was unpickled"
    code.chmod(0o600)
    code.write_bytes(code.read_bytes()[:100])
    assert hits("third") == [0, 1], "a file that was cut short was loaded"


def test_nulls_are_seen_in_every_kind_of_slice() -> None:
    from spark_jobs.kernels.text_buffers import text_buffers

    array = pa.array(["a", None, "b", *[None, "c"] * 20])
    for start in range(len(array)):
        expected = np.array([value is not None for value in array[start:].to_pylist()], np.bool_)
        assert np.array_equal(text_buffers(array[start:]).valid, expected)


def test_what_was_compiled_is_known_by_module(tmp_path: Path) -> None:
    program = (
        "from spark_jobs.kernels import warm\n"
        "print(warm.is_warm(['text_hash']), *[name for name, _ in warm.warm(['text_hash'], 1)],"
        " warm.is_warm(['text_hash']), warm.is_warm(['text_hash', 'urls']))"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["False", "text_hash", "True", "False"], run.stderr[-2000:]


def test_the_modules_of_the_lake_have_exercises() -> None:
    assert set(LAKE) < EXERCISES.keys()
    assert len(set(LAKE)) == len(LAKE)
