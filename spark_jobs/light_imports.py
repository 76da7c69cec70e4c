"""Keeps Arrow and numba from importing large packages that they only look for.

The first `pyarrow.array` of a process imports pandas, to recognise a Series, and the first kernel that is loaded
imports scipy, to link its linear algebra, and cffi. They are installed, `watershed curate` uses none, and together
they took a quarter of the processor time of a run on a few documents.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from importlib.abc import MetaPathFinder


@cache
def light_imports() -> None:
    """Let Arrow and numba look for pandas and scipy while these cannot be found; call it before the first kernel.

    Only for a process that gives `pyarrow.array` no pandas Series before anything is converted to pandas, and that
    compiles no linear algebra and no call of cffi by numba. `to_pandas` imports pandas all the same when it is called,
    and an `import` of one by other code works as ever. A package that is imported already is left alone.
    """
    import pyarrow as pa

    with _not_found("pandas"):
        pa.array([0])
    # Imported for what they look for: linear algebra, and the C functions of cffi.
    with _not_found("scipy"), _not_found("cffi"):
        import numba.core.typing.cffi_utils
        import numba.np.arraymath  # noqa: F401


class _Absent(MetaPathFinder):
    """Answers an import of one package as if it was not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Refuse the package, and leave all others to the next finder."""
        if fullname.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextmanager
def _not_found(package: str) -> Generator[None]:
    if package in sys.modules:
        yield
        return
    absent = _Absent(package)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
