"""Functions that become part of the one place that calls them.

A call hands over seven words for each array. Where one is made for every node of a page and takes a dozen arrays, that
takes longer than what is called does.
"""

from __future__ import annotations

from typing import Any

import numba

from spark_jobs.kernels.compiled import _OPTIONS

inlined: Any = numba.njit(**_OPTIONS, forceinline=True)
"""As `compiled.inner`, but compiled into its caller, however large; for what is called in one place or two."""
