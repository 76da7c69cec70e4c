"""Pictures a second, beside img2dataset: both download the same made pictures from a server on this machine.

    uv run --group bench python -m benchmarks.pictures [--pictures 2000] [--rounds 3] [--delay 0.02] [--no-peer]

The server gives JPEGs of 512 x 384 pixels and waits `delay` seconds before each, as hosts far away do. One in twenty
addresses answers 503 the first time. Both downloaders have 64 addresses in flight and store the bytes as they are; ours
also decodes each picture, honours robots.txt and writes a journal. img2dataset 1.47.0 is run by `uvx` in an environment
of its own, with one process and 64 threads, no resizing, and one retry. Each round is run by both in turn, and the
fastest of each is printed, with the pictures that arrived.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web
from PIL import Image

from spark_jobs.pictures.download import download
from spark_jobs.pictures.fetch import Wanted
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore

PEER = "img2dataset==1.47.0"
IN_FLIGHT = 64
DIFFERENT = 200
"""Different pictures; address n has picture n modulo this, with n written into its last bytes."""


def jpegs() -> list[bytes]:
    """Made pictures of about 60 kB."""
    made = []
    for seed in range(DIFFERENT):
        draw = np.random.default_rng(seed)
        coarse = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        written = io.BytesIO()
        Image.fromarray(coarse).resize((512, 384), Image.Resampling.BICUBIC).save(written, "JPEG", quality=95)
        made.append(written.getvalue())
    return made


@contextmanager
def host(delay: float) -> Generator[str]:
    """Run the server in a thread; yield its address."""
    made, asked, ready = jpegs(), Counter[str](), threading.Event()
    loop, found = asyncio.new_event_loop(), list[str]()

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        name = request.path.rsplit("/", 1)[-1].removesuffix(".jpg")
        if not name.isdigit():
            return web.Response(status=404)
        asked[request.path] += 1
        if int(name) % 20 == 0 and asked[request.path] == 1:
            return web.Response(status=503)
        # Bytes after the end of a JPEG are not read, and make each picture another one.
        return web.Response(body=made[int(name) % DIFFERENT] + name.encode(), content_type="image/jpeg")

    async def serve() -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        ready.set()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=work, daemon=True).start()
    ready.wait(60)
    yield found[0]
    loop.call_soon_threadsafe(loop.stop)


def ours(urls: list[str], folder: Path) -> int:
    """Download by Watershed; returns the pictures that arrived."""
    place = urls[0].split("/")[2]
    rules = FetchRules(concurrency=IN_FLIGHT, per_host=IN_FLIGHT, internal=(place,), first_pause=0.05)
    found = download([Wanted(url=url) for url in urls], PictureStore(folder), folder / "journal.jsonl", rules)
    return sum(row["outcome"] == "ok" for row in found.values())


def peer(urls: list[str], folder: Path) -> int:
    """Download by img2dataset; returns the pictures that arrived."""
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"url": urls}), folder / "urls.parquet")
    words = {
        "url_list": folder / "urls.parquet",
        "input_format": "parquet",
        "url_col": "url",
        "output_folder": folder / "out",
        "output_format": "files",
        "processes_count": 1,
        "thread_count": IN_FLIGHT,
        "resize_mode": "no",
        "skip_reencode": True,
        "retries": 1,
        "enable_wandb": False,
    }
    command = ["uvx", "--from", PEER, "img2dataset", *(f"--{name}={value}" for name, value in words.items())]
    subprocess.run(command, check=True, capture_output=True)
    return len(list((folder / "out").rglob("*.jpg")))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--delay", type=float, default=0.02)
    parser.add_argument("--no-peer", action="store_true")
    asked = parser.parse_args()
    workers = {"watershed": ours} | ({} if asked.no_peer else {"img2dataset": peer})
    best: dict[str, tuple[float, int]] = {}
    for round_number in range(asked.rounds):
        for name, work in workers.items():
            with host(asked.delay) as url, tempfile.TemporaryDirectory() as scratch:
                # Warm: the environment of the peer is installed, and its modules are compiled.
                if name == "img2dataset" and round_number == 0:
                    peer([f"{url}/a/{number}.jpg" for number in range(10)], Path(scratch) / "warm")
                urls = [f"{url}/p/{number}.jpg" for number in range(asked.pictures)]
                begin = time.perf_counter()
                arrived = work(urls, Path(scratch) / name)
                seconds = time.perf_counter() - begin
                best[name] = min(best.get(name, (seconds, arrived)), (seconds, arrived))
                shutil.rmtree(Path(scratch) / name)
    for name, (seconds, arrived) in best.items():
        share = arrived / asked.pictures
        print(
            f"{name:12} {arrived / seconds:8.0f} pictures/s   {arrived:,} of {asked.pictures:,} arrived ({share:.1%})"
        )


if __name__ == "__main__":
    main()
