"""Compilation of kernels: without the GIL, once per machine, with the machine code cached on disk.

The folder of an entry's machine code is named after everything that the machine code depends on: the source of its
module and of all kernels that it imports, the versions of Python, numba and LLVM, and the processor. An edit to an
inner function in another file therefore leads to another folder, and a folder may be copied to any machine of the same
kind.
Each entry is called with one signature only, so every process that compiles it writes the same bytes.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import config as _numba_config
from numba.extending import intrinsic

from spark_jobs.kernels.linking import EntryCompiler, InnerCompiler
from spark_jobs.kernels.machine_code import MachineCode

PACKAGE = "spark_jobs.kernels"
SHIPPED = "WATERSHED_KERNELS"
"""Environment variable of a folder of machine code that `python -m spark_jobs.kernels.warm --out` made."""
SUBFOLDER = "watershed-kernels"
"""Subfolder of such a folder, and of NUMBA_CACHE_DIR, that holds the machine code."""

# Parsing every source into a syntax tree took longer than loading machine code.
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<source>[.\w]+)[ \t]+import[ \t]+(?P<names>\([^)]*\)|[^\n#]*)"
    r"|import[ \t]+(?P<modules>[^\n#]+))",
    re.MULTILINE,
)
"""An import statement."""

_config: Any = _numba_config

# numba's reference counts are off: kernels allocate nothing, and counting the references to a scratch array,
# atomically, at each call of an inner function cost more than the work itself.
_ALWAYS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cfunc_wrapper": True}
_OPTIONS: dict[str, Any] = {**_ALWAYS, "no_cpython_wrapper": True, "pipeline_class": InnerCompiler}
_ENTRY_OPTIONS: dict[str, Any] = {**_ALWAYS, "pipeline_class": EntryCompiler}

ENTRIES: list[Any] = []
"""All entries that have been defined in this process."""

inner: Any = numba.njit(**_OPTIONS)
"""Compile a function that only other kernels call. It becomes part of them and needs no cache.

Neither an inner function nor an entry may allocate: arrays come from the caller.
"""


instruction: Any = intrinsic
"""Define an operation by the LLVM instructions that it stands for."""


def entry(function: FunctionType) -> Any:
    """Compile, on first call, a function that Python calls; its machine code is cached on disk.

    If several processes need it at once, one compiles it and the others wait for the result. Without a writable folder
    the function still works, but each process compiles it again.
    """
    dispatcher = numba.njit(**_ENTRY_OPTIONS)(function)
    if not function.__module__.startswith(f"{PACKAGE}."):
        return dispatcher
    own, shipped = cache_folder(function.__module__), shipped_folder(function.__module__)
    cache = MachineCode(function, [folder for folder in (shipped, own) if folder], own)
    compile_here = dispatcher.compile

    def compile_once(signature: Any) -> Any:
        with cache.alone():
            return compile_here(signature)

    dispatcher._cache, dispatcher.compile = cache, compile_once
    ENTRIES.append(dispatcher)
    return dispatcher


def is_ready(*entries: Any) -> bool:
    """Whether entries can be called without compiling: their machine code is loaded, or is on disk.

    True as well if machine code cannot be cached, because waiting for another process would not help.
    """
    return all(each.signatures or each._cache.is_there() or not each._cache.is_kept for each in entries)


@functools.cache
def cache_folder(module: str) -> Path | None:
    """The folder to which the machine code of a module of this package is written; None if no folder is writable.

    It is the first writable one of NUMBA_CACHE_DIR (if set), the user's cache folder, and a folder of the user's own in
    the temporary folder. The folder that holds the package is never written to.

    Args:
        module: its full dotted name, as in `__name__`.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    bases = [user_cache / "watershed" / "kernels", Path(tempfile.gettempdir(), f"watershed-kernels-{os.getuid()}")]
    if _config.CACHE_DIR:
        bases.insert(0, Path(_config.CACHE_DIR, SUBFOLDER))
    name = _fingerprint(module)
    return next((base / name for base in bases if _is_ours(base / name)), None)


def shipped_folder(module: str) -> Path | None:
    """The folder of a module's machine code within the folder that WATERSHED_KERNELS names; None if it is missing.

    It is only read. Machine code for another processor, version or source lies in a folder with another name.
    """
    shipped = os.environ.get(SHIPPED)
    folder = Path(shipped, SUBFOLDER, _fingerprint(module)) if shipped else None
    return folder if folder and _is_trusted(folder) else None


@functools.cache
def _fingerprint(module: str) -> str:
    """Sixteen hex digits that identify everything that the machine code of a module depends on."""
    processor = _config.CPU_NAME or llvm.get_host_cpu_name()
    features = _config.CPU_FEATURES
    features = llvm.get_host_cpu_features().flatten() if features is None else features
    digest = hashlib.sha256(f"{numba.__version__} {llvm.llvm_version_info} {sys.version} {module}".encode())
    digest.update(f"{processor} {features} {llvm.get_process_triple()}".encode())
    for name, source in sorted(_sources(module).items()):
        digest.update(name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def _sources(module: str) -> dict[str, bytes]:
    """Sources of a module of this package and of all its modules imported by it, directly or not, by full name.

    Raises:
        ModuleNotFoundError: one of them does not exist.
    """
    found: dict[str, bytes] = {}
    waiting = [module, __name__]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name], imported = _read(name)
        waiting += imported
    return found


@functools.cache
def _read(module: str) -> tuple[bytes, list[str]]:
    """The source of a module of this package, and the modules of the package that it imports."""
    file = _file_of(module)
    if file is None:
        raise ModuleNotFoundError(f"{module}, which a kernel imports, is not a module of {PACKAGE}", name=module)
    source = file.read_bytes()
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return source, list(_imported(source.decode(), package))


def _imported(source: str, package: str) -> Iterator[str]:
    """Full names of the modules of PACKAGE that a module in `package` imports."""
    for found in _IMPORT.finditer(source):
        if found["modules"]:
            yield from (name for name in _names(found["modules"]) if name.startswith(f"{PACKAGE}."))
            continue
        target = found["source"]
        if target.startswith("."):
            target = importlib.util.resolve_name(target, package)
        if target != PACKAGE and not target.startswith(f"{PACKAGE}."):
            continue
        # Each name imported from a package is a module or is defined in the package itself.
        names = _names(found["names"])
        modules = [name for each in names if _file_of(name := f"{target}.{each}")]
        yield from modules
        if len(modules) < len(names):
            yield target


def _names(listed: str) -> list[str]:
    """The names in a list of imports, without their aliases."""
    return [words[0] for each in listed.strip("()").split(",") if (words := each.split())]


def _file_of(module: str) -> Path | None:
    """The source file of a module of this package; None if the module does not exist."""
    path = Path(__file__).parent.joinpath(*module.removeprefix(PACKAGE).split("."))
    return next((file for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if file.is_file()), None)


def _is_ours(folder: Path) -> bool:
    """Create the folder if it is missing; return true if this user owns it and can write to it.

    Cached entries are unpickled, so a folder that another user created in /tmp must not be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not _belongs_to({os.getuid()}, folder, folder.parent):
            return False
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _is_trusted(folder: Path) -> bool:
    """Whether only root or this user owns the folder, the shipped folders above it and all files in it."""
    try:
        return _belongs_to({0, os.getuid()}, folder.parent.parent, folder.parent, folder, *folder.iterdir())
    except OSError:
        return False


def _belongs_to(users: set[int], *paths: Path) -> bool:
    """Whether each path belongs to one of these users and is not writable by everybody."""
    found = [path.stat() for path in paths]
    return all(each.st_uid in users and not each.st_mode & stat.S_IWOTH for each in found)
