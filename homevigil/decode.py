"""`homevigil decode`: the bytes of a meter as canonical JSON, for people who debug meters.

    homevigil decode 2a35 16FF07FF07FF07E80706170E230AFF070000
    homevigil decode --stdin < frames        (lines `2a35 HEX`; one JSON object a line, in order)

It shows what the gateway would read out of a frame and stores nothing. A value that the meter says it lacks is null. What
cannot be decoded is `{"error": "reason: why"}`; what decodes but must not be believed carries `quality` and `reasons`.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from homevigil.canonical import (
    blood_pressure,
    cgm,
    device,
    enhanced_blood_pressure,
    glucose,
    health_thermometer,
    heart_rate,
    meter_clock,
    pulse_oximeter,
    user_data,
    weight_scale,
)
from homevigil.canonical.answer import Canonical
from vitals.errors import MalformedError
from vitals.gatt import uuids


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 well, 1 undecodable (not with --stdin), 2 not understood."""
    parser = _parser()
    try:
        given = parser.parse_args(arguments)
        if given.stdin == (given.characteristic is not None) or given.stdin == bool(given.frame):
            parser.error("give a characteristic and its bytes, such as 2a35 0494005C006F004800; or --stdin")
        return _decode_lines() if given.stdin else _decode_one(given.characteristic, " ".join(given.frame))
    except SystemExit as end:  # argparse has said why
        return end.code if isinstance(end.code, int) else 2
    except BrokenPipeError:  # whoever read our lines has seen enough; Python must not complain again while it exits
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    """argparse and not typer, which loads pydantic: this word is for a terminal at the bedside too."""
    parser = argparse.ArgumentParser(
        prog="homevigil decode", description="Bytes of a meter to one line of canonical JSON."
    )
    known = ", ".join(_DECODERS)
    parser.add_argument("characteristic", nargs="?", help=f"{known}; 0x2A35 and the long UUID too")
    parser.add_argument("frame", nargs="*", metavar="HEX", help="the bytes; spaces, colons, dashes and 0x are fine")
    parser.add_argument(
        "--stdin", action="store_true", help="read lines of CHARACTERISTIC HEX and answer each with one"
    )
    return parser


def _decode_one(characteristic: str, frame: str) -> int:
    result = canonical_or_error(characteristic, frame)
    _print(result)
    return int("error" in result)


def canonical_or_error(characteristic: str, frame: str) -> Canonical:
    """What `canonical` says of the frame, or `{"error": reason}`."""
    try:
        return canonical(characteristic, hex_bytes(frame))
    except MalformedError as e:
        return {"error": str(e)}


def canonical(characteristic: str, frame: bytes) -> Canonical:
    """The frame of this characteristic as JSON values; raises `MalformedError`."""
    short = uuids.short(characteristic)
    if short is None or short not in _DECODERS:
        known = ", ".join(_DECODERS)
        raise MalformedError("characteristic", f"{characteristic[:64]!r} is not read here; known are {known}")
    return _DECODERS[short](frame)


def hex_bytes(text: str) -> bytes:
    """The bytes in `16FF`, `16 ff`, `16:FF`, `0x16 0xFF` or `(0x) 16-FF`; raises `MalformedError` (`hex`)."""
    words = [word.removeprefix("0x").removeprefix("0X") for word in re.split(r"[\s:,()-]+", text)]
    try:
        return b"".join(map(bytes.fromhex, words))
    except ValueError as e:
        raise MalformedError("hex", "bytes are pairs of hex digits, such as 16FF07 or 16:FF:07", text[:64]) from e


def _decode_lines() -> int:
    """Bytes that are no text become U+FFFD, so that no line, however broken, ends the run or is left without an answer."""
    for line in sys.stdin.buffer:
        characteristic, *frame = line.decode("utf-8", "replace").split(maxsplit=1) or [""]
        _print(canonical_or_error(characteristic, " ".join(frame)))
    return 0


def _print(result: Canonical) -> None:
    print(json.dumps(result, ensure_ascii=False, allow_nan=False), flush=True)


_DECODERS: Final = (
    blood_pressure.DECODERS
    | enhanced_blood_pressure.DECODERS
    | glucose.DECODERS
    | cgm.DECODERS
    | weight_scale.DECODERS
    | pulse_oximeter.DECODERS
    | health_thermometer.DECODERS
    | heart_rate.DECODERS
    | user_data.DECODERS
    | meter_clock.DECODERS
    | device.DECODERS
)


if __name__ == "__main__":
    sys.exit(main())
