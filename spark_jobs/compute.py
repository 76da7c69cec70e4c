"""Arrow's compute functions, which Arrow defines on import, so that type checkers do not know them."""

from __future__ import annotations

from typing import Any

import pyarrow.compute

pc: Any = pyarrow.compute
