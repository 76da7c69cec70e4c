"""The results folder of a run: claimed by one process, and holding the files of one run.

`manifest.json` names the recipe, the inputs and the files of the run that is complete. A folder that holds a file of a
result's name that no run wrote is refused, and files of an earlier run that the next one does not write are removed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.curate.inputs import Source
from spark_jobs.recipes.recipe import Recipe

WORK = ".curate"
"""Folder of intermediate results, in the results folder."""
MANIFEST = "manifest.json"
ALWAYS = ("kept", "verdicts", "duplicates", "index")
"""Names of the Parquet files that every run writes."""
SOMETIMES = ("contamination", "contaminated", "scores", "buckets")
"""Names of the Parquet files of runs that compare with evaluations or select."""
RESULTS = tuple(f"{name}.parquet" for name in (*ALWAYS, *SOMETIMES))


@contextmanager
def claimed(out: Path) -> Generator[None]:
    """Create the results folder, and keep other runs out of it until the block ends.

    Raises:
        WatershedError: The folder cannot be created or written, another run writes to it, or it holds a file of a
            result's name that no run wrote.
    """
    if not (out / WORK).exists():
        _refuse_foreign(out)
    try:
        (out / WORK).mkdir(parents=True, exist_ok=True)
        lock = (out / WORK / "lock").open("w")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise WatershedError(
            f"{out}: {error.strerror}", "choose a results folder that can be created and written"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WatershedError(
                f"{out}: another run writes here", "wait for its end, or choose another folder"
            ) from None
        yield


def publish(  # noqa: PLR0917 - what the manifest says
    out: Path, work: Path, made: Sequence[str], recipe: Recipe, sources: Sequence[Source], against: Sequence[str]
) -> None:
    """Move finished files from `work` to the results folder, remove those of an earlier run, and write the manifest.

    Args:
        out: The results folder.
        work: Where the files are, as NAME.parquet.
        made: Their names.
        recipe: The recipe that made them.
        sources: The inputs that they were made from.
        against: The earlier runs that they were compared with.
    """
    # A run that is killed from here on leaves WORK and no manifest; the next run replaces all files.
    (out / MANIFEST).unlink(missing_ok=True)
    for name in (*ALWAYS, *SOMETIMES):
        if name in made:
            (work / f"{name}.parquet").replace(out / f"{name}.parquet")
        else:
            (out / f"{name}.parquet").unlink(missing_ok=True)
    described = {
        "recipe": recipe.name,
        "recipe_fingerprint": recipe.fingerprint(),
        "inputs": [{"path": str(source.path), "bytes": source.bytes} for source in sources],
        "against": list(against),
        "files": {f"{name}.parquet": (out / f"{name}.parquet").stat().st_size for name in made},
    }
    write_whole(out / MANIFEST, (json.dumps(described, indent=1) + "\n").encode())
    shutil.rmtree(out / WORK)


def _refuse_foreign(out: Path) -> None:
    """Refuse a folder with a file of a result's name, or a manifest, that no run wrote.

    Runs before manifests were written left all files of ALWAYS, and possibly others.
    """
    found = [name for name in RESULTS if (out / name).exists()]
    if (out / MANIFEST).exists():
        known = _files_in(out / MANIFEST)
        foreign = [MANIFEST] if known is None else [name for name in found if name not in known]
    else:
        foreign = [] if all(f"{name}.parquet" in found for name in ALWAYS) else found
    if foreign:
        raise WatershedError(
            f"{out}: {foreign[0]} is not from a run of curate", "choose another folder, or move the file away"
        )


def _files_in(manifest: Path) -> list[str] | None:
    """Return the names of the files that a manifest lists; None if `publish` did not write it."""
    try:
        described = json.loads(manifest.read_bytes())
        return list(described["files"]) if "recipe_fingerprint" in described else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
