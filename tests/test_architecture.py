"""The rooms and who may call whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BELOW = {
    "catalog": set(),
    "trainers": set(),
    "spark_jobs": {"catalog"},
    "quality": {"catalog"},
    "dagster_project": {"catalog", "trainers", "spark_jobs", "quality"},
}
FOREIGN = {
    "trainers": {"dagster", "pyspark", "delta", "deltalake", "great_expectations"},
    "catalog": {"dagster", "pyspark", "torch"},
    "spark_jobs": {"dagster"},
    "quality": {"dagster"},
    "dagster_project": set(),
}


def imports(path: Path) -> set[str]:
    """Top-level names that the file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        upwards = imports(path) & (BELOW.keys() - BELOW[room] - {room})
        assert not upwards, f"{path.relative_to(ROOT)} imports {upwards}"
        foreign = imports(path) & FOREIGN[room]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_definitions_load_without_torch_spark_or_great_expectations() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, dagster_project.definitions as d; d.defs.get_repository_def();"
            "heavy = ('torch', 'pyspark', 'great_expectations', 'numba', 'scipy', 'matplotlib');"
            "print([name for name in heavy if name in sys.modules])",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip().splitlines()[-1] == "[]"
