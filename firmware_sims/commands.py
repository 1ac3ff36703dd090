"""What can be asked of the simulated meters from outside, one JSON object a line, and what they answer.

The same lines drive them as a process of their own (`python -m firmware_sims run`) and inside another one.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import msgspec
from msgspec import Meta, Struct

from firmware_sims.firmware import Firmware
from firmware_sims.happenings import Happening
from firmware_sims.measure import Measure
from vitals.errors import MalformedError


class Raw(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="raw"):
    """Store these bytes (hex) as the next measurement, however wrong they are."""

    meter: str
    frame: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2})*\Z", max_length=1024)]


class Type(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="type"):
    """Type the number that the other side shows on the keys of a meter that is being paired (`pairing: keypad`)."""

    meter: str
    number: Annotated[int, Meta(ge=0, le=999_999)]


class Status(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="status"):
    """Say how every meter is."""


class Stop(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do", tag="stop"):
    """End."""


Command = Measure | Raw | Type | Status | Stop


class Driven(Protocol):
    """A meter with somebody who drives it (`over_the_air.MeterOnAir`, `air.MeterInAir`)."""

    @property
    def firmware(self) -> Firmware: ...

    @property
    def wall(self) -> datetime: ...

    @property
    def is_connected(self) -> bool: ...

    def wake(self) -> None: ...


def parse_command(line: bytes) -> Command:
    """Raises `MalformedError`."""
    try:
        command: Command = msgspec.json.decode(line, type=Command)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as e:
        raise MalformedError("command", str(e)) from e
    return command


def carry_out(command: Measure | Raw, meters: Mapping[str, Driven]) -> None:
    """Let the meter measure; raises `MalformedError` for one that is not there or cannot measure this."""
    meter = meters.get(command.meter)
    if meter is None:
        raise MalformedError("command", f"no meter {command.meter!r} on the air", command.meter)
    if isinstance(command, Raw):
        meter.firmware.keep(bytes.fromhex(command.frame))
    else:
        meter.firmware.obey(command, wall=command.at or meter.wall)
    meter.wake()


def line_of(happening: Happening, *, now_ns: int) -> str:
    """The JSON line that tells of a happening; `at` and `at_ns` are the same instant."""
    return _line(
        event=happening.event,
        meter=happening.meter,
        meter_id=happening.meter_id,
        characteristic=happening.characteristic,
        raw=happening.raw.hex(),
        at=datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(),
        at_ns=now_ns,
    )


def line_of_error(error: MalformedError) -> str:
    return _line(event="error", reason=error.reason, message=error.message)


def line_of_ready(meters: Mapping[str, Driven]) -> str:
    described = [
        {"name": name, "meter_id": driven.firmware.meter.meter_id, "kind": driven.firmware.meter.kind}
        for name, driven in meters.items()
    ]
    return _line(event="ready", meters=described)


def line_of_link(meter: str, event: str, *, now_ns: int) -> str:
    """`event` is `connected`, `paired`, `not paired` or `disconnected`."""
    return _line(event=event, meter=meter, at=datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(), at_ns=now_ns)


def line_of_shown(meter: str, number: int) -> str:
    """The number that a meter shows on its display while it is paired."""
    return _line(event="shown", meter=meter, number=number)


def line_of_status(meters: Mapping[str, Driven]) -> str:
    return _line(event="status", meters=[{"name": name} | state_of(driven) for name, driven in meters.items()])


def state_of(driven: Driven) -> dict[str, str | None]:
    """Where a meter is between silence and a connection, and what its clock shows (ISO 8601 without a zone)."""
    idle = "advertising" if driven.firmware.is_advertising else "silent"
    shown = driven.firmware.clock.shown(driven.wall)
    return {
        "link": "connected" if driven.is_connected else idle,
        "clock": None if shown is None else shown.isoformat(timespec="seconds"),
    }


def _line(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False)
