"""`homevigil sim`: one meter, with every fault, on a dongle of this machine or on a bus of one's own.

    homevigil sim blood-pressure --dongle usb:0 --systolic 152 --diastolic 94 --every 60 --fault drops_after_indication=1
    homevigil sim list

What a kind measures, and every fault and setting, is read from `Measure`, `Faults` and `Meter`: whatever is added there can be
said here. A person at a terminal is answered in words, a program in JSON lines. Many meters at once: `homevigil sims run`.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from firmware_sims import clock
from firmware_sims.faults import Faults
from firmware_sims.firmware import Firmware
from firmware_sims.happenings import firmware_of
from firmware_sims.kinds import KINDS, Kind
from firmware_sims.measure import Measure
from firmware_sims.personalities import PERSONALITIES
from firmware_sims.settings import Meter
from firmware_sims.voices import JsonLines, Keyboard, measure_of, short, words_of
from vitals.errors import MalformedError, UnavailableError

_HAVE_OPTIONS: Final = frozenset({"name", "kind", "index", "zone", "clock", "passkey", "users", "faults", "model"})
_PACKAGES: Final = ("bumble", "dbus_fast")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 stopped, 1 no bus or no dongle, 2 not understood."""
    try:
        given = _parser().parse_args(arguments)
        return _list(as_json=given.json) if given.word == "list" else _simulate(given)
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else 2
    except MalformedError as e:
        print(f"homevigil sim: {e.message}", file=sys.stderr)
        return 2
    except UnavailableError as e:
        print(f"homevigil sim: {e}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="homevigil sim", description="One simulated meter, told from the command line and the keyboard."
    )
    words = parser.add_subparsers(dest="word", required=True, metavar="KIND")
    listing = words.add_parser("list", help="kinds with what they measure, faults, settings")
    listing.add_argument("--json", action="store_true", help="for programs")
    for kind in KINDS:
        word = words.add_parser(_word(kind), help=f"measures {', '.join(words_of(_sample(kind)))}", allow_abbrev=False)
        _add_measure(word, kind)
        _add_meter(word)
        _add_place(word)
    return parser


def _add_measure(parser: argparse.ArgumentParser, kind: Kind) -> None:
    group = parser.add_argument_group("what it measures", "at once, and again at every `measure` that says no other")
    firmware, types = _sample(kind), {f.name: f.type for f in msgspec.structs.fields(Measure)}
    for field in (*firmware.needs, *firmware.takes):
        is_flag = bool in get_args(types[field])
        once: dict[str, Any] = {"nargs": "?", "const": "true"} if is_flag else {"metavar": field.upper()}
        group.add_argument(f"--{short(field)}", dest=f"measure_{field}", **once)
    group.add_argument("--every", type=float, metavar="SECONDS", help="measure again and again")


def _add_meter(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the meter")
    group.add_argument("--name", help="that it advertises")
    group.add_argument("--model", help="one that is sold, with its ways; see homevigil sim list")
    group.add_argument("--index", default="1", help="the last two bytes of its address; two meters need two")
    group.add_argument("--zone", default=None, help="of the wall it hangs on; this machine's if not said")
    group.add_argument("--clock", help="absent, unset, 1970; +3600 or -90 seconds off; 2021-01-01T00:00:00 for ever")
    group.add_argument("--passkey", help="six digits that it shows when it is paired, or random")
    group.add_argument("--user", action="append", default=[], metavar="INDEX:CODE", help="whose records need consent")
    group.add_argument("--fault", action="append", default=[], metavar="NAME=VALUE", help="see homevigil sim list")
    group.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting of a meters file")


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it is", "without --dongle: the bus that DBUS_SYSTEM_BUS_ADDRESS names")
    group.add_argument("--dongle", metavar="NAME", help="a Bumble transport: usb:0, hci-socket:0, tcp-client:HOST:PORT")
    group.add_argument("--bonds", type=Path, metavar="FILE", help="remember there who has paired with it")
    group.add_argument("--json", action="store_true", help="speak JSON lines, on a terminal too")


def _list(*, as_json: bool) -> int:
    kinds = {_word(kind): words_of(_sample(kind)) for kind in KINDS}
    if as_json:
        listed = {"kinds": kinds, "models": models(), "faults": explained_faults(), "settings": list(_settings())}
        print(json.dumps(listed))
        return 0
    _print_table("kinds, and what they measure [beside it]", {k: ", ".join(words) for k, words in kinds.items()})
    _print_table("models (--model NAME)", models())
    _print_table("faults (--fault NAME=VALUE)", explained_faults())
    print("settings (--set NAME=VALUE)\n  " + ", ".join(_settings()))
    return 0


def models() -> dict[str, str]:
    """The kind of every model that is known."""
    return {name: _word(personality.kind) for name, personality in sorted(PERSONALITIES.items())}


def explained_faults() -> dict[str, str]:
    """What each fault does, in the words of its definition."""
    told = re.split(r"^\s*- ", Faults.__doc__ or "", flags=re.MULTILINE)[1:]
    found = {}
    for item in told:
        name, _, words = item.partition(":")
        found[name.strip("` ")] = " ".join(words.split())
    return found


def _print_table(title: str, rows: dict[str, str]) -> None:
    print(title)
    for name, words in rows.items():
        print(f"  {name:<23} {words}")
    print()


def _simulate(given: argparse.Namespace) -> int:
    meter = _meter(given)
    told = _told(given)
    first = measure_of(meter.name, told) if told or given.every else None
    open_place: Callable[..., Any]
    try:
        from firmware_sims import log, places
        from firmware_sims.app import Plan, serve
        from firmware_sims.bluez_device import Timing
    except ModuleNotFoundError as e:
        if (e.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise UnavailableError("simulated meters need more packages: pip install 'homevigil[sims]'") from e
    if given.dongle is not None:
        open_place = partial(places.on_dongle, meter=meter, dongle=given.dongle, bonds=given.bonds)
    else:
        _check_bus(given)
        open_place = partial(places.on_bus, meters=(meter,), timing=Timing())
    log.configure()
    is_person = sys.stdin.isatty() and sys.stdout.isatty() and not given.json
    asyncio.run(
        serve(
            open_place,
            Keyboard(meter=meter.name, told=told) if is_person else JsonLines(),
            plan=None if first is None else Plan(measure=first, every_s=given.every),
            ends_with_input=is_person,
        )
    )
    return 0


def _told(given: argparse.Namespace) -> dict[str, str]:
    """The fields of `Measure` that were said."""
    options = vars(given).items()
    return {name.removeprefix("measure_"): v for name, v in options if name.startswith("measure_") and v is not None}


def _check_bus(given: argparse.Namespace) -> None:
    if given.bonds is not None:
        raise MalformedError("command", "--bonds is for a meter on a --dongle; on a bus it forgets when it ends")
    if "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ:
        raise UnavailableError(
            "where is the meter to be? Say --dongle usb:0 for a Bluetooth dongle of this machine, or set "
            "DBUS_SYSTEM_BUS_ADDRESS to a D-Bus of your own, on which it brings an org.bluez"
        )


def _meter(given: argparse.Namespace) -> Meter:
    """The meter that was described; raises `MalformedError`."""
    kind = given.word.replace("-", "_")
    settings: dict[str, Any] = {
        "name": given.name or f"HV {given.word}"[:22],
        "kind": kind,
        "index": given.index,
        "zone": given.zone or clock.zone_here(),
        "faults": _pairs(given.fault, tuple(Faults.__struct_fields__)),
        "users": [_user(each) for each in given.user],
        **_pairs(given.set, _settings()),
    }
    if given.clock is not None:
        settings["clock"] = _clock(given.clock)
    if given.passkey is not None:
        settings["passkey"] = given.passkey if given.passkey == "random" else _digits(given.passkey)
    if given.model is not None:
        settings["model"] = given.model
    try:
        ZoneInfo(settings["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError) as e:
        raise MalformedError("command", f"{settings['zone']!r} is no zone; such are Asia/Shanghai and UTC") from e
    try:
        return msgspec.convert(settings, Meter, strict=False)
    except msgspec.ValidationError as e:
        raise MalformedError("command", str(e)) from e


def _settings() -> tuple[str, ...]:
    """Settings of a meter that have no option of their own."""
    return tuple(
        f
        for f in Meter.__struct_fields__
        if f not in ("name", "kind", "index", "zone", "clock", "passkey", "users", "faults")
    )


def _pairs(words: Sequence[str], known: tuple[str, ...]) -> dict[str, str]:
    """`name=value`; a name alone is a claim that holds."""
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if name not in known:
            raise MalformedError("command", f"{name!r} is none of {', '.join(known)}", name)
        pairs[name] = value if equals else "true"
    return pairs


def _user(word: str) -> dict[str, str]:
    index, _, code = word.partition(":")
    return {"index": index, "consent_code": _digits(code)}


def _digits(code: str) -> str:
    """A code as the number that it is: 000042 is 42."""
    return code.lstrip("0") or code[-1:]


def _clock(word: str) -> object:
    if re.fullmatch(r"[+-]\d+", word):
        return {"offset_s": int(word)}
    return {"stuck_at": word} if "T" in word else word


def _word(kind: str) -> str:
    return kind.replace("_", "-")


def _sample(kind: Kind) -> Firmware:
    return firmware_of(Meter(name="m", kind=kind, index=0))
