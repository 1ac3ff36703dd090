"""What a meters file says: which meters are on the air, and how each of them misbehaves.

Values only, strict at the door: an unknown key in the file is an error, not a fault that never happens.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import force_setattr

from firmware_sims.faults import NONE, Faults
from firmware_sims.kinds import KINDS, Kind
from firmware_sims.measure import NaiveTime
from firmware_sims.personalities import PERSONALITIES, PLAIN, Personality
from vitals.errors import MalformedError


class WrongClock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A clock that runs `offset_s` seconds ahead of the wall, or stands still at `stuck_at`, or begins at `resets_to` whenever
    the meter is switched on. `says_so`: the meter tells that nobody has set it, where its frames have a flag for that
    (oximeters)."""

    offset_s: int = 0
    stuck_at: NaiveTime | None = None
    resets_to: NaiveTime | None = None
    says_so: bool = False


Clock = Literal["ok", "absent", "unset", "1970"] | WrongClock
"""`absent`: no time stamp and no clock service. `unset`: every date field is 0, "unknown". `1970`: never set, never runs."""


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody whose records a shared meter gives only to who knows the consent code, four digits."""

    index: Annotated[int, Meta(ge=0, le=0xFE)]
    consent_code: Annotated[int, Meta(ge=0, le=9_999)]


class Meter(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One simulated meter. `passkey` makes it show this number when pairing, or another one each
    time; without one, `pairing` says whether it pairs at once, wants a number typed that the other side shows, shows one to
    compare, or knows no pairing at all; `zone` is that of the wall it hangs on. `users`
    makes a scale ask for consent (User Data Service).

    `connection_interval_ms` paces its indications: no meter can say more than one in each connection interval. `tick_ms`
    paces what a meter shows while it measures, or for as long as it is worn. `has_local_time`
    gives it Local Time Information (0x2A0F). `shows_only` makes an oximeter one that has nothing but its stream. `model` makes it
    one that is sold, with its ways and its faults, if none are given (`firmware_sims.personalities`).
    """

    # 22 characters at most: an advertisement has 31 bytes, of which flags and service take 7 and the name's header 2.
    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,21}\Z")]
    kind: Kind
    index: Annotated[int, Meta(ge=0, le=0xFFFF)]
    secure: bool = True
    passkey: Annotated[int, Meta(ge=0, le=999_999)] | Literal["random"] | None = None
    pairing: Literal["just_works", "keypad", "compare", "refused"] = "just_works"
    zone: str = "Asia/Shanghai"
    clock: Clock = "ok"
    unit: Literal["kg/L", "mol/L"] = "kg/L"
    weight_unit: Literal["kg", "lb"] = "kg"
    temperature_unit: Literal["°C", "°F"] = "°C"
    users: tuple[User, ...] = ()
    advertising_interval_ms: Annotated[int, Meta(ge=20, le=10_240)] = 100
    connection_interval_ms: Annotated[int, Meta(ge=0, le=4_000)] = 30
    tick_ms: Annotated[int, Meta(ge=10, le=60_000)] = 1_000
    has_local_time: bool = False
    shows_only: bool = False
    faults: Faults = NONE
    model: str | None = None

    def __post_init__(self) -> None:
        if self.model is None:
            return
        personality = PERSONALITIES.get(self.model)
        if personality is None:
            raise ValueError(f"no model {self.model!r}; there are {', '.join(sorted(PERSONALITIES))}")
        if personality.kind != self.kind:
            raise ValueError(f"{self.model!r} is of kind {personality.kind!r}")
        if self.faults == NONE:
            force_setattr(self, "faults", personality.faults)

    @property
    def personality(self) -> Personality:
        return PLAIN if self.model is None else PERSONALITIES[self.model]

    @property
    def advertised_name(self) -> str:
        return self.personality.name or self.name

    @property
    def meter_id(self) -> str:
        return meter_id(self.kind, self.index)


class Meters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file given to `--meters`."""

    meters: tuple[Meter, ...]


def meter_id(kind: Kind, index: int) -> str:
    """The Bluetooth identity address of the simulated meter: static random, so its two top bits are set."""
    return f"F0:00:00:{KINDS[kind].address_byte:02X}:{index >> 8:02X}:{index & 0xFF:02X}"


def parse_meters(text: bytes) -> tuple[Meter, ...]:
    """The meters of a file; raises `MalformedError` for one that is not as documented or names a meter twice."""
    try:
        meters = msgspec.json.decode(text, type=Meters).meters
    except msgspec.DecodeError as e:
        raise MalformedError("meters_file", str(e)) from e
    for key in ("name", "meter_id"):
        _check_unique([getattr(meter, key) for meter in meters], key)
    return meters


def _check_unique(values: list[Any], what: str) -> None:
    for value in values:
        if values.count(value) > 1:
            raise MalformedError("meters_file", f"two meters have the {what} {value!r}", value)
