"""Delta tables whose files Arrow reads without Python, or closes before the interpreter ends.

delta-rs hands Arrow its files as Python objects. Threads of Arrow may close some of them when the interpreter already
ends. A thread that asks for the interpreter then is ended by Python in the middle of C++ code, which aborts the
process with SIGABRT although its work is done. Files in a folder are therefore opened by Arrow itself, which is faster
too. Those in an object store are opened by delta-rs, which has the keys, and the end of the interpreter waits for them.
"""

from __future__ import annotations

import atexit
import time
import weakref
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileSystem, LocalFileSystem, PyFileSystem, SubTreeFileSystem

CLOSING_S = 5.0
"""Most seconds that the end of the interpreter waits for files of an object store to be closed."""


class NativeTable(DeltaTable):
    """A Delta table with another default for `filesystem` in `to_pyarrow_dataset` and `to_pyarrow_table`."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self._place = path

    def to_pyarrow_dataset(
        self, partitions: Any = None, filesystem: str | FileSystem | None = None, *arguments: Any, **options: Any
    ) -> Any:
        """Return the files as a dataset, as `DeltaTable.to_pyarrow_dataset` does."""
        return super().to_pyarrow_dataset(partitions, filesystem or self._files(), *arguments, **options)

    def _files(self) -> FileSystem:
        if "://" not in self._place:
            return SubTreeFileSystem(self._place, LocalFileSystem())
        sizes = self._table.get_add_file_sizes()
        return PyFileSystem(_Handler.from_table(self._table, self._storage_options, sizes))


class _OpenFile:
    """A file of delta-rs that can be referred to weakly: it exists for as long as Arrow has it open."""

    def __init__(self, file: Any) -> None:
        self._file = file
        _OPEN.add(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


_OPEN: weakref.WeakSet[_OpenFile] = weakref.WeakSet()


class _Handler(DeltaStorageHandler):  # ty: ignore[unsupported-base]
    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(_OpenFile(self._handler.open_input_file(path)), mode="r")


@atexit.register
def _wait_until_closed() -> None:
    until = time.monotonic() + CLOSING_S
    while len(_OPEN) and time.monotonic() < until:
        # Arrow's threads get the interpreter meanwhile.
        time.sleep(0.001)
