"""Machine code is cached outside the package, by processes at the same time, and one signature suffices."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import spark_jobs.kernels
from spark_jobs.kernels import compiled, minhash, statistics, text_hash, union_find

ROOT = Path(spark_jobs.kernels.__file__).parents[2]
PROGRAM = """
import pyarrow as pa
from spark_jobs.kernels import text_hash
print(text_hash.text_hash(pa.array(["a", "b" * 99])).to_pylist(), sum(text_hash._text_hash.stats.cache_hits.values()))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def test_processes_that_compile_at_once_agree_and_the_next_finds_their_work(tmp_path: Path) -> None:
    processes = [start(tmp_path) for _ in range(2)]
    outputs = {process.communicate(timeout=300)[0].strip() for process in processes}
    expected = text_hash.text_hash(pa.array(["a", "b" * 99])).to_pylist()
    assert {output.rsplit(" ", 1)[0] for output in outputs} == {str(expected)}
    assert start(tmp_path).communicate(timeout=300)[0].strip() == f"{expected} 1"
    assert list(tmp_path.rglob("*.nbc"))


def test_nothing_is_written_into_the_package() -> None:
    statistics.statistics(pa.array(["a"]))
    assert not list(Path(spark_jobs.kernels.__file__).parent.rglob("*.nb[ci]"))


def test_without_a_folder_to_write_to_kernels_still_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    monkeypatch.setattr(compiled._config, "CACHE_DIR", "")
    compiled.cache_folder.cache_clear()
    try:
        assert compiled.cache_folder("text_hash") is None
        double = compiled.entry(lambda number: 2 * number)
        assert double(21) == 42
    finally:
        compiled.cache_folder.cache_clear()


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled._config, "CACHE_DIR", "")
    compiled.cache_folder.cache_clear()
    try:
        trusted = compiled.cache_folder("text_hash")
        assert trusted is not None
        assert trusted.is_relative_to(tmp_path)
        trusted.chmod(0o777)
        compiled.cache_folder.cache_clear()
        fallback = compiled.cache_folder("text_hash")
        assert fallback is None or not fallback.is_relative_to(tmp_path)
    finally:
        compiled.cache_folder.cache_clear()


def test_code_is_kept_by_what_it_is_made_of() -> None:
    assert {"statistics", "blocks", "words", "compiled"} <= set(compiled._sources("statistics"))
    assert "minhash" not in compiled._sources("statistics")
    assert len({compiled.cache_folder(kernel) for kernel in ("statistics", "minhash", "text_hash")}) == 3


def test_every_kernel_has_one_signature_whatever_it_is_given() -> None:
    for array in (pa.array(["a b", None]), pa.array(["a"], pa.large_string()), pa.array(["x" * 500, "b"])[:1]):
        statistics.statistics(array)
        signatures = minhash.minhash(array)
        minhash.bands(signatures, 2, 3)
        minhash.bands(signatures.cast(pa.binary())[1:], 2, 3)
        text_hash.text_hash(array)
    union_find.connected_components(pa.array([1]), np.array([0], np.int32), 2)
    entries = (statistics._statistics, minhash._minhash, minhash._bands, text_hash._text_hash)
    for entry in (*entries, union_find._union, union_find._flatten):
        assert len(entry.signatures) == 1, entry
