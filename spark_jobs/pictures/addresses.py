"""Which addresses may be asked: http and https, on the public internet alone.

An address in a stranger's table can name a service of this machine or of its network, such as the metadata service of
a cloud. A name is resolved once, every address that it has is checked, and the connection goes to one of these: a name
that resolves to another address the second time changes nothing. Redirects are checked like first addresses.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver
from yarl import URL

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

PORTS = {"http": 80, "https": 443}
LONGEST = 4096
NAT64 = ipaddress.ip_network("64:ff9b::/96")


class BadAddress(Exception):
    """An address that is not asked: bad_address or internal_address."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = outcome


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet.

    An IPv6 address that carries an IPv4 address is judged by it too.

    Example:
        >>> is_public("93.184.215.14"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1")
        (True, False, False)
    """
    ip = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    inner: ipaddress.IPv4Address | None = None
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.is_global and not ip.is_multicast and (inner is None or (inner.is_global and not inner.is_multicast))


def host_of(url: str) -> str:
    """Host and port of an address, in lower case: `example.org` or `example.org:8080`; empty if it has none.

    Example:
        >>> host_of("https://Example.org:443/a.jpg"), host_of("http://example.org:8080/a.jpg")
        ('example.org', 'example.org:8080')
    """
    try:
        parts = URL(url)
        host, port = parts.raw_host or "", parts.port
    except ValueError:
        return ""
    shown = f"[{host}]" if ":" in host else host
    return shown if port in (None, PORTS.get(parts.scheme)) else f"{shown}:{port}"


def check_address(url: str, internal: Sequence[str] = ()) -> None:
    """Refuse an address that is malformed, of another scheme, or an internal IP address.

    Names are checked when they are resolved, by `PublicResolver`.

    Raises:
        BadAddress: it is not to be asked.
    """
    if len(url) > LONGEST or not url.isprintable():
        raise BadAddress("bad_address", "it is too long or has control characters")
    try:
        # As the client reads it: it writes full-width digits as digits, for one.
        parts = URL(url)
        host = parts.raw_host
    except ValueError as error:
        raise BadAddress("bad_address", f"it is malformed: {str(error)[:100]}") from None
    if parts.scheme not in PORTS or not host:
        raise BadAddress("bad_address", f"its scheme is {parts.scheme[:20]!r}, or it has no host")
    if parts.raw_user is not None or parts.raw_password is not None:
        raise BadAddress("bad_address", "it holds a name or password")
    if host_of(url) in internal:
        return
    try:
        public = is_public(host)
    except ValueError:
        # Systems take 127.1 and 2130706433 for addresses, and the client does not resolve them.
        if host.replace(".", "").isdigit() or ":" in host:
            raise BadAddress("bad_address", f"{host[:100]} is neither a name nor an address") from None
        return
    if not public:
        raise BadAddress("internal_address", f"{host} is not on the public internet")


class PublicResolver(AbstractResolver):
    """Resolves names, and refuses those of which any address is not public."""

    def __init__(self, internal: Sequence[str] = (), resolver: AbstractResolver | None = None) -> None:
        self._internal = set(internal)
        self._allowed: set[tuple[str, int]] = set()
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name.

        Raises:
            BadAddress: one of them is internal.
        """
        found: list[Any] = await self._resolver.resolve(host, port, family)
        allowed = f"{host}:{port}" in self._internal or (host in self._internal and port in PORTS.values())
        for each in found:
            if allowed:
                self._allowed.add((each["host"], port))
            elif not is_public(each["host"]):
                raise BadAddress("internal_address", f"{host[:100]} resolves to {each['host']}, which is internal")
        return found

    def open_socket(self, info: Any) -> socket.socket:
        """A socket for an address that is about to be connected to, whatever way it came: the last check of all.

        Raises:
            BadAddress: the address is internal.
        """
        family, kind, protocol, _, (host, port, *_) = info
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if not is_public(host) and shown not in self._internal and (host, port) not in self._allowed:
            raise BadAddress("internal_address", f"{host} is not on the public internet")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Release what the resolver holds."""
        await self._resolver.close()
