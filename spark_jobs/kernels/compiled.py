"""How kernels are compiled: without the GIL, once per machine, machine code kept on disk.

numba's own cache is keyed by the file that holds the outermost function and numbers its entries as
they come. Two things follow that a kernel must not suffer: an edit to an inner function in another
file goes unseen, and two processes that compile at once may take each other's number. So the cache
folder here is named after everything that the machine code depends on (the kernel's source and those that it
imports, numba, the processor), and each entry point is called with one signature only: whoever writes an
entry then writes the same bytes, by an atomic rename.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
from numba.core import config as _numba_config
from numba.extending import intrinsic

PACKAGE = "spark_jobs.kernels"

_config: Any = _numba_config

# Without numba's reference counts: kernels allocate nothing, and counting the references to a scratch
# array, atomically, at each call of an inner function cost more than the work itself.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}

inner: Any = numba.njit(**_OPTIONS)
"""Compile a function that only other kernels call: it becomes part of them and needs no cache.

Neither it nor an entry may allocate: arrays come from the caller.
"""


instruction: Any = intrinsic
"""Define an operation by the LLVM instructions that it stands for."""


def entry(function: Callable[..., Any]) -> Any:
    """Compile, on first call, a function that Python calls; its machine code is cached on disk.

    Without a folder that can be written the function works all the same and is compiled anew by
    each process.
    """
    folder = cache_folder(function.__module__.removeprefix(f"{PACKAGE}."))
    if folder is None:
        return numba.njit(**_OPTIONS)(function)
    set_before = _config.CACHE_DIR
    _config.CACHE_DIR = str(folder)
    try:
        return numba.njit(**_OPTIONS, cache=True)(function)
    except RuntimeError:
        # numba finds no source file to stamp, as in some frozen programs.
        return numba.njit(**_OPTIONS)(function)
    finally:
        _config.CACHE_DIR = set_before


@functools.cache
def cache_folder(kernel: str) -> Path | None:
    """The folder of the cached machine code of one module of this package, or None where none can be written.

    The first that can be written of: NUMBA_CACHE_DIR if it is set, the user's cache folder, one of
    the user's own in the temporary folder. The folder that holds the package is never written to.
    """
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    bases = [user_cache / "watershed" / "kernels", Path(tempfile.gettempdir(), f"watershed-kernels-{os.getuid()}")]
    if _config.CACHE_DIR:
        bases.insert(0, Path(_config.CACHE_DIR, "watershed-kernels"))
    name = _fingerprint(kernel)
    return next((base / name for base in bases if _is_ours(base / name)), None)


def _fingerprint(kernel: str) -> str:
    """Sixteen hex digits over all that decides the machine code."""
    digest = hashlib.sha256(numba.__version__.encode())
    digest.update(llvm.get_host_cpu_name().encode())
    digest.update(llvm.get_host_cpu_features().flatten().encode())
    for name, source in sorted(_sources(kernel).items()):
        digest.update(name.encode() + b"\0" + source)
    return digest.hexdigest()[:16]


def _sources(kernel: str) -> dict[str, bytes]:
    """Sources of a kernel and of all kernels that it imports, directly or not."""
    found: dict[str, bytes] = {}
    waiting = [kernel, "compiled"]
    while waiting:
        name = waiting.pop()
        file = Path(__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
        if name in found or not file.is_file():
            continue
        found[name] = file.read_bytes()
        for node in ast.walk(ast.parse(found[name])):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
                inside = (node.module or "").removeprefix(PACKAGE).lstrip(".")
                waiting.append(inside)
                waiting += [f"{inside}.{alias.name}".lstrip(".") for alias in node.names]
    return found


def _is_ours(folder: Path) -> bool:
    """Make the folder if need be; true if this user owns it and can write to it.

    Cached entries are unpickled, so a folder that somebody else put into /tmp must not be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for place in (folder, folder.parent):
            found = place.stat()
            if found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH:
                return False
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True
