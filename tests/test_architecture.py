"""The rooms, the engines and families inside them, and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from catalog.tables import FAMILIES

ROOT = Path(__file__).parent.parent
BELOW = {
    "catalog": set(),
    "trainers": set(),
    "spark_jobs": {"catalog"},
    "quality": {"catalog"},
    "dagster_project": {"catalog", "trainers", "spark_jobs", "quality"},
}
"""The rooms that a room may import."""
FOREIGN = {
    "trainers": {"dagster", "pyspark", "delta", "deltalake", "great_expectations"},
    "catalog": {"dagster", "pyspark", "torch"},
    "spark_jobs": {"dagster"},
    "quality": {"dagster"},
    "dagster_project": set(),
}
"""Packages that a room does not import."""

ALL_FAMILIES = {
    *("dclm", "ladder", "evals", "models", "moe", "tulu"),
    *("dialogues", "pixmo", "mathfish", "scholar", "router", "cheatsheet"),
}
"""The families of tables, one name in every room."""
PLACES = {
    "catalog.tables": ALL_FAMILIES,
    "spark_jobs": ALL_FAMILIES | {"registry", "curate", "demo"},
    "trainers": {"pretraining", "posttraining", "embedding", "vision", "routing", "icl", "ladder"},
    "dagster_project.families": ALL_FAMILIES | {"registry", "demo", "commands"},
}
"""The families of each room, by the package that holds them; `registry`, `curate` and `demo` are families without
tables of their own. In `trainers` a family is a kind of training."""
ENGINES = {
    "spark_jobs": {
        *("spark", "archives", "recipes", "measures", "edits", "dedup", "classifiers", "selection", "contamination"),
        *("shards", "kernels", "language_models", "retrieval", "pictures", "compute", "hash_order", "input_files"),
        *("light_imports", "mixtures"),
    },
    "trainers": {"process", "core", "data", "models", "serving", "verifiers", "names"},
}
"""What knows no family; in `catalog` and `dagster_project` it is everything outside the families and their lists."""
READ_BY = {
    "ladder": {"models", "dclm", "evals", "pretraining"},
    "moe": {"models", "dclm", "demo"},
    "evals": {"models", "dclm", "demo"},
    "models": {"dclm", "demo"},
    "registry": {"models", "evals"},
}
"""The families that a family may import; any other reads tables alone."""
LISTS = {
    "catalog.tables",
    *(
        "dagster_project.assets",
        "dagster_project.definitions",
        "dagster_project.jobs",
        "dagster_project.own_training",
        "dagster_project.run",
        "dagster_project.families.commands",
    ),
}
"""Modules that list families or sit above them. Commands (`dagster_project.cli`) do too."""


def module_of(path: Path) -> str:
    """The dotted name of a file of this project."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def files() -> dict[str, Path]:
    """Every module of the rooms."""
    return {module_of(path): path for room in BELOW for path in sorted((ROOT / room).rglob("*.py"))}


@cache
def imports(path: Path) -> frozenset[str]:
    """Modules that a file imports at run time, anywhere in it, functions included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & files().keys()
            if not inner <= files().keys():
                found.add(node.module)
    return frozenset(found)


def family_of(module: str) -> tuple[str, str] | None:
    """The package that holds the family of a module, and the family; None for an engine."""
    for package, families in PLACES.items():
        inside = module.removeprefix(f"{package}.")
        if inside != module and (family := inside.split(".")[0]) in families:
            return package, family
    return None


@pytest.mark.parametrize("room", BELOW)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    inside = {module: path for module, path in files().items() if module.split(".")[0] == room}
    assert inside
    for module, path in inside.items():
        tops = {name.split(".")[0] for name in imports(path)}
        upwards = tops & (BELOW.keys() - BELOW[room] - {room})
        assert not upwards, f"{module} imports {upwards}"
        assert not tops & FOREIGN[room], f"{module} imports {tops & FOREIGN[room]}"


def test_no_engine_imports_a_family() -> None:
    wrong = [
        f"{module} imports {imported}"
        for module, path in files().items()
        if is_engine(module)
        for imported in sorted(imports(path))
        if family_of(imported)
    ]
    assert not wrong, "\n".join(wrong)


def is_engine(module: str) -> bool:
    """Whether a module must know no family."""
    room, _, inside = module.partition(".")
    if room in ENGINES:
        return inside.split(".")[0] in ENGINES[room]
    return not (family_of(module) or module in LISTS or module.startswith("dagster_project.cli"))


def test_a_family_imports_no_other_but_those_that_it_rests_on() -> None:
    wrong = []
    for module, path in files().items():
        own = family_of(module)
        for imported in sorted(imports(path)) if own else ():
            other = family_of(imported)
            # What a table is may be known to all: contracts are the catalog's.
            if not own or not other or own[1] == other[1] or other[0] == "catalog.tables":
                continue
            # Commands of dagster_project's families may start any job or trainer.
            if own[0] == "dagster_project.families" and other[0] in ("spark_jobs", "trainers"):
                continue
            if other[1] not in READ_BY.get(own[1], set()):
                wrong.append(f"{module} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_every_folder_of_a_room_is_an_engine_or_a_family() -> None:
    for room, engines in ENGINES.items():
        folders = {path.name for path in (ROOT / room).iterdir() if (path / "__init__.py").exists()}
        assert folders <= engines | PLACES[room], f"{room}: {folders - engines - PLACES[room]}"
    for package in ("catalog.tables", "dagster_project.families"):
        folder = ROOT.joinpath(*package.split("."))
        inside = {path.stem for path in folder.iterdir() if not path.name.startswith("_")}
        assert inside <= PLACES[package] | {"languages"}, f"{package}: {inside - PLACES[package]}"
    assert {family.name for family in FAMILIES} <= ALL_FAMILIES


def test_no_trainer_imports_a_command() -> None:
    commands = {f"trainers.{path.stem}" for path in (ROOT / "trainers").glob("*.py")} - {"trainers.names"}
    wrong = [
        f"{module} imports {imported}"
        for module, path in files().items()
        # `replicate` runs other commands.
        if module.startswith("trainers.") and module != "trainers.replicate"
        for imported in sorted(imports(path) & commands)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imports(path) & files().keys() - {module} for module, path in files().items()}
    circle = sorted(module for module in graph if module in reached(graph, module))
    assert not circle, circle


def reached(graph: dict[str, frozenset[str]], start: str) -> set[str]:
    """Every module that `start` imports, directly or not."""
    seen: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        if (module := waiting.pop()) not in seen:
            seen.add(module)
            waiting += graph[module]
    return seen


def test_definitions_load_without_torch_spark_or_great_expectations() -> None:
    loaded = subprocess.run(
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
    assert loaded.stdout.strip().splitlines()[-1] == "[]"


def test_every_test_file_has_a_name_of_its_own() -> None:
    # pytest imports test files by their names alone, because their folders are not packages.
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
