"""How long Dagster's pages take on a wide project: 60 assets of 2,000 partitions each.

    uv run python -m benchmarks.ui_pages [--assets 60] [--partitions 2000] [--reported 3] [--visits 5]

A project is made in a temporary folder, with assets and checks by the same decorators as those of Watershed, in
groups of ten, each reading the one before it. All partitions of `--reported` assets are reported as made, and twenty of
every other asset. A headless Chromium visits the graph, the page of an asset, its partitions and its checks. The time
of a visit is that from the request until the text that was asked for is on the screen; the first visit of each page,
which loads Dagster's scripts, is printed beside the median of the others.

Needs Chromium (Debian's package `chromium`) and the dependency group `test`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import dagster as dg

MODULE = '''
"""Assets of a wide project, made by benchmarks.ui_pages."""

import dagster as dg

from catalog.columns import integer, text
from catalog.contract import Contract
from dagster_project.engine.checks import table_checks
from dagster_project.engine.partitions import Cut
from dagster_project.engine.table_asset import table_asset

KEYS = [f"part-{{number:05d}}" for number in range({partitions})]
CUT = Cut(dg.DynamicPartitionsDefinition(name="wide"), lambda key: {{"part": key}}, lambda columns: columns["part"])


def declared(number: int) -> Contract:
    return Contract(
        name=f"group{{number // 10}}.table{{number:02d}}",
        description=f"Table {{number}} of the wide project.",
        columns=(text("part", "The partition."), integer("x", "A number.")),
        primary_key=("part", "x"),
        partition_by=("part",),
        upstream=(f"group{{(number - 1) // 10}}.table{{number - 1:02d}}",) if number else (),
    )


CONTRACTS = [declared(number) for number in range({assets})]


def asset(contract: Contract) -> dg.AssetsDefinition:
    def body(making):
        """Makes nothing: only the pages are of interest."""
        return {{}}

    body.__name__ = contract.table
    return table_asset(contract, code_version="1", cut=CUT, keys=lambda settings: KEYS)(body)


defs = dg.Definitions(
    assets=[asset(contract) for contract in CONTRACTS],
    asset_checks=[table_checks(contract, made=True) for contract in CONTRACTS],
)
'''
FEW = 20
LIMIT_S = 2.0


def main() -> None:
    """Run the benchmark and print a line for each page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=60)
    parser.add_argument("--partitions", type=int, default=2000)
    parser.add_argument("--reported", type=int, default=3)
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "wide.py").write_text(MODULE.format(assets=options.assets, partitions=options.partitions))
        (home / "watershed.toml").write_text("")
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
        began = time.perf_counter()
        report(home, options.assets, options.partitions, options.reported)
        print(f"{options.assets} assets of {options.partitions:,} partitions; events in {_since(began):.0f} s")
        with serving(home) as address:
            slow = [name for name, seconds in visit(address, options).items() if seconds > LIMIT_S]
    print(f"slower than {LIMIT_S:g} s: {', '.join(slow) or 'none'}")
    sys.exit(1 if slow else 0)


def report(home: Path, assets: int, partitions: int, reported: int) -> None:
    """Tell an instance in `home` of the partitions, and of those that count as made."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        keys = [f"part-{number:05d}" for number in range(partitions)]
        instance.add_dynamic_partitions("wide", keys)
        for number in range(assets):
            name = [f"group{number // 10}", f"table{number:02d}"]
            for key in keys if number < reported else keys[:FEW]:
                metadata = {"dagster/row_count": 7, "seconds": 0.1}
                instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=key, metadata=metadata))


def visit(address: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the median time of every page, in seconds."""
    from playwright.sync_api import sync_playwright

    last = f"part-{options.partitions - 1:05d}"
    pages = {
        "graph": ("/asset-groups/", "group0"),
        "graph of a group": ("/locations/wide/asset-groups/group0", "table00"),
        "asset": ("/assets/group0/table00", "Table 0 of the wide project."),
        "partitions": ("/assets/group0/table00?view=partitions", f"{options.partitions:,} Partitions Selected"),
        "one partition": (f"/assets/group0/table00?view=partitions&partition={last}", "Latest materialization"),
        "checks": ("/assets/group0/table00?view=checks", "up_to_date"),
    }
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    found: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1700, "height": 1000})
        page.set_default_timeout(120_000)
        print(f"{'page':<18} first, s  median, s")
        for name, (path, text) in pages.items():
            times: list[float] = []
            for _ in range(options.visits + 1):
                page.goto("about:blank")
                began = time.perf_counter()
                page.goto(address + path, wait_until="commit")
                page.get_by_text(text).first.wait_for(state="visible")
                times.append(_since(began))
            found[name] = median(times[1:])
            print(f"{name:<18} {times[0]:>8.2f}  {found[name]:>9.2f}")
        browser.close()
    return found


@contextmanager
def serving(home: Path) -> Generator[str]:
    """Run Dagster's web server on the wide project until the block ends, and return its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", "-m", "wide", "-d", str(home), "--port", str(port)],
        cwd=home,
        env={**os.environ, "DAGSTER_HOME": str(home), "WATERSHED_PROJECT": str(home), "PYTHONPATH": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=1)
                break
            except OSError:
                time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _since(began: float) -> float:
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
