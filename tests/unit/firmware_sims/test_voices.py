"""A person at the keyboard and a program say the same things in two languages."""

import json
from datetime import UTC, datetime

import pytest

from firmware_sims.air import Air
from firmware_sims.commands import Raw, Status, Stop, Type
from firmware_sims.happenings import Happening
from firmware_sims.measure import Measure
from firmware_sims.settings import Meter
from firmware_sims.voices import JsonLines, Keyboard
from vitals.errors import MalformedError

NOW = datetime(2026, 11, 21, 0, 30, tzinfo=UTC)
NOW_NS = round(NOW.timestamp()) * 10**9


@pytest.fixture
def keyboard() -> Keyboard:
    return Keyboard(meter="bp", told={"systolic_mmhg": "152", "diastolic_mmhg": "94"})


@pytest.fixture
async def air() -> Air:
    return Air((Meter(name="bp", kind="blood_pressure", index=1),), now=lambda: NOW)


def test_what_is_not_said_again_is_as_it_was_told_last(keyboard: Keyboard) -> None:
    assert keyboard.command(b"measure") == Measure(meter="bp", systolic_mmhg=152, diastolic_mmhg=94)
    said = keyboard.command(b"  m  systolic=160 user-slot=2 at=2026-11-20T07:00:00\r")
    assert said == Measure(
        meter="bp",
        systolic_mmhg=160,
        diastolic_mmhg=94,
        user_slot=2,
        at=datetime(2026, 11, 20, 7),  # noqa: DTZ001
    )
    assert keyboard.command(b"m") == said


def test_what_was_not_understood_is_not_remembered(keyboard: Keyboard) -> None:
    with pytest.raises(MalformedError):
        keyboard.command(b"m systolic=high")
    assert keyboard.command(b"m") == Measure(meter="bp", systolic_mmhg=152, diastolic_mmhg=94)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"status", Status()),
        (b"S", Status()),
        (b"type 042", Type(meter="bp", number=42)),
        (b"stop", Stop()),
        (b"quit", Stop()),
        (b"raw 1E 98 00", Raw(meter="bp", frame="1E9800")),
        (b"measure worn=true", Measure(meter="bp", systolic_mmhg=152, diastolic_mmhg=94, is_worn=True)),
    ],
)
def test_short_words_are_commands(keyboard: Keyboard, line: bytes, command: object) -> None:
    assert keyboard.command(line) == command


@pytest.mark.parametrize(
    "line", [b"", b"\xff", b"dance", b"measure x=1", b"measure systolic", b"measure systolic=", b"raw 1", b"type x"]
)
def test_a_line_that_is_no_command_says_what_is(keyboard: Keyboard, line: bytes) -> None:
    with pytest.raises(MalformedError) as refused:
        keyboard.command(line)
    assert keyboard.refused(refused.value)


async def test_a_person_is_told_in_words(keyboard: Keyboard, air: Air) -> None:
    ready = keyboard.ready(air.meters)
    assert "bp (blood pressure) is F0:00:00:10:00:01" in ready
    assert keyboard.shown("bp", 42) == "its display shows 000042"
    assert keyboard.status(air.meters) == "silent; its clock shows 2026-11-21T08:30:00"
    sent = Happening(event="indicated", meter="bp", meter_id="x", characteristic="2a35", raw=b"\x1e\x94")
    assert keyboard.happened(sent, now_ns=NOW_NS).endswith("sent 2a35 1e94")
    assert keyboard.linked("bp", "not paired", now_ns=NOW_NS).endswith("not paired")


async def test_a_program_is_told_in_json(air: Air) -> None:
    voice = JsonLines()
    assert voice.command(b'{"do":"status"}') == Status()
    assert json.loads(voice.status(air.meters)) == {
        "event": "status",
        "meters": [{"name": "bp", "link": "silent", "clock": "2026-11-21T08:30:00"}],
    }
    assert json.loads(voice.linked("bp", "paired", now_ns=NOW_NS)) == {
        "event": "paired",
        "meter": "bp",
        "at": "2026-11-21T00:30:00+00:00",
        "at_ns": NOW_NS,
    }
