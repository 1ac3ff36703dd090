"""Where a call may go: https to the internet, by an address that was looked up once and looked at before anything was sent.

A name that leads into the house's own network, or to its cloud's, would make us the attacker's hand (server-side request
forgery); a name that leads somewhere else a moment later is no way around that, because the address that was looked at is the one
that is connected to. A clinic whose system stands in its own network allows that by a setting.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx2

from vitals.errors import MalformedError, UnavailableError

Resolve = Callable[[str, int], list[str]]
"""The addresses of a host, as the operating system orders them; raises `OSError`."""

ADDRESSES_MAX: Final = 4
"""Addresses of one name that are tried, one after the other."""

_NAT64: Final = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A web address and the network addresses by which it may be reached."""

    url: httpx2.URL
    addresses: tuple[str, ...]

    @property
    def host(self) -> str:
        """What the certificate must name."""
        return self.url.raw_host.decode("ascii")

    @property
    def host_header(self) -> str:
        return self.url.netloc.decode("ascii")

    def by(self, address: str) -> httpx2.URL:
        """The same with the network address in the host's place."""
        return self.url.copy_with(host=address)


def checked_url(url: str, *, allow_private: bool) -> httpx2.URL:
    """`url`, if it is one that may be called; raises `MalformedError` (`webhook_url`). No name is looked up.

    `allow_private`: http, and hosts of the house's own network, may be called, too.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as e:
        raise MalformedError("webhook_url", "this is no web address") from e
    schemes = ("https", "http") if allow_private else ("https",)
    if parsed.scheme not in schemes or not parsed.host or parsed.userinfo or not 0 < (parsed.port or 443) <= 65535:
        raise MalformedError("webhook_url", f"give an {schemes[0]}:// address, without a user name")
    address = _literal(parsed.host)
    if address is not None and not allow_private and not is_public(address):
        raise MalformedError("webhook_url", "this address is not on the internet")
    return parsed


def look_up(url: str, *, allow_private: bool, resolve: Resolve) -> Target:
    """Where `url` leads now. Raises `MalformedError` if it may not be called, `UnavailableError` if its name leads nowhere."""
    parsed = checked_url(url, allow_private=allow_private)
    host = parsed.raw_host.decode("ascii")
    try:
        found = resolve(host, parsed.port or (443 if parsed.scheme == "https" else 80))
    except (OSError, UnicodeError) as e:
        raise UnavailableError(f"the name is not known: {type(e).__name__}") from e
    permitted = [each for each in found if allow_private or is_public(ip_address(each))]
    if not permitted:
        raise MalformedError("webhook_address", "the name leads to an address that is not on the internet")
    return Target(url=parsed, addresses=tuple(dict.fromkeys(permitted))[:ADDRESSES_MAX])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is on the internet: not loopback, link-local, private, shared, multicast or reserved, however it is written."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = IPv4Address(address.packed[-4:])
        if inner is not None:
            return is_public(inner)
        if address.scope_id is not None:
            return False
    return address.is_global and not address.is_multicast


def system_resolve(host: str, port: int) -> list[str]:
    """Ask the operating system, which may take its time: whoever calls has a deadline."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
