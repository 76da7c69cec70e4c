"""Functions that are compiled into their callers.

A call passes seven machine words for each array. For a function that is called for every node of a page and takes a
dozen arrays, passing them takes longer than the function's own work.
"""

from __future__ import annotations

from typing import Any

import numba

from spark_jobs.kernels.compiled import _OPTIONS

inlined: Any = numba.njit(**_OPTIONS, forceinline=True)
"""Like `compiled.inner`, but always inlined, whatever its size; for functions that are called in one or two places."""
