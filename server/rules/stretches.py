"""Stretches of time that are not good, and which of them are one episode."""

from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from server.rules.episodes import QUIET_DAYS

_QUIET_US: Final = QUIET_DAYS * 24 * 3_600_000_000


class Stretch(Protocol):
    """From the instant at which a condition came true to that at which it was good again; None while it lasts. Microseconds."""

    @property
    def began_us(self) -> int: ...
    @property
    def ended_us(self) -> int | None: ...


S = TypeVar("S", bound=Stretch)


def joined(stretches: Iterable[S]) -> list[list[S]]:
    """The episodes, each as its stretches: what begins again within seven days of the end belongs to the same. Oldest first."""
    episodes: list[list[S]] = []
    for stretch in stretches:
        ended_us = episodes[-1][-1].ended_us if episodes else None
        if ended_us is not None and stretch.began_us - ended_us <= _QUIET_US:
            episodes[-1].append(stretch)
        else:
            episodes.append([stretch])
    return episodes
