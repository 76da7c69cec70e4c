"""Numbers on the command line, such as 7e9, 6.9B or 4T."""

from __future__ import annotations

import re

from catalog.errors import WatershedError

UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def number(text: str, option: str) -> float:
    """Return the number that `text` stands for: 7e9, 7B, 6.9B, 4T or 1_000.

    Raises:
        WatershedError: `text` is not a number. The error names `option`.
    """
    match = re.fullmatch(r"(?P<digits>[\d._]+(e[+-]?\d+)?)(?P<unit>[KMBT]?)", text.strip(), re.IGNORECASE)
    try:
        if match:
            return float(match["digits"]) * UNITS[match["unit"].upper()]
    except ValueError:
        pass
    raise WatershedError(f"{option}: {text!r} is not a number", "write 7e9, 7B or 4T")
