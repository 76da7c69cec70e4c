"""The pace of requests to an endpoint, and the money that they may cost."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field

LONGEST_DELAY = 60.0
"""Most seconds between two attempts, whatever the server asks for."""

FIRST_DELAY = 0.5


def delay_after(request: str, attempt: int, *, first: float = FIRST_DELAY) -> float:
    """Return the seconds to wait after an attempt: twice as long each time, and shorter by up to half, by chance.

    The chance is drawn from the request and the attempt, so that two runs wait equally long.
    """
    share = int.from_bytes(hashlib.sha256(f"{request} {attempt}".encode()).digest()[:4]) / 2**32
    return min(LONGEST_DELAY, first * 2 ** min(attempt - 1, 20)) * (1 - share / 2)


class Pace:
    """Waits until a request may be sent, by the endpoint's limits and the pauses that its server asks for."""

    def __init__(self, requests_per_minute: float, tokens_per_minute: float) -> None:
        self._spacings = [60 / limit if limit else 0.0 for limit in (requests_per_minute, tokens_per_minute)]
        self._next = [0.0, 0.0]
        self._paused_until = 0.0

    async def wait(self, tokens: int) -> None:
        """Wait for the turn of a request of so many tokens."""
        loop = asyncio.get_running_loop()
        turn = max(loop.time(), *self._next)
        self._next = [turn + spacing * size for spacing, size in zip(self._spacings, (1, tokens), strict=True)]
        while (left := max(turn, self._paused_until) - loop.time()) > 0:
            await asyncio.sleep(left)

    def pause(self, seconds: float) -> None:
        """Let no request be sent for so long."""
        until = asyncio.get_running_loop().time() + min(seconds, LONGEST_DELAY)
        self._paused_until = max(self._paused_until, until)


class CapReached(Exception):
    """Another request could cost more than what is left of the cap."""


@dataclass
class Budget:
    """Money under a cap. A request reserves the most that it can cost, and gives back what it does not.

    Attributes:
        cap: the most that may be spent, in US dollars; None for no limit.
        spent: what was spent, with the reservations of attempts whose cost is not known.
    """

    cap: float | None
    spent: float = 0.0
    _reserved: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reserve(self, bound: float) -> None:
        """Reserve `bound`, waiting for other requests to give back what they do not need.

        Raises:
            CapReached: no request in flight can give back anything, and it does not fit.
        """
        while self.cap is not None and self.spent + self._reserved + bound > self.cap * (1 + 1e-12):
            if not self._reserved:
                raise CapReached
            self._changed.clear()
            await self._changed.wait()
        self._reserved += bound

    def hold(self, spent: float, bound: float) -> None:
        """Turn what counts as spent into a reservation of `bound`, whatever is left of the cap."""
        self.spent -= spent
        self._reserved += bound

    def settle(self, bound: float, cost: float) -> None:
        """Give back a reservation of `bound`, of which `cost` was spent."""
        self._reserved = max(0.0, self._reserved - bound)
        # Sums of floats leave a rest that would make `reserve` wait for nobody.
        if self._reserved < 1e-15:
            self._reserved = 0.0
        self.spent += cost
        self._changed.set()
