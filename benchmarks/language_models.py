"""Kills of a run of requests at random moments, and whether the ledger counts what the server has charged.

    uv run --group test python -m benchmarks.language_models [--requests 10000] [--kills 10] [--seed 0]
        [--concurrency 64] [--without-keys]

A process asks a scripted server, which fails at random, and is killed by SIGKILL at random moments. Another process
resumes it each time. At the end, the charges of the server are compared with the ledger, request by request. The server
honours idempotency keys; with `--without-keys` it does not, and a request whose reply may have been lost must not be
sent again: its row is `lost`, and the ledger gives the bounds between which the server's count lies.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from catalog.lake import Lake
from catalog.settings import EndpointSettings, load_settings
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request, Sampling

ROOT = Path(__file__).parent.parent
FAULTS = {"malformed": 0.02, "dropped": 0.02, "dropped_midway": 0.02, "server_error": 0.03, "rate_limited": 0.02}
FAULTS |= {"empty": 0.01, "truncated": 0.01, "deep": 0.005, "binary": 0.005}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the server and the ledger counted.

    Attributes:
        kills: processes that were killed before they had finished.
        server: the server's counts.
        charged: charges by request, as the server counted.
        answered: attempts with a reply by request, as the ledger counts.
        lost: requests without a reply whose charge is not known, as the ledger counts.
        tokens: tokens of replies and prompts in the ledger.
        attempts: attempts in the ledger.
        seconds: duration of all processes.
    """

    kills: int
    server: dict[str, Any]
    charged: Counter[str]
    answered: Counter[str]
    lost: frozenset[str]
    tokens: int
    attempts: int
    seconds: float


def campaign(
    folder: Path, *, requests: int, kills: int, seed: int = 0, concurrency: int = 64, keys: bool = True
) -> Outcome:
    """Run the requests in the lake of the project `folder`, killing `kills` processes; return the counts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "watershed.toml").touch()
    (folder / "faults.json").write_text(json.dumps(FAULTS))
    port_file = folder / "port"
    words = ["--port-file", port_file, "--faults", folder / "faults.json", "--seed", seed]
    words += ["--idempotent"] if keys else []
    server = _start("benchmarks.model_server", *words)
    try:
        while not port_file.exists():
            time.sleep(0.01)
        url = f"http://127.0.0.1:{port_file.read_text()}"
        began, killed = time.monotonic(), 0
        draw = random.Random(seed)
        processes = multiprocessing.get_context("forkserver")
        # What takes seconds to import is imported once, and every process is a fork of that one.
        processes.set_forkserver_preload(["benchmarks.language_models", "openai", "httpx2", "deltalake"])

        def asking() -> BaseProcess:
            process = processes.Process(target=ask_all, args=(folder, url, requests, concurrency, keys))
            process.start()
            return process

        # The moments are drawn over the requests that the server has seen, so that every machine is killed midway.
        for moment in sorted(draw.uniform(0, 0.95) for _ in range(kills)):
            killed += _killed_at(asking(), url, moment * requests, draw)
        last = asking()
        last.join()
        if last.exitcode != 0:
            raise RuntimeError("the last process failed")
        seconds = time.monotonic() - began
        counts = _get(f"{url}/counts")
        charged = Counter(_get(f"{url}/charged"))
    finally:
        server.kill()
        server.wait()
    rows = Lake.of(load_settings(folder)).read("models.requests").to_pylist()
    answered = Counter(row["request"] for row in rows if row["outcome"] == "answered")
    return Outcome(
        kills=killed,
        server=counts,
        charged=charged,
        answered=answered,
        lost=frozenset(row["request"] for row in rows if row["outcome"] == "lost") - answered.keys(),
        tokens=sum((row["prompt_tokens"] or 0) + (row["reply_tokens"] or 0) for row in rows),
        attempts=len(rows),
        seconds=seconds,
    )


def _start(module: str, *words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *map(str, words)], cwd=ROOT)


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.load(response)


def _killed_at(process: BaseProcess, url: str, seen: float, draw: random.Random) -> bool:
    """Kill the process when the server has seen so many requests; return whether it was still running."""
    while process.is_alive() and _get(f"{url}/counts")["requests"] < seen:
        time.sleep(0.005)
    # Somewhere within an exchange, a flush or a commit.
    process.join(draw.uniform(0, 0.3))
    running = process.is_alive()
    process.kill()
    process.join()
    return running


def ask_all(folder: Path, url: str, requests: int, concurrency: int, keys: bool) -> None:
    """Ask the server all requests, as one process of the campaign does."""
    from spark_jobs.language_models.client import Client, converse

    settings = EndpointSettings(
        concurrency=concurrency, attempts=12, timeout=120.0, input_price=1.0, output_price=2.0, idempotent=keys
    )
    endpoint = Endpoint(name="scripted", url=f"{url}/v1", model="scripted", revision="", settings=settings)
    asked = [Request.chat(f"question {number}", settings=Sampling(max_tokens=20)) for number in range(requests)]

    async def run(client: Client) -> None:
        rows = await client.replies(asked)
        if keys and not all(row.answered for row in rows):
            raise RuntimeError("a request was given up")

    # Commits are frequent, so that kills meet them.
    converse(Lake.of(load_settings(folder)), endpoint, run, purpose="campaign", first_delay=0.01, fold=500)


def report(outcome: Outcome, *, keys: bool) -> tuple[list[str], bool]:
    """Return lines that compare the counts, and whether they are as they must be."""
    twice = sum(count > 1 for count in outcome.charged.values())
    equal = outcome.charged == outcome.answered
    within = outcome.answered.keys() <= outcome.charged.keys() <= outcome.answered.keys() | outcome.lost
    lines = [
        f"{outcome.kills} kills, {outcome.seconds:.0f} s; faults: {outcome.server['faults']}",
        f"server: {outcome.server['seen']:,} attempts arrived, {sum(outcome.charged.values()):,} charges of "
        f"{len(outcome.charged):,} requests, {outcome.server['tokens']:,} tokens",
        f"ledger: {outcome.attempts:,} attempts recorded, {sum(outcome.answered.values()):,} replies of "
        f"{len(outcome.answered):,} requests, {len(outcome.lost):,} lost, {outcome.tokens:,} tokens",
        f"charged twice: {twice}; request by request, charges and replies "
        + ("are equal" if equal else "differ" if keys else f"differ by lost ones only: {within}"),
    ]
    sound = twice == 0 and (equal and outcome.tokens == outcome.server["tokens"] if keys else within)
    return lines, sound and outcome.server["seen"] <= outcome.attempts


def main() -> None:
    """Run the campaign, print the counts, and exit with 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--without-keys", action="store_true")
    options = parser.parse_args()
    keys = not options.without_keys
    with tempfile.TemporaryDirectory() as folder:
        outcome = campaign(
            Path(folder),
            requests=options.requests,
            kills=options.kills,
            seed=options.seed,
            concurrency=options.concurrency,
            keys=keys,
        )
    lines, sound = report(outcome, keys=keys)
    print("\n".join(lines))
    sys.exit(0 if sound else 1)


if __name__ == "__main__":
    main()
