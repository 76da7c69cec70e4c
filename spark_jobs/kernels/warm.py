"""Compile kernels ahead of their first use: `python -m spark_jobs.kernels.warm [MODULE ...] [--out FOLDER]`.

Several processes compile one module each; the modules that take longest come first. Machine code that exists already is
only loaded. With `--out`, the machine code is written to a folder that may be copied to machines with the same kind of
processor, for example in a container image. There, the environment variable WATERSHED_KERNELS must name the folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from spark_jobs.kernels import exercises
from spark_jobs.kernels.exercises import EXERCISES, sample

POLITE = 5
"""The `nice` value of a background process, which has a low priority."""


def warm(modules: Sequence[str] = (), processes: int | None = None) -> Iterator[tuple[str, float]]:
    """Compile modules in separate processes.

    Args:
        modules: names in EXERCISES, in the order in which they are compiled; by default all.
        processes: number of processes; by default the number of cores.

    Yields:
        each module when it is done, and its processor time in seconds.
    """
    wanted = list(modules or EXERCISES)
    workers = max(1, min(processes or os.cpu_count() or 1, len(wanted)))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed([pool.submit(exercise, name) for name in wanted]):
            module, seconds = future.result()
            if folder := _markers():
                (folder / module).touch()
            yield module, seconds


def is_warm(modules: Sequence[str] = ()) -> bool:
    """Whether the modules (by default all) have been compiled for this version of the code on this machine."""
    folder = _markers()
    return folder is not None and all((folder / module).exists() for module in modules or EXERCISES)


def _markers() -> Path | None:
    """The folder with an empty file for each module that has been compiled; None if no folder is writable."""
    from spark_jobs.kernels.compiled import cache_folder

    # The exercises import every module, so their folder is named after the sources of all of them.
    return cache_folder(exercises.__name__)


def exercise(module: str) -> tuple[str, float]:
    """Compile one module in this process; return its name and the processor time in seconds."""
    began = time.process_time()
    EXERCISES[module](sample())
    return module, time.process_time() - began


def warm_in_background(modules: Sequence[str] = (), processes: int | None = None) -> subprocess.Popen[bytes] | None:
    """Start compilation in another process, which continues after this one ends; None if none can be started.

    Any number of these processes may run. One of them compiles each entry, and the others wait for its machine code.
    """
    more = [] if processes is None else ["--processes", str(processes)]
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-m", __name__, *modules, *more, "--background"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m spark_jobs.kernels.warm", description=__doc__.split("\n\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="all unless named")
    parser.add_argument("--processes", type=int, help="as many as there are cores unless given")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write machine code there, to be copied elsewhere")
    parser.add_argument("--background", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.modules) - EXERCISES.keys():
        parser.error(f"no kernels are called {', '.join(sorted(unknown))}; there are {', '.join(sorted(EXERCISES))}")
    if chosen.background:
        if is_warm(chosen.modules):
            return
        os.nice(POLITE)
    if chosen.out:
        # The compiling processes read these variables when they start.
        os.environ["NUMBA_CACHE_DIR"] = str(chosen.out.absolute())
        os.environ.pop("WATERSHED_KERNELS", None)
    for module, seconds in warm(chosen.modules, chosen.processes):
        print(f"{module:<18}{seconds:6.1f} s", flush=True)


if __name__ == "__main__":
    main()
