"""Engines know no family, families know no other family, and no module imports itself in a circle.

Imports inside functions count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOM = Path(__file__).parents[2] / "spark_jobs"
FAMILIES = {"dclm", "evals", "registry", "curate", "demo"}
READS = {("evals", "dclm")}
"""Families that read another one."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOM.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOM.rglob("*.py")}


def imported(path: Path) -> Iterator[str]:
    """Modules of the room that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in full]
        else:
            continue
        yield from (name for name in names if name in MODULES)


def folder(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_the_room_is_read() -> None:
    assert {folder(module) for module in MODULES} > FAMILIES
    assert "spark_jobs.spark.tables" in set(imported(MODULES["spark_jobs.dclm.documents"]))


def test_no_module_imports_a_family_other_than_its_own() -> None:
    arrows = {(folder(module), folder(name)) for module, path in MODULES.items() for name in imported(path)}
    assert {(user, used) for user, used in arrows if used in FAMILIES and user != used} <= READS


def test_no_imports_form_a_circle() -> None:
    graph = {module: {name for name in imported(path) if name != module} for module, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)
