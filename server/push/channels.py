"""What a way out to people must do: send one message and say how it went. It never raises for the other side's faults."""

from dataclasses import dataclass
from typing import Protocol

from server.store.pushes import Leased


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """It is there. Told again with the same `push_id`, the other side knows it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Not this time. `after_s` is what the other side asked for, if it did."""

    error: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gone:
    """Never again: nobody is there any more."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """There is no way to this recipient: nobody to give it to, or nowhere that it may be sent."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAgreed:
    """There would have to be a way to this recipient, who has not agreed to have one: no fault of anybody."""


Outcome = Sent | Failed | Gone | Unreachable | NotAgreed


class Channel(Protocol):
    """One way out. `at_once`: messages per lease, so few that all of them fit into it."""

    @property
    def name(self) -> str: ...

    @property
    def at_once(self) -> int: ...

    def send(self, message: Leased) -> Outcome:
        """Send one message; returns well within the lease (`dispatch.LEASE_S`)."""
        ...
