"""Who may import whom inside trainers: engines know no family, nothing imports a command, and there is no circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

TRAINERS = Path(__file__).parents[2] / "trainers"
ENGINES = {"process", "core", "data", "models", "serving", "verifiers"}
COMMANDS_THAT_RUN_OTHERS = {"trainers.replicate"}
FILES = sorted(TRAINERS.rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(TRAINERS.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module(path) for path in FILES}
COMMANDS = {module(path) for path in TRAINERS.glob("*.py") if path.name != "__init__.py"}


def imports(path: Path) -> set[str]:
    """Modules of trainers that a file imports anywhere in it, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are written in full"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & MODULES) or {node.module}
    return {name for name in found if name.split(".")[0] == "trainers"}


@pytest.mark.parametrize("path", FILES, ids=module)
def test_an_engine_imports_engines_alone_and_nobody_a_command(path: Path) -> None:
    place = path.relative_to(TRAINERS).parts[0]
    found = imports(path)
    assert found <= MODULES
    if place in ENGINES:
        families = {name for name in found if name.split(".")[1] not in ENGINES}
        assert not families, f"{module(path)} imports {families}"
    if module(path) not in COMMANDS_THAT_RUN_OTHERS:
        assert not found & COMMANDS


def test_no_circle_of_imports() -> None:
    graph = {module(path): imports(path) - {module(path)} for path in FILES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(FILES)
