"""How often the gateway has started, and how it ended the time before: kept in the outbox file, told in the status.

A box whose plug is pulled every evening, or that breaks every hour, looks well whenever it is asked; its history does not.
"""

from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gateway.errors import OutboxFullError
from gateway.outbox import Outbox
from vitals.reading import Instant

LATELY: Final = timedelta(days=1)
STARTS_KEPT: Final = 50
"""Instants of starts; a box that starts more often in a day is ill beyond counting."""

_LIVES: Final = "lives"


class End(StrEnum):
    """How a life before this one ended."""

    UNKNOWN = "unknown"
    """There was none, or nobody knows."""
    TOLD = "told"
    """Somebody told it to end."""
    BROKEN = "broken"
    """In the same boot and without a goodbye: it broke, was killed, or the watchdog ended it."""
    POWER = "power"
    """The machine went down with it, without a goodbye."""


class History(Struct, frozen=True, kw_only=True):
    """All lives on this outbox. `starts_at` are those whose time was known, newest last."""

    starts: int = 0
    unclean: int = 0
    boots: int = 0
    boot_id: str = ""
    is_running: bool = False
    last_end: End = End.UNKNOWN
    starts_at: Annotated[tuple[Instant, ...], Meta(max_length=STARTS_KEPT)] = ()


class Lives:
    """The history, with this life in it from its construction on."""

    def __init__(self, outbox: Outbox, *, boot_id: str, since_boot_s: float) -> None:
        self._outbox, self._began_s = outbox, since_boot_s
        self._name = sha256(f"{boot_id} {since_boot_s}".encode()).hexdigest()[:16]
        self._is_dated = False
        before = self._kept()
        end = _end_of(before, boot_id)
        self._history = msgspec.structs.replace(
            before,
            starts=before.starts + 1,
            unclean=before.unclean + (end in (End.BROKEN, End.POWER)),
            boots=before.boots + (before.boot_id != boot_id),
            boot_id=boot_id,
            is_running=True,
            last_end=end,
        )
        self._keep()

    def dated(self, now: datetime, since_boot_s: float) -> None:
        """It is known by now what time it is: note once when this life began."""
        if self._is_dated:
            return
        self._is_dated = True
        began_at = now - timedelta(seconds=since_boot_s - self._began_s)
        starts_at = (*self._history.starts_at, began_at)[-STARTS_KEPT:]
        self._history = msgspec.structs.replace(self._history, starts_at=starts_at)
        self._keep()

    def told_to_end(self) -> None:
        """This life ends as it should."""
        self._history = msgspec.structs.replace(self._history, is_running=False)
        self._keep()

    def describe(self, now: datetime, since_boot_s: float) -> dict[str, Any]:
        """For the status; `lately` counts the starts of the last 24 hours whose time is known.

        `life` names this start of this box: of two boxes with one card, the clinic sees two that speak by turns.
        """
        history = self._history
        return {
            "life": self._name,
            "total": history.starts,
            "unclean": history.unclean,
            "boots": history.boots,
            "lately": sum(now - LATELY <= at <= now for at in history.starts_at),
            "last_end": history.last_end.value,
            "up_s": round(since_boot_s - self._began_s),
            "boot_up_s": round(since_boot_s),
        }

    def _kept(self) -> History:
        kept = self._outbox.setting(_LIVES)
        try:
            return History() if kept is None else msgspec.json.decode(kept, type=History)
        except msgspec.DecodeError:  # written by a newer build, before it was taken back
            return History()

    def _keep(self) -> None:
        with suppress(OutboxFullError):  # a full disk is told otherwise, and keeps nobody from starting
            self._outbox.set_setting(_LIVES, msgspec.json.encode(self._history).decode())


def _end_of(before: History, boot_id: str) -> End:
    if not before.starts:
        return End.UNKNOWN
    if not before.is_running:
        return End.TOLD
    return End.BROKEN if before.boot_id == boot_id else End.POWER
