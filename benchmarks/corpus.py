"""A larger real crawl: the documentation that Debian ships as packages, as WARC files.

    python -m benchmarks.corpus DIR [--pages N]

Downloads some ninety packages (`apt-get download`, nothing is installed), unpacks them, and deals their HTML pages,
in an order that a hash decides, to WARC files of 2,000 pages. A dozen languages, manuals of programs and libraries,
references, and whole books. A run that was interrupted goes on where it stopped: what is there is not fetched,
unpacked or written again. The same packages give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import click

from catalog.errors import WatershedError

PAGES = 60_000
PAGES_PER_FILE = 2_000
MOST_BYTES = 10_000_000
"""A longer file is not counted as a page, because archive readers would skip it."""
SUFFIXES = (".html", ".htm", ".xhtml")
FAMILIES = {
    "": "python3-doc debian-handbook r-doc-html openjdk-17-doc rust-doc erlang-doc sqlite3-doc python-numpy-doc "
    "python-pandas-doc python-django-doc python-sympy-doc qtbase5-doc-html qttools5-doc-html qtdeclarative5-doc-html "
    "ghc-doc cmake-doc octave-doc installation-guide-amd64 apache2-doc bash-doc vim-doc lilypond-doc-html tcl8.6-doc "
    "perl-doc libgtk-3-doc libglib2.0-doc fp-docs golang-doc doc-debian proftpd-doc exim4-doc-html w3-recs hyperspec "
    "jargon-text gnome-user-docs postgresql-doc linux-doc",
    "python3.11-doc postgresql-doc-15 linux-doc-6.1 ruby3.1-doc libboost1.74-doc": "",
    "aptitude-doc-": "en fr es it ja ru fi cs nl",
    "developers-reference": " -de -fr -ja -ru -it",
    "maint-guide": " -de -fr -es",
    "debian-reference": " -en -fr -de -es -it -ja -pt -pt-br -zh-cn",
    "debian-faq": " -de -fr -it -ja -ru -nl",
    "libreoffice-help-": "common en-us de fr es ru ja zh-cn pl it",
    "gimp-help-": "en fr de es ja ru",
}
"""Packages, by the prefix of their names."""


@dataclass(frozen=True)
class Source:
    """A page in an unpacked package."""

    package: str
    path: Path
    place: str
    """Path within the package."""

    @property
    def url(self) -> str:
        """An address of its own, in the domain that is kept for examples."""
        return f"https://{self.package}.debian.example/{quote(self.place)}"

    @property
    def key(self) -> bytes:
        """Its place in the crawl."""
        return hashlib.blake2b(f"{self.package}/{self.place}".encode("utf-8", "surrogateescape")).digest()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pages", default=PAGES, show_default=True, help="The largest number of pages.")
@click.option("--packages", default="", help="Other packages, separated by commas.")
def main(folder: Path, pages: int, packages: str) -> None:
    """Write a crawl of Debian's documentation to FOLDER."""
    try:
        files = build(folder, pages, [name for name in packages.split(",") if name] or package_names())
    except WatershedError as error:
        click.echo(f"error: {error.cause}\n  try: {error.mend}", err=True)
        sys.exit(2)
    click.echo(f"{len(files)} WARC files in {folder / 'warc'}")


def package_names() -> list[str]:
    """All packages, in order."""
    names = {first + last for first, rest in FAMILIES.items() if first and rest for last in ["", *rest.split(" ")]}
    plain = f"{FAMILIES['']} {' '.join(first for first, rest in FAMILIES.items() if first and not rest)}"
    return sorted({*plain.split(), *(name for name in names if not name.endswith("-"))})


def build(folder: Path, pages: int, packages: Sequence[str]) -> list[Path]:
    """Fetch, unpack and write; returns the WARC files.

    Raises:
        WatershedError: this is not a Debian system, no package could be downloaded, or the disk is full.
    """
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            raise WatershedError(
                f"{program} is not on this machine: this corpus is made of Debian packages",
                "run it on Debian or Ubuntu, or pass a folder of WARC files to the benchmark with --corpus",
            )
    try:
        unpacked = [place for name in packages if (place := fetch(name, folder))]
        if not unpacked:
            raise WatershedError(
                f"none of {len(packages)} packages could be downloaded", "run `apt-get update`, and check the network"
            )
        return write_archives(list(sources(unpacked)), folder / "warc", pages)
    except OSError as error:
        raise WatershedError(
            f"{folder}: {error.strerror or error}", "choose a folder that can be written to"
        ) from error


def fetch(package: str, folder: Path) -> Path | None:
    """Download and unpack a package; return None if no package has that name."""
    target = folder / "packages" / package
    if target.is_dir():
        return target
    unfinished = target.with_name(f".{package}.{os.getpid()}")
    (unfinished / "files").mkdir(parents=True)
    try:
        click.echo(f"\r\x1b[K{package}", nl=False, err=True)
        download = subprocess.run(
            ["apt-get", "download", package], cwd=unfinished, capture_output=True, text=True, check=False
        )
        archives = list(unfinished.glob("*.deb"))
        if download.returncode or not archives:
            click.echo(
                f"\r\x1b[K{package}: left out, {(download.stderr.strip().splitlines() or ['not found'])[-1]}", err=True
            )
            return None
        for archive in archives:
            subprocess.run(["dpkg", "-x", archive.name, "files"], cwd=unfinished, capture_output=True, check=True)
            archive.unlink()
        (unfinished / "files").rename(target)
        return target
    except subprocess.CalledProcessError as error:
        raise WatershedError(
            f"{package} cannot be unpacked: {error.stderr.decode().strip()}", "run it again"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def sources(packages: Sequence[Path]) -> Iterator[Source]:
    """Every page of every package; links are not followed."""
    for package in packages:
        for path in sorted(package.rglob("*")):
            if path.name.endswith(SUFFIXES) and path.is_file() and not path.is_symlink():
                yield Source(package.name, path, path.relative_to(package).as_posix())


def write_archives(found: list[Source], folder: Path, pages: int) -> list[Path]:
    """The first `pages` by hash, PAGES_PER_FILE a file."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = sorted(found, key=lambda source: source.key)[:pages]
    parts = [chosen[start : start + PAGES_PER_FILE] for start in range(0, len(chosen), PAGES_PER_FILE)]
    names = [f"DEBIAN-{number:05d}.warc.gz" for number in range(len(parts))]
    identity = [hashlib.sha256(b"".join(source.key for source in part)).hexdigest() for part in parts]
    note = folder / "made.json"
    made: dict[str, str] = json.loads(note.read_text("utf-8")) if note.exists() else {}
    for stale in set(made) - set(names):
        (folder / stale).unlink(missing_ok=True)
    made = {name: made[name] for name in names if name in made}
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        if made.get(name) == identity[number] and (folder / name).exists():
            continue
        click.echo(f"\r\x1b[Karchive {number + 1} of {len(parts)}", nl=False, err=True)
        write_archive(folder / name, part, number * PAGES_PER_FILE)
        made[name] = identity[number]
        fresh = note.with_name(f"{note.name}.part")
        fresh.write_text(json.dumps(made, indent=1), encoding="utf-8")
        fresh.replace(note)
    click.echo(f"\r\x1b[K{len(chosen):,} of {len(found):,} pages", err=True)
    return [folder / name for name in names]


def write_archive(path: Path, part: Sequence[Source], first: int) -> None:
    """One WARC file, whole or not at all."""
    from spark_jobs.demo.crawl.warc import gzip_member, http_message, response, warcinfo

    unfinished = path.with_name(f"{path.name}.part")
    with unfinished.open("wb") as file:
        file.write(gzip_member(warcinfo(path.name, "documentation packages of Debian", index=first)))
        for place, source in enumerate(part):
            if source.path.stat().st_size > MOST_BYTES:
                continue
            payload = source.path.read_bytes()
            headers = (("Content-Type", "text/html"), ("Content-Length", str(len(payload))))
            message = http_message("200 OK", headers, payload)
            record = response(source.url, message, payload, file_name=path.name, index=first + place)
            file.write(gzip_member(record))
    unfinished.replace(path)


if __name__ == "__main__":
    main()
