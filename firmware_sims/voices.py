"""How the simulated meters are spoken with: short words with a person at a keyboard, JSON lines with a program.

Pure: a line in is a command, something that happened is a line out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import msgspec

from firmware_sims import commands
from firmware_sims.commands import Command, Driven, Raw, Status, Stop, Type
from firmware_sims.firmware import Firmware
from firmware_sims.happenings import Happening
from firmware_sims.measure import Measure
from vitals.errors import MalformedError

HELP: Final = """\
  measure [systolic=152 ...]   measure; what is left out is as it was told last
  raw 1E98005E00...            store these bytes as the next measurement, however wrong
  type 123456                  type a number on its keys, if it is being paired and has any
  status                       how the meter is
  stop                         end (so does Ctrl-C)"""

_UNIT: Final = re.compile(r"_(mmhg|bpm|mg_dl|kg|m|celsius|percent|kpa|mmol_l)\Z")


class Voice(Protocol):
    """One language."""

    def command(self, line: bytes) -> Command:
        """Raises `MalformedError`."""
        ...

    def ready(self, meters: Mapping[str, Driven]) -> str: ...

    def happened(self, happening: Happening, *, now_ns: int) -> str: ...

    def linked(self, meter: str, event: str, *, now_ns: int) -> str: ...

    def shown(self, meter: str, number: int) -> str: ...

    def status(self, meters: Mapping[str, Driven]) -> str: ...

    def refused(self, error: MalformedError) -> str: ...


class JsonLines:
    """One object a line, both ways (`commands`)."""

    def command(self, line: bytes) -> Command:
        return commands.parse_command(line)

    def ready(self, meters: Mapping[str, Driven]) -> str:
        return commands.line_of_ready(meters)

    def happened(self, happening: Happening, *, now_ns: int) -> str:
        return commands.line_of(happening, now_ns=now_ns)

    def linked(self, meter: str, event: str, *, now_ns: int) -> str:
        return commands.line_of_link(meter, event, now_ns=now_ns)

    def shown(self, meter: str, number: int) -> str:
        return commands.line_of_shown(meter, number)

    def status(self, meters: Mapping[str, Driven]) -> str:
        return commands.line_of_status(meters)

    def refused(self, error: MalformedError) -> str:
        return commands.line_of_error(error)


@dataclass(slots=True)
class Keyboard:
    """A person and one meter. `told` is what it was told last, and measures again."""

    meter: str
    told: dict[str, str]

    def command(self, line: bytes) -> Command:
        word, *rest = line.decode("utf-8", "replace").split()[:64] or [""]
        match word.lower():
            case "measure" | "m":
                measure = measure_of(self.meter, self.told | pairs_of(rest))
                self.told |= pairs_of(rest)
                return measure
            case "raw":
                return _raw(self.meter, "".join(rest))
            case "type":
                return _typed(self.meter, "".join(rest))
            case "status" | "s":
                return Status()
            case "stop" | "quit" | "exit" | "q":
                return Stop()
        raise MalformedError("command", f"what is {word!r}? You can say\n{HELP}", word)

    def ready(self, meters: Mapping[str, Driven]) -> str:
        (driven,) = meters.values()
        meter = driven.firmware.meter
        who = f"{meter.advertised_name} ({meter.kind.replace('_', ' ')}) is {meter.meter_id}"
        return "\n".join((who, "it is told to", HELP, f"and measures {', '.join(words_of(driven.firmware))}"))

    def happened(self, happening: Happening, *, now_ns: int) -> str:
        word = "sent" if happening.event == "indicated" else "the other side has"
        return f"{_time(now_ns)} {word} {happening.characteristic} {happening.raw.hex()}"

    def linked(self, meter: str, event: str, *, now_ns: int) -> str:
        return f"{_time(now_ns)} {event}"

    def shown(self, meter: str, number: int) -> str:
        return f"its display shows {number:06d}"

    def status(self, meters: Mapping[str, Driven]) -> str:
        (driven,) = meters.values()
        state = commands.state_of(driven)
        return f"{state['link']}; its clock shows {state['clock'] or 'no time'}"

    def refused(self, error: MalformedError) -> str:
        return error.message


def words_of(firmware: Firmware) -> list[str]:
    """What it can be told to measure, as a person says it; optional ones in brackets."""
    return [short(f) for f in firmware.needs] + [f"[{short(f)}]" for f in firmware.takes]


def short(field: str) -> str:
    """A field of `Measure` without its unit and with dashes: `systolic_mmhg` is `systolic`."""
    return _UNIT.sub("", field).removeprefix("is_").replace("_", "-")


FIELDS: Final = {short(field): field for field in Measure.__struct_fields__ if field != "meter"}


def pairs_of(words: list[str]) -> dict[str, str]:
    """The fields of `systolic=152 diastolic=94`; raises `MalformedError`."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        field = FIELDS.get(name.replace("_", "-"), name)
        if not equals or field not in FIELDS.values():
            raise MalformedError("command", f"{word!r} is not one of {', '.join(FIELDS)} with = and a value", word)
        found[field] = value
    return found


def measure_of(meter: str, told: Mapping[str, str]) -> Measure:
    """The command of what was typed; raises `MalformedError`."""
    try:
        return msgspec.convert({"do": "measure", "meter": meter, **told}, Measure, strict=False)
    except msgspec.ValidationError as e:
        raise MalformedError("command", str(e)) from e


def _raw(meter: str, frame: str) -> Raw:
    try:
        return msgspec.convert({"do": "raw", "meter": meter, "frame": frame}, Raw)
    except msgspec.ValidationError as e:
        raise MalformedError("command", "raw is followed by pairs of hex digits", frame) from e


def _typed(meter: str, digits: str) -> Type:
    if not re.fullmatch(r"[0-9]{1,6}", digits):
        raise MalformedError("command", "type is followed by up to six digits", digits)
    return Type(meter=meter, number=int(digits))


def _time(now_ns: int) -> str:
    return datetime.fromtimestamp(now_ns / 1e9).astimezone().strftime("%H:%M:%S")
