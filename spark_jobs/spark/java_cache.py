"""Java's ahead-of-time cache of Spark: loaded classes and profiles of a session, which later sessions start from.

Spark loads some 20,000 classes. Java 25 and later can keep them, linked, in a file (JEP 483, 514 and 515), which saves
a third of the processor time of a session's start and first writes. The file has some 220 MB and takes a minute of
processor time to make, once for each version of Java and Spark. `watershed make` and `demo` start that in the
background when they have ended; this command makes it at once, for an image of a container for example:

    python -m spark_jobs.spark.java_cache
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import PARTIAL
from catalog.settings import Settings, load_settings
from spark_jobs.spark.failures import one_line
from spark_jobs.spark.java import choose_java

OLDEST = 25
"""First Java that makes the file in one step."""
TRAINING = "WATERSHED_JAVA_CACHE"
"""Environment variable: the file that the session of this process is to be recorded in."""
QUIET = "-Xlog:disable -Xlog:all=error:stderr"
"""Java warns where a cached class does not fit; it then loads the class as it does without the file."""
POLITE = 10
BACKGROUND = "--background"
RECORDER = "spark_jobs.spark.recorded_session"
ROOT = Path(__file__).parents[2]


def cache_options(java_home: Path, version: int | None) -> list[str]:
    """Options of the driver's Java that use the file, or record it; none if there is no file.

    Args:
        java_home: the folder of the launcher, as `choose_java` returns it.
        version: feature release of this Java; None if it is not known.
    """
    if version is None or version < OLDEST:
        return []
    if recorded := os.environ.get(TRAINING):
        return [f"-XX:AOTCacheOutput={recorded}", QUIET]
    path = cache_file(java_home)
    return [f"-XX:AOTCache={path}", QUIET] if path.exists() else []


def cache_file(java_home: Path) -> Path:
    """The file of this Java and the installed Spark; it may not exist.

    Java uses a file only with the JARs that it was made with, of the same sizes and times: a Spark that was installed
    again gets another file. Delta is loaded later, by a class loader that Java keeps no classes of.
    """
    import pyspark

    folder = Path(pyspark.__file__).parent
    jars = sorted((jar.name, jar.stat().st_size, jar.stat().st_mtime_ns) for jar in folder.glob("jars/*.jar"))
    return java_home / f"spark-{_digest(str(folder))}-{_digest(repr(jars))}.aot"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_cache(settings: Settings) -> Path | None:
    """Make the file unless it exists, and wait while another process makes it; None for a Java that is too old.

    Raises:
        WatershedError: Spark does not start.
    """
    java_home, version = choose_java(settings.spark)
    if version < OLDEST:
        return None
    path = cache_file(java_home)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path
        remove_unused(java_home.parent)
        for outdated in path.parent.glob(f"{path.stem.rpartition('-')[0]}-*.aot"):
            outdated.unlink()
        partial = path.with_name(f"{path.name}{PARTIAL}")
        # Java prints its whole command when it writes the file.
        recorded = subprocess.run(
            [sys.executable, "-m", RECORDER],
            cwd=ROOT,
            env={**os.environ, TRAINING: str(partial)},
            capture_output=True,
            text=True,
            check=False,
        )
        if recorded.returncode or not partial.exists():
            raise WatershedError(
                f"{path}: not written: {one_line(recorded.stderr)}", "sessions start without it; free disk or memory"
            )
        partial.replace(path)
    return path


def make_cache_in_background() -> None:
    """Start `make_cache` in a process of low priority that outlives this one; do nothing if none can be started."""
    with suppress(OSError):
        subprocess.Popen(
            [sys.executable, "-m", __name__, BACKGROUND],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def remove_unused(homes: Path) -> None:
    """Remove the launchers in `homes` whose Java no longer exists, with their files."""
    for script in homes.glob("*/bin/java"):
        found = re.search(r"^exec (.+) \"\$@\"$", script.read_text(errors="replace"), re.MULTILINE)
        if found and not Path(shlex.split(found[1])[0]).exists():
            shutil.rmtree(script.parents[1], ignore_errors=True)


def main() -> None:
    """Make the file, and print its path."""
    if BACKGROUND in sys.argv:
        os.nice(POLITE)
    try:
        made = make_cache(load_settings())
    except WatershedError as error:
        print(f"error: {error.cause}\nmend:  {error.mend}", file=sys.stderr)
        sys.exit(2)
    print(made or f"Spark runs on a Java older than {OLDEST} here, which has no such cache")


if __name__ == "__main__":
    main()
