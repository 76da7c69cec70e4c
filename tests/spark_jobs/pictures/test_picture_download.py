"""The downloader of pictures against a real server that does what hosts do."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver
from picture_server import HUGE, PictureHost, picture, picture_host

from catalog.errors import WatershedError
from spark_jobs.pictures.addresses import BadAddress, PublicResolver, check_address, host_of, is_public
from spark_jobs.pictures.download import Journal, download
from spark_jobs.pictures.fetch import Wanted
from spark_jobs.pictures.placeholders import repeated_bytes
from spark_jobs.pictures.robots import Robots, Rule, forbids_training, read_robots
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore

LIMITS: dict[str, Any] = {"first_pause": 0.25, "largest": 3_000_000, "attempts": 3}


@pytest.fixture(scope="module")
def host() -> Generator[PictureHost]:
    with picture_host() as started:
        yield started


class Downloaded:
    """One download of everything that a host can do."""

    def __init__(self, host: PictureHost, folder: Path) -> None:
        self.host, self.store = host, PictureStore(folder / "pictures")
        self.pauses: list[float] = []
        internal = host.url.replace("127.0.0.1", "localhost")
        self.addresses = {
            "good": "/p/1",
            "twice": "/p/1",
            "also": "/p/2",
            "moved": "/moved/2",
            "circle": "/moved/9",
            "gone": "/gone",
            "busy": "/busy/3",
            "error": "/error/4",
            "broken": "/broken",
            "wrong": "/wrong",
            "liar": "/liar",
            "huge": "/huge",
            "said": "/huge?said=1",
            "cut": "/cut",
            "short": "/short",
            "bomb": "/bomb",
            "noai": "/noai",
            "noimageai": "/noimageai",
            "others": "/others/5",
            "private": "/private/a.png",
            "exception": "/private/but/this",
            "plain": "/plain",
            "flickr": "/flickr",
            "inside": "/to?url=http://10.1.2.3/a.png",
            "metadata": "/to?url=http://169.254.169.254/latest/",
            "named": f"/to?url={internal}/p/1",
            "file": "/to?url=file:///etc/passwd",
        }
        wanted = [Wanted(url=host.url + path) for path in self.addresses.values()]
        wanted += [Wanted(url=f"{host.url}/p/6", sha256=hashlib.sha256(picture(6)).hexdigest())]
        wanted += [Wanted(url=f"{host.url}/p/8", sha256="0" * 64), Wanted(url="http://127.0.0.1:9/a.png")]
        wanted += [Wanted(url="http://nowhere.invalid/a.png"), Wanted(url="gopher://example.org/a.png")]
        self.rules = FetchRules(internal=(host.place,), contact="someone@example.org", **LIMITS)
        tracemalloc.start()
        self.found = download(wanted, self.store, folder / "journal.jsonl", self.rules, sleep=self.pause)
        self.most_memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        slow = replace(self.rules, timeout=2, attempts=2)
        dripping = [Wanted(url=f"{host.url}/drip")]
        self.found |= download(dripping, self.store, folder / "slow.jsonl", slow, sleep=self.pause)
        self.addresses["drip"] = "/drip"

    async def pause(self, seconds: float) -> None:
        """Note a pause instead of making it."""
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.found[self.host.url + self.addresses.get(name, name)]


@pytest.fixture(scope="module")
def done(host: PictureHost, tmp_path_factory: pytest.TempPathFactory) -> Downloaded:
    return Downloaded(host, tmp_path_factory.mktemp("download"))


def test_every_address_has_the_outcome_that_its_host_gave_it(done: Downloaded) -> None:
    expected = {
        **dict.fromkeys(("good", "also", "moved", "busy", "error", "others", "exception", "/p/6"), "ok"),
        **{"circle": "redirects", "gone": "http_error", "broken": "http_error", "drip": "timeout", "bomb": "bomb"},
        **dict.fromkeys(("wrong", "liar"), "wrong_type"),
        **dict.fromkeys(("huge", "said"), "too_large"),
        **{"cut": "truncated", "short": "connection", "noai": "noai", "noimageai": "noai", "private": "robots"},
        **{"plain": "placeholder", "flickr": "placeholder", "/p/8": "changed", "file": "bad_address"},
        **dict.fromkeys(("inside", "metadata", "named"), "internal_address"),
    }
    assert {name: done[name]["outcome"] for name in expected} == expected
    assert done.found["http://127.0.0.1:9/a.png"]["outcome"] == "internal_address"
    assert done.found["http://nowhere.invalid/a.png"]["outcome"] == "connection"
    assert done.found["gopher://example.org/a.png"]["outcome"] == "bad_address"
    assert all(bool(row["reason"]) == (row["outcome"] != "ok") for row in done.found.values())


def test_what_may_pass_is_asked_again_and_nothing_else(done: Downloaded) -> None:
    attempts = {"busy": 3, "error": 2, "broken": 3, "drip": 2, "short": 3, "gone": 1, "bomb": 1, "noai": 1, "moved": 1}
    assert {name: done[name]["attempts"] for name in attempts} == attempts
    for name, count in attempts.items():
        assert done.host.hits[done.addresses[name]] == count, name
    assert done[("private")]["attempts"] == 0 and done.host.hits["/private/a.png"] == 0
    # Retry-After asked for 7 seconds, twice; other pauses double and are longer by up to a half.
    assert done.pauses.count(7.0) == 2
    others = [seconds for seconds in done.pauses if seconds != 7.0][:-1]
    assert all(0.25 <= seconds <= 0.375 or 0.5 <= seconds <= 0.75 for seconds in others)
    assert done.host.hits["/robots.txt"] == 2, "once for each download"


def test_pictures_are_stored_once_by_digest_and_bodies_are_not_held(done: Downloaded) -> None:
    digest = done["good"]["observed_sha256"]
    path = done.store.find(digest)
    assert path and path.read_bytes() == picture(1) and hashlib.sha256(picture(1)).hexdigest() == digest
    assert done.host.hits["/p/1"] == 1, "an address that is named twice is asked once"
    kept = [each for each in done.store.folder.rglob("*") if each.is_file()]
    assert sorted(each.stem for each in kept) == sorted({r["observed_sha256"] for r in done.found.values()
                                                          if r["outcome"] == "ok"})  # fmt: skip
    assert done.host.sent["/huge"] < HUGE / 2 and done.host.sent["/huge?said=1"] < HUGE / 2
    assert done.most_memory < 15_000_000
    assert done[("good")] | {"at": ""} == {
        **{"place": done.host.url + "/p/1", "host": done.host.place, "declared_sha256": None, "outcome": "ok"},
        **{"reason": "", "status": 200, "attempts": 1, "redirects": [], "robots_tag": None, "observed_sha256": digest},
        **{"format": "png", "bytes": len(picture(1)), "width": 40, "height": 30, "at": ""},
    }


def test_redirects_headers_and_limits_are_recorded(done: Downloaded) -> None:
    assert done["moved"]["redirects"] == [
        f"{done.host.url}/moved/1",
        f"{done.host.url}/moved/0",
        f"{done.host.url}/p/11",
    ]
    assert done["noai"]["robots_tag"] == "noindex, NoAI" and done["noai"]["observed_sha256"] is None
    assert done["metadata"]["redirects"] == ["http://169.254.169.254/latest/"]
    assert "127.0.0.1" in done["named"]["reason"]
    assert done.host.agents == {"watershed-pictures/1.0 (+someone@example.org)"}
    assert done.host.most_open <= done.rules.per_host


SCRIPT = """
import sys
from pathlib import Path
from spark_jobs.pictures.download import download
from spark_jobs.pictures.fetch import Wanted
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore
url, folder = sys.argv[1], Path(sys.argv[2])
wanted = [Wanted(url=f"{url}/p/{number}") for number in range(1000, 1400)]
rules = FetchRules(internal=(url.removeprefix("http://"),), concurrency=4)
download(wanted, PictureStore(folder / "pictures"), folder / "journal.jsonl", rules)
"""


def test_a_killed_download_goes_on_without_a_repeated_request(tmp_path: Path) -> None:
    with picture_host() as host:
        host.kill_after = 150
        command = [sys.executable, "-c", SCRIPT, host.url, str(tmp_path)]
        process = subprocess.Popen(command, start_new_session=True)
        assert host.enough.wait(120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        journal = tmp_path / "journal.jsonl"
        lines = journal.read_bytes().splitlines(keepends=True)
        known = {json.loads(line)["place"] for line in lines if line.endswith(b"\n")}
        assert 100 <= len(known) < 400
        before = host.hits.copy()
        # The kill may have come in the middle of a line.
        with journal.open("ab") as file:
            file.write(b'{"place": "http://')
        again_and_again(host, tmp_path)
        again = {path for path, count in (host.hits - before).items() if before[path] and path != "/robots.txt"}
        assert not {host.url + path for path in again} & known
        assert len(again) <= 4, "only what was in flight is asked again"
        assert all(host.hits[f"/p/{number}"] for number in range(1000, 1400))
        found = Journal(journal).known
        assert len(found) == 400 and {row["outcome"] for row in found.values()} == {"ok"}
        after = host.hits.copy()
        again_and_again(host, tmp_path)
        assert host.hits == after


def again_and_again(host: PictureHost, folder: Path) -> None:
    """What SCRIPT does, in this process."""
    wanted = [Wanted(url=f"{host.url}/p/{number}") for number in range(1000, 1400)]
    rules = FetchRules(internal=(host.place,), concurrency=4)
    download(wanted, PictureStore(folder / "pictures"), folder / "journal.jsonl", rules)


def test_a_file_that_is_no_journal_is_refused_and_one_that_is_held_too(tmp_path: Path) -> None:
    held = Journal(tmp_path / "held.jsonl")
    with pytest.raises(WatershedError, match="another process"):
        Journal(tmp_path / "held.jsonl")
    held.close()
    Journal(tmp_path / "held.jsonl").close()
    (tmp_path / "journal.jsonl").write_text("[1]\n")
    with pytest.raises(WatershedError, match="not a journal"):
        Journal(tmp_path / "journal.jsonl")


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "192.168.1.1", "0.0.0.0", "224.0.0.1", "::1"),
        *("::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "fe80::1", "fd00::1", "240.0.0.1"),
    ],
)
def test_internal_addresses_are_known(address: str) -> None:
    assert not is_public(address)
    shown = f"[{address}]" if ":" in address else address
    with pytest.raises(BadAddress):
        check_address(f"http://{shown}/a.png")


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.1/a",
            "http://2130706433/a",
            "http://１２７.０.０.１/a",
            "http://user:word@example.org/a",
            "a.png",
        ),
        *("file:///etc/passwd", "ftp://example.org/a", "http:///a", "http://[::1/a", "http://example.org/\na", ""),
        *("http://example.org:99999/a", "data:image/png;base64,AAAA", f"http://example.org/{'a' * 5000}"),
    ],
)
def test_addresses_that_hide_where_they_lead_are_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        check_address(url)


def test_a_name_with_any_internal_address_is_refused_and_so_is_a_connection() -> None:
    class Fixed(AbstractResolver):
        async def close(self) -> None:
            return

        async def resolve(self, host: str, port: int = 0, family: Any = None) -> Any:
            return [{"host": address, "port": port} for address in ("93.184.215.14", "10.0.0.1")]

    with pytest.raises(BadAddress, match=r"10\.0\.0\.1"):
        asyncio.run(PublicResolver((), Fixed()).resolve("example.org", 80))
    resolver = PublicResolver(("example.org",), Fixed())
    asyncio.run(resolver.resolve("example.org", 80))
    resolver.open_socket((2, 1, 6, "", ("10.0.0.1", 80))).close()
    with pytest.raises(BadAddress):
        resolver.open_socket((2, 1, 6, "", ("10.0.0.2", 80)))
    assert [host_of(url) for url in ("https://A.org:443/", "http://a.org:81", "http://[::1]:80/")] == [
        *("a.org", "a.org:81", "[::1]")
    ]


def test_robots_txt_is_read_as_rfc_9309_says() -> None:
    text = """
    User-agent: *
    Disallow: /        # all others
    User-agent: Watershed-Pictures/2
    User-agent: otherbot
    Disallow: /a*/secret
    Allow: /a/secret/open
    Disallow: /*.gif$
    Disallow: /%7Euser
    Disallow:
    User-agent: watershed-pictures
    Disallow: /second
    """
    ours = read_robots(text, "watershed-pictures")
    allowed = {
        **{"/": True, "/a/secret": False, "/ab/c/secret/d": False, "/a/secret/open": True, "/x.gif": False},
        **{"/x.gif?a": True, "/~user/": False, "/second": False, "/%73econd": False},
    }
    assert {path: ours.allows(f"https://example.org{path}") for path in allowed} == allowed
    assert not read_robots(text, "else").allows("https://example.org/b")
    assert read_robots("", "else").allows("https://example.org/b")
    equal = Robots((Rule(False, "/page"), Rule(True, "/page")))
    assert equal.allows("https://example.org/page")
    # Wildcards cost no more than the lengths of both.
    assert not Rule(False, "*a" * 5000 + "$").matches("/" + "a" * 4000 + "b")


def test_x_robots_tag_is_read_for_us_and_for_all() -> None:
    cases = {
        "noai": True,
        "noindex,noimageai": True,
        "otherbot: noai": False,
        "otherbot: noindex, noai": False,
        "Us: NOAI": True,
        "otherbot: noindex, us: noai": True,
        "unavailable_after: 25 Jun 2030 15:00:00 PST, noai": True,
        "max-image-preview: large": False,
        "": False,
    }
    assert {header: forbids_training([header], "us") for header in cases} == cases
    assert forbids_training(["noindex", "noai"], "us")


def test_bytes_that_a_host_gives_for_many_addresses_are_a_placeholder() -> None:
    found = [(f"a{number}", "a.example", None, "9f") for number in range(3)]
    found += [(f"b{number}", "b.example", None, "9f") for number in range(2)]
    found += [(f"c{number}", "c.example", "77", "77") for number in range(9)]
    assert repeated_bytes(found) == {"a0", "a1", "a2"}
