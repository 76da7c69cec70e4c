"""Machine code is cached outside the package, by processes at the same time, and one signature suffices."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
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


@pytest.mark.slow
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
        assert compiled.cache_folder(text_hash.__name__) is None
        double = compiled.entry(lambda number: 2 * number)
        assert double(21) == 42
    finally:
        compiled.cache_folder.cache_clear()


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(compiled._config, "CACHE_DIR", "")
    compiled.cache_folder.cache_clear()
    try:
        trusted = compiled.cache_folder(text_hash.__name__)
        assert trusted is not None
        assert trusted.is_relative_to(tmp_path)
        trusted.chmod(0o777)
        compiled.cache_folder.cache_clear()
        fallback = compiled.cache_folder(text_hash.__name__)
        assert fallback is None or not fallback.is_relative_to(tmp_path)
    finally:
        compiled.cache_folder.cache_clear()


def test_code_is_kept_by_what_it_is_made_of() -> None:
    sources = compiled._sources(statistics.__name__)
    made_of = {f"{compiled.PACKAGE}.{name}" for name in ("statistics", "blocks", "words", "compiled", "linking")}
    assert made_of <= set(sources)
    assert minhash.__name__ not in sources
    assert len({compiled.cache_folder(module.__name__) for module in (statistics, minhash, text_hash)}) == 3


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that stands for that of the kernels, with none in it."""
    (tmp_path / "__init__.py").touch()
    (tmp_path / "compiled.py").touch()
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    for function in (compiled._read, compiled._fingerprint):
        function.cache_clear()
    yield tmp_path
    for function in (compiled._read, compiled._fingerprint):
        function.cache_clear()


def test_modules_in_subfolders_are_part_of_what_imports_them(package: Path) -> None:
    files = {
        "top.py": "from spark_jobs.kernels.html import parse, TAGS\nfrom spark_jobs.kernels.html.walk import step",
        "html/__init__.py": "from spark_jobs.kernels.html.nodes import TAGS",
        "html/parse.py": "from spark_jobs.kernels.html import nodes\nimport spark_jobs.kernels.words",
        "html/nodes.py": "import numpy",
        "html/walk.py": "from . import lines\nfrom ..words import decode",
        "html/lines.py": "",
        "html/unused.py": "",
        "words.py": "",
    }
    for name, source in files.items():
        (package / name).parent.mkdir(exist_ok=True)
        (package / name).write_text(source)
    found = {name.removeprefix(f"{compiled.PACKAGE}.") for name in compiled._sources(f"{compiled.PACKAGE}.top")}
    expected = {"compiled", "top", "html", "html.parse", "html.nodes", "html.walk", "html.lines", "words"}
    assert found == expected
    before = compiled._fingerprint(f"{compiled.PACKAGE}.top")
    (package / "html" / "lines.py").write_text("# edited")
    for function in (compiled._read, compiled._fingerprint):
        function.cache_clear()
    assert compiled._fingerprint(f"{compiled.PACKAGE}.top") != before


def test_an_import_that_is_not_found_is_named(package: Path) -> None:
    (package / "top.py").write_text("from spark_jobs.kernels.html.gone import step")
    with pytest.raises(ModuleNotFoundError, match=r"spark_jobs\.kernels\.html\.gone"):
        compiled._sources(f"{compiled.PACKAGE}.top")


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
