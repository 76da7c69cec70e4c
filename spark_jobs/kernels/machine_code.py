"""The cache of an entry's machine code on disk: read from several folders, and written by one process at a time.

numba's own cache names its folder after the path of the source file and its files after a line number, so another copy
of the same program compiles everything again. Here a folder is named after everything that the machine code depends on
(`compiled.cache_folder`), so it may be copied to another path or machine.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FunctionType
from typing import Any

from numba.core import caching


class _Names(caching.CompileResultCacheImpl):
    """The names and the contents of cache files, as numba's interface requires them."""

    def __init__(self, function: FunctionType) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._py_file = function.__code__.co_filename
        self._filename_base = f"{function.__qualname__}.py{sys.version_info[0]}{sys.version_info[1]}"

    @property
    def _locator(self) -> _Names:
        """The object from which numba reads the path of the source file for a warning."""
        return self


class MachineCode(caching.FunctionCache):
    """The cached machine code of one entry, which is called with one signature only."""

    def __init__(self, function: FunctionType, folders: list[Path], own: Path | None) -> None:
        """Read from `folders`, in this order, and write to `own`, which may be one of them; None to write nothing."""
        self._name, self._py_func, self._impl = repr(function), function, _Names(function)
        self._files = [self._file(folder) for folder in folders]
        self._own = own
        self.is_kept = own is not None
        """Whether machine code can be written."""
        self._cache_path = str(own)
        # The folder's name identifies the source, so the file's name does not have to.
        self._data = f"{self._impl.filename_base}.1.nbc"
        self._folders = folders
        self.enable()

    def _file(self, folder: Path) -> Any:
        return caching.IndexDataCacheFile(str(folder), self._impl.filename_base, "")

    def is_there(self) -> bool:
        """Whether one of the folders contains the machine code."""
        return any((folder / self._data).exists() for folder in self._folders)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load the machine code for a signature; None if no folder contains it."""
        target_context.refresh()
        key = self._index_key(sig, target_context.codegen())
        for file in self._files:
            # A shipped file may have been truncated when it was copied.
            with suppress(OSError, EOFError, pickle.UnpicklingError):
                data = file.load(key)
                if data is not None:
                    return self._impl.rebuild(target_context, data)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write machine code to the cache. If that fails, the next process compiles it again."""
        if self._own is not None and self._impl.check_cachable(data):
            with suppress(OSError):
                key = self._index_key(sig, data.codegen)
                self._file(self._own).save(key, self._impl.reduce(data))

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold a lock so that no other process compiles this entry, unless its machine code already exists."""
        if self._own is None or self.is_there():
            yield
            return
        try:
            lock = os.open(self._own / f"{self._impl.filename_base}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            # On a file system without locks, two processes may compile the same entry, which is harmless.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
