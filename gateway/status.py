"""The status message as it is sent: never longer than the broker takes, the meters last of all and as many as fit. Pure.

Of a home with a hundred meters each is there with when it was heard and read; what a meter says of itself is there as far as
there is room.
"""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from gateway.outbox_rows import MeterMemory

METERS_MAX: Final = 100
PAIRINGS_MAX: Final = 16
"""Meters of which is said what became of their pairing, some 200 bytes each; a street can have a hundred that refuse."""
ADVERTISED_NAME: Final = "name"
"""Of what is remembered about a meter, what a person may have given it: it stays in the home."""
_METER_BYTES: Final = 4
"""Of one entry besides its two parts: colon, comma, and some to spare."""


class Counted(Protocol):
    """What the collector counts of a meter."""

    @property
    def heard_s(self) -> float: ...

    @property
    def failed_in_a_row(self) -> int: ...

    @property
    def clock(self) -> str | None: ...

    @property
    def worn(self) -> Mapping[str, Any] | None: ...

    @property
    def unsteady(self) -> int: ...

    @property
    def users(self) -> Mapping[str, str] | None: ...

    @property
    def asks_for_user(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFacts:
    """What is known of one meter. `heard_at` is since the start of this process; `failed`: sessions in a row that broke;
    `unsteady`: visits to one that only shows what it sees, in which nothing was steady."""

    meter_id: str
    heard_at: datetime | None = None
    read_at: datetime | None = None
    battery_percent: int | None = None
    clock: str | None = None
    failed: int = 0
    about: Mapping[str, str] | None = None
    worn: Mapping[str, Any] | None = None
    unsteady: int = 0
    users: Mapping[str, str] | None = None
    asks_for_user: bool = False

    @property
    def last_at(self) -> datetime | None:
        return max((at for at in (self.heard_at, self.read_at) if at is not None), default=None)

    def in_short(self) -> dict[str, Any]:
        said = {
            "heard_at": _minute(self.heard_at),
            "read_at": _minute(self.read_at),
            "battery_percent": self.battery_percent,
            "failed": self.failed or None,
        }
        return {name: value for name, value in said.items() if value is not None}

    def in_full(self) -> dict[str, Any]:
        about = {name: said for name, said in (self.about or {}).items() if name != ADVERTISED_NAME}
        said = self.in_short() | {"clock": self.clock, "about": about}
        if self.unsteady:
            said["unsteady"] = self.unsteady
        if self.asks_for_user:
            said["asks_for_user"] = True
        if self.users is not None:
            said["users"] = dict(self.users)
        return said if self.worn is None else said | {"worn": dict(self.worn)}


def meter_facts(
    remembered: Sequence[tuple[MeterMemory, datetime]],
    counted: Mapping[str, Counted],
    *,
    now: datetime,
    since_boot_s: float,
) -> list[MeterFacts]:
    """Every meter that was ever read here, or heard since the process started."""
    read = {memory.meter_id: (memory, at) for memory, at in remembered}
    found = []
    for meter_id in read.keys() | counted.keys():
        memory, read_at = read.get(meter_id, (None, None))
        count = counted.get(meter_id)
        heard_at = now - timedelta(seconds=since_boot_s - count.heard_s) if count and count.heard_s else None
        found.append(
            MeterFacts(
                meter_id=meter_id,
                heard_at=heard_at,
                read_at=read_at,
                battery_percent=None if memory is None else memory.battery_percent,
                clock=None if count is None else count.clock,
                failed=0 if count is None else count.failed_in_a_row,
                about=None if memory is None else memory.about,
                worn=None if count is None else count.worn,
                unsteady=0 if count is None else count.unsteady,
                users=None if count is None else count.users,
                asks_for_user=count is not None and count.asks_for_user,
            )
        )
    return found


def encode_status(said: dict[str, Any], meters: Sequence[MeterFacts], *, max_bytes: int) -> bytes:
    """The message with as much of `meters` as `max_bytes` have room for, the newest first; the others are counted."""
    said = with_few_pairings(said, {meter.meter_id for meter in meters if meter.read_at is not None})
    ordered = sorted(meters, key=_newest_first)[:METERS_MAX]
    room = max_bytes - len(encoded(said | {"meters": {}, "meters_left_out": len(meters)}))
    shown: dict[str, dict[str, Any]] = {}
    for meter in ordered:  # each in short, before any in full
        room -= _cost(meter.meter_id, meter.in_short())
        if room < 0:
            room += _cost(meter.meter_id, meter.in_short())
            break
        shown[meter.meter_id] = meter.in_short()
    for meter in ordered[: len(shown)]:
        more = _cost(meter.meter_id, meter.in_full()) - _cost(meter.meter_id, meter.in_short())
        if more <= room:
            room -= more
            shown[meter.meter_id] = meter.in_full()
    left_out = len(meters) - len(shown)
    return encoded(said | {"meters": shown} | ({"meters_left_out": left_out} if left_out else {}))


def with_few_pairings(said: dict[str, Any], read: Set[str]) -> dict[str, Any]:
    """Of those that were ever read first; the others are counted."""
    radio = said.get("radio", {})
    pairing = radio.get("pairing", {})
    if len(pairing) <= PAIRINGS_MAX:
        return said
    told = sorted(pairing, key=lambda meter_id: meter_id not in read)[:PAIRINGS_MAX]
    few = {"pairing": {meter_id: pairing[meter_id] for meter_id in told}, "pairing_left_out": len(pairing) - len(told)}
    return said | {"radio": radio | few}


def encoded(said: Mapping[str, Any]) -> bytes:
    """Compact JSON."""
    return json.dumps(said, separators=(",", ":")).encode()


def _cost(meter_id: str, said: Mapping[str, Any]) -> int:
    return len(encoded({meter_id: said})) - 2 + _METER_BYTES


def _newest_first(meter: MeterFacts) -> tuple[bool, float, str]:
    """Those that were ever read before the strangers that were only heard."""
    return (meter.read_at is None, -(meter.last_at.timestamp() if meter.last_at else 0.0), meter.meter_id)


def _minute(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="minutes").replace("+00:00", "Z")
