"""How the box is, in detail, for whoever must help from afar: everything but what is the patient's, or a secret.

No value, no raw bytes, no name, no password, no pairing code: what is taken up is chosen word by word, and whatever is free text
is gone over for secrets and for anything that looks like bytes. A bundle fits into one message; the oldest log lines give way.
"""

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from gateway.config import Secret, Settings
from gateway.health import describe_kernel
from gateway.outbox_rows import MeterMemory
from gateway.status import encoded, with_few_pairings
from gateway.totals import MeterTotals

LIBRARIES: Final = ("homevigil", "bleak", "bleak-retry-connector", "dbus-fast", "paho-mqtt", "msgspec")
METERS_MAX: Final = 60
TOOL_S: Final = 3.0
"""The longest that a program of the system may take to say its version."""
KEPT_WORDS: Final = frozenset(
    {"event", "level", "timestamp", "meter_id", "gateway_id", "reading_id", "name", "adapter"}
)
"""Of a log line, what is not free text."""
FREE_WORDS: Final = frozenset({"why", "wrong"})
"""What is free text, elsewhere."""
_ABOUT: Final = ("manufacturer", "model", "firmware", "hardware", "software")
"""What a meter says of itself, without the number of the single piece."""
_BYTES: Final = re.compile(r"(?:\b|(?<=x))(?:[0-9A-Fa-f]{2}[ -]?){4,}|(?:\\x[0-9A-Fa-f]{2})+|[A-Za-z0-9+/]{24,}={0,2}")
_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
SHORT_DIGITS: Final = 4
"""A code so short is a year, or a part of a name, as well: it is taken out of free text alone, as a number of its own."""
_SECRET_NAMES: Final = ("password", "username", "token", "key", "secret")


def bundle(
    *,
    now: datetime,
    settings: Settings,
    status: Mapping[str, Any],
    remembered: Sequence[tuple[MeterMemory, datetime]],
    counted: Mapping[str, MeterTotals],
    lines: Iterable[str],
    secrets: Iterable[str] = (),
    request: str | None = None,
) -> dict[str, Any]:
    """Everything at once; JSON. `status` is what the status message says, `lines` are of the log, `secrets` never leave."""
    hidden = sorted({*secrets, *_secrets_of(settings)} - {""}, key=len, reverse=True)
    whole = {
        "request": request,
        "at": now.isoformat(timespec="seconds"),
        "system": describe_kernel() | {"python": platform.python_version(), "bluez": bluez_version()},
        "versions": {name: _version(name) for name in LIBRARIES},
        "settings": _settings_in_words(settings),
        "status": with_few_pairings(dict(status), {memory.meter_id for memory, _ in remembered}),
        "meters": _meters(remembered, counted),
        "log": [_line(each) for each in lines],
    }
    return {name: _gone_over(value, hidden, name, is_log=name == "log") for name, value in whole.items()}


def fitted(whole: Mapping[str, Any], max_bytes: int) -> bytes:
    """The bundle as one message; the oldest lines of the log, then the meters, give way."""
    said = dict(whole)
    lines, meters = list(said.get("log", ())), dict(said.get("meters", {}))
    while len(payload := encoded(said | {"log": lines, "meters": meters})) > max_bytes and (lines or meters):
        if lines:
            del lines[: max(1, len(lines) // 10)]
        else:
            meters.popitem()
    return payload


def bluez_version() -> str | None:
    """Of the Bluetooth stack of this machine, if its tool is there."""
    return _said_by("bluetoothctl", "--version")


def throttling() -> str | None:
    """What a Pi's firmware has seen of its power supply and warmth, if its tool is there and may look; a hexadecimal mask
    (raspberrypi.com, documentation of vcgencmd: get_throttled)."""
    return _said_by("vcgencmd", "get_throttled")


def journal(unit: str = "homevigil-gateway", lines: int = 200) -> list[str]:
    """The last lines of the service's log, where there is a journal that we may read."""
    said = _said_by("journalctl", "--unit", unit, "--lines", str(lines), "--output", "cat", "--no-pager")
    return (said or "").splitlines()


def _settings_in_words(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if isinstance(value, Secret) or (isinstance(value, str) and any(word in name for word in _SECRET_NAMES)):
            found[name] = "set"
        elif value is not None:
            found[name] = str(value) if isinstance(value, Path) else value
    return found


def _secrets_of(settings: Settings) -> list[str]:
    values = (getattr(settings, name) for name in settings.__struct_fields__)
    return [value.get_secret_value() for value in values if isinstance(value, Secret)]


def _meters(
    remembered: Sequence[tuple[MeterMemory, datetime]], counted: Mapping[str, MeterTotals]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for memory, read_at in remembered[:METERS_MAX]:
        about = {name: memory.about[name] for name in _ABOUT if name in memory.about}
        read = read_at.isoformat(timespec="seconds")
        found[memory.meter_id] = {"read_at": read, "battery_percent": memory.battery_percent, "about": about}
    for meter_id, totals in list(counted.items())[:METERS_MAX]:
        found.setdefault(meter_id, {})
        found[meter_id] |= {
            "sessions": totals.sessions,
            "failed": totals.failed,
            "failed_in_a_row": totals.failed_in_a_row,
            "kept": totals.kept,
            "unsteady": totals.unsteady,
            "users": totals.users,
            "asks_for_user": totals.asks_for_user,
            "clock": totals.clock,
            "why": totals.why,
        }
    return found


def _line(text: str) -> dict[str, Any]:
    """A line of the log as what it says; one of another program keeps its words alone."""
    try:
        said = json.loads(text)
    except ValueError:
        return {"said": text[:300]}
    if not isinstance(said, dict):
        return {"said": text[:300]}
    return {name: value for name, value in said.items() if isinstance(value, str | int | float | bool)}


def _gone_over(said: Any, secrets: Sequence[str], name: str = "", *, is_log: bool = False) -> Any:
    """All of it, with what must not leave taken out: secrets everywhere, what looks like bytes or a code from free text."""
    match said:
        case dict():
            return {key: _gone_over(each, secrets, key, is_log=is_log) for key, each in said.items()}
        case list() | tuple():
            return [_gone_over(each, secrets, name, is_log=is_log) for each in said]
        case str():
            is_free = name in FREE_WORDS or (is_log and name not in KEPT_WORDS)
            for secret in secrets:
                if len(secret) > SHORT_DIGITS or not secret.isdigit():
                    said = said.replace(secret, "[secret]")
                elif is_free:
                    said = re.sub(rf"(?<!\d){secret}(?!\d)", "[secret]", said)
            return _CODE.sub("[code]", _BYTES.sub("[bytes]", said)) if is_free else said
    return said


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _said_by(program: str, *arguments: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, *arguments], capture_output=True, text=True, timeout=TOOL_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
