"""What a download may do: limits, attempts, and how it names itself."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.errors import WatershedError
from spark_jobs.pictures.look import MOST_PIXELS

OUTCOMES = (
    *("ok", "http_error", "timeout", "connection", "robots", "noai", "wrong_type", "too_large", "truncated"),
    *("bomb", "placeholder", "changed", "internal_address", "bad_address", "redirects"),
)
"""What becomes of an address. All but `ok` are failures."""


@dataclass(frozen=True, kw_only=True)
class FetchRules:
    """Limits of a download. None of them changes which bytes a host gives, so none enters a fingerprint."""

    concurrency: int = 64
    """Addresses in flight, over all hosts."""
    per_host: int = 4
    """Addresses of one host in flight."""
    host_interval: float = 0.0
    """Seconds between the beginnings of two requests to a host; 0 for no pause."""
    attempts: int = 4
    """Requests for an address before it is given up, if its failures may pass."""
    first_pause: float = 1.0
    """Seconds before the second attempt; twice as long before each further one, plus up to half of it at random."""
    longest_pause: float = 60.0
    """Most seconds of a pause, also where a host asks for more by Retry-After."""
    timeout: float = 60.0
    """Seconds in which a whole picture must have arrived."""
    connect_timeout: float = 10.0
    """Seconds in which a host must have been reached."""
    largest: int = 50_000_000
    """Most bytes of a picture."""
    most_pixels: int = MOST_PIXELS
    """Most pixels of a picture."""
    redirects: int = 5
    """Most redirects from an address to its picture."""
    agent: str = "watershed-pictures"
    """Product name for robots.txt; the User-Agent header begins with it."""
    contact: str = ""
    """Address that the User-Agent header gives, so that hosts can complain."""
    internal: tuple[str, ...] = ()
    """HOST:PORT of servers inside this network that may be asked. All other internal addresses are refused."""

    def __post_init__(self) -> None:
        positive = ("concurrency", "per_host", "attempts", "timeout", "connect_timeout", "largest", "most_pixels")
        for name in positive:
            if getattr(self, name) <= 0:
                raise WatershedError(f"the limit {name} of downloads is {getattr(self, name)}", "give more than 0")
        if not self.agent or not all(
            letter.isascii() and (letter.isalnum() or letter in "-_") for letter in self.agent
        ):
            raise WatershedError(f"the user agent is {self.agent!r}", "use letters, digits, dashes and underscores")
        if not all(" " <= letter <= "~" for letter in self.contact):
            raise WatershedError("the contact of the user agent is not ASCII", "give an address in ASCII")

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return f"{self.agent}/1.0" + (f" (+{self.contact})" if self.contact else "")
