"""Packages that only some work needs: looked for before the work begins, not at its end."""

from __future__ import annotations

from importlib.util import find_spec

from trainers.process.errors import TrainerError


def need(*packages: str, work: str) -> None:
    """Check that packages are installed, without importing them.

    Args:
        packages: names of top-level modules, which are also their names for pip.
        work: what needs them, such as "the pictures".

    Raises:
        TrainerError: a package is missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        names = " and ".join(missing)
        raise TrainerError(f"{work} needs {names}, not installed here", f"pip install {' '.join(missing)}")
