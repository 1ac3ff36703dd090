"""The ports between a radio and everything above it: few verbs, no library in sight.

`gateway.bleak_radio` implements them on a real adapter, `firmware_sims.air` in memory for seeded runs. Characteristics are
named by four hex digits ("2a35"), services likewise ("1810"); a maker's own by its 36 characters (`uuids.name_of`).
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """A meter was heard. `address` names it on this radio; `services` are what it says it has, or is known to have."""

    address: str
    name: str | None
    services: frozenset[str]
    rssi: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """The meter sent `value` on `characteristic` (a GATT notification or indication)."""

    characteristic: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The link is gone; for many meters the normal end."""


class LinkError(Exception):
    """An operation on the link failed. `code` is the ATT error where the meter gave one (0xFD: subscribe first)."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class Link(Protocol):
    """One connection to one meter, bonded where the meter asks for it. Every verb has its own deadline and may raise
    `LinkError`."""

    @property
    def characteristics(self) -> frozenset[str]: ...

    async def read(self, characteristic: str) -> bytes: ...

    async def write(self, characteristic: str, value: bytes) -> None: ...

    async def subscribe(self, characteristic: str) -> None:
        """Ask for notifications or indications, whichever the characteristic has; they arrive through `event`."""
        ...

    async def event(self, timeout_s: float) -> Notified | Disconnected | None:
        """The next thing the meter does, in order; `None` when `timeout_s` passes in silence."""
        ...


class Radio(Protocol):
    """An adapter that hears meters and connects to one at a time or to a few."""

    def advertisements(self) -> AbstractAsyncContextManager[AsyncIterator[Advertisement]]:
        """Scan while the context is open. The same meter may be heard again and again, or once only."""
        ...

    def connect(self, advertisement: Advertisement) -> AbstractAsyncContextManager[Link]:
        """Connect (and bond) at once: an advertisement grows stale within seconds. Raises `LinkError`."""
        ...
