"""dolma, imported without its output: it looks for a tokenizer on the network, and its deduper logs every file."""

from __future__ import annotations

import importlib
import io
import os
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


def import_dolma() -> Any:
    """The package; its taggers are imported too."""
    os.environ["RUST_LOG"] = "error"
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        return importlib.import_module("dolma")
