"""Real models that a simulated meter can be: what they say of themselves, and how they differ from their profile.

A meters file says `"model": "Beurer BM85"`. Each of the gateway's entries about odd meters has its model here; the sources are in
that entry (`gateway/sessions/quirks.toml`). This side knows nothing of it and writes its frames for itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from firmware_sims.clock_services import ClockService
from firmware_sims.faults import NONE, Faults
from firmware_sims.kinds import Kind

Wording = Callable[[bytes], tuple[bytes, ...]]
"""What the model sends in the place of one standard frame: several, where it shows what is on the way to the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Personality:
    """`about`: manufacturer, model and firmware as Device Information says them; what is missing is as for any simulated meter.
    `name` is advertised in the place of the meter's own. `own_characteristic` is one that only has to be there.
    `has_users`: a scale that keeps its users apart, and has the control point for it before there is any."""

    kind: Kind
    about: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    clock_service: ClockService = "current_time"
    wording: Wording = lambda frame: (frame,)
    faults: Faults = NONE
    own_characteristic: str | None = None
    are_numbers_reversed: bool = False
    has_context: bool = True
    has_users: bool = False


def _bm85(frame: bytes) -> tuple[bytes, ...]:
    """Standard frame with time, pulse, user and status: the user's flag is another, the mean is 0, the tail big end first."""
    assert frame[0] == 0x1E, "a BM85 always sends time, pulse, user and status"
    pulse, user, status = frame[14:16], frame[16:17], frame[17:19]
    return (b"\x56" + frame[1:5] + b"\0\0" + frame[7:14] + pulse[::-1] + user + status[::-1],)


def _qardio(frame: bytes) -> tuple[bytes, ...]:
    """Three pressures on the way, without a status and a diastolic pressure, then the result."""
    rising = tuple(b"\x00" + bytes((mmhg, 0)) + bytes(4) for mmhg in (60, 120, 180))
    return (*rising, frame)


def _renpho(frame: bytes) -> tuple[bytes, ...]:
    """A tenth of the counts, user 170, no body, and a reserved flag."""
    count = int.from_bytes(frame[1:3], "little") // 10
    time = frame[3:10] if frame[0] & 0x02 else b""
    return (bytes((0x4C | frame[0] & 0x02,)) + count.to_bytes(2, "little") + time + b"\xaa" + bytes(4),)


def _xiaomi(frame: bytes) -> tuple[bytes, ...]:
    """Still moving, standing still, and then the same number with nobody on it."""
    moving = bytes((frame[0],)) + (int.from_bytes(frame[1:3], "little") // 2).to_bytes(2, "little") + frame[3:]
    return (moving, bytes((frame[0] | 0x20,)) + frame[1:], bytes((frame[0] | 0xA0,)) + frame[1:])


def _below_zero(frame: bytes) -> tuple[bytes, ...]:
    return (bytes((frame[0] | 0x10,)) + frame[1:],)


PERSONALITIES: Final[dict[str, Personality]] = {
    "Omron BP5150": Personality(kind="blood_pressure", name="BLEsmart_0001", clock_service="window"),
    "A&D UA-651BLE": Personality(
        kind="blood_pressure",
        about={"manufacturer": "A&D Medical", "model": "UA-651BLE"},
        name="A&D_UA-651BLE_0001",
        clock_service="date_time",
        faults=Faults(hangs_up=True, impatient_after=4),
    ),
    "Beurer BM85": Personality(kind="blood_pressure", name="Beurer BM85", wording=_bm85),
    "Beurer BM59": Personality(kind="blood_pressure", about={"manufacturer": "Beurer"}, name="BM 59"),
    "Silvercrest SBM69": Personality(kind="blood_pressure", name="SBM69"),
    "Beurer BM54": Personality(kind="blood_pressure", about={"manufacturer": "Beurer GmbH", "model": "BM54"}),
    "boso medicus": Personality(kind="blood_pressure", name="boso medicus", faults=Faults(fails=True)),
    "QardioArm": Personality(
        kind="blood_pressure",
        name="QardioARM",
        wording=_qardio,
        own_characteristic="583cb5b3-875d-40ed-9098-c39eb0c1983d",
    ),
    "Medisana BU570": Personality(kind="blood_pressure", name="1872B", faults=Faults(impatient_after=4)),
    "TaiDoc DM30b": Personality(
        kind="glucose",
        about={"manufacturer": "TaiDoc", "model": "DM30b", "firmware": "v1.2.4"},
        clock_service="none",
        are_numbers_reversed=True,
        has_context=False,
    ),
    "CareSens Dual": Personality(kind="glucose", about={"manufacturer": "i-SENS, Inc."}, clock_service="caresens"),
    "OneTouch Verio Flex": Personality(kind="glucose", about={"manufacturer": "LifeScan"}, name="OneTouch J7RG"),
    "Accu-Chek Aviva Connect": Personality(
        kind="glucose", about={"manufacturer": "Roche"}, clock_service="date_time_read_only"
    ),
    "Contour Next One": Personality(kind="glucose", about={"manufacturer": "Ascensia"}, clock_service="contour"),
    "Renpho ES-WBE28": Personality(kind="weight", name="Renpho-Scale", wording=_renpho),
    "Xiaomi XMTZC04HM": Personality(kind="weight", name="MI SCALE2", wording=_xiaomi),
    "Detecto 7550": Personality(kind="weight", name="Detecto 7550", wording=_below_zero),
    "Beurer BF720": Personality(
        kind="weight", about={"manufacturer": "Beurer", "model": "BF720"}, name="BF720", has_users=True
    ),
}
"""By the word that a meters file uses."""

PLAIN: Final = Personality(kind="blood_pressure", about={"manufacturer": "HomeVigil Sims", "firmware": "1.0"})
"""A meter that keeps to its profile; its model is its firmware's."""
