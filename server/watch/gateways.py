"""What is said of a gateway, from what is known of it and `now`. Pure.

A gateway that is not heard is said to be just that: what it said of itself before is old, and what lies behind it cannot be
known. What the server knows by itself (its account, a hole in its numbers) stays true meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from server.store.fleet import GatewayFacts, HouseFacts
from server.watch.limits import Limits

TEXT_MAX: Final = 200


class GatewayState(StrEnum):
    """Each its own. Those of the first group are said alone or beside what the server knows; the gravest first."""

    REVOKED = "revoked"
    """A person has shut it out for good."""
    SUSPENDED = "suspended"
    """It is not listened to until a person has looked."""
    NOT_YET_HEARD = "not_yet_heard"
    """Enrolled, and never heard."""
    NOBODY_HEARD = "nobody_heard"
    """It is not heard, and neither is anybody else: the fault is in the house."""
    UNHEARD = "unheard"
    """It alone has said nothing for 15 minutes."""
    LINK_LOST = "link_lost"
    """The broker has lost its connection; it may be back at once."""

    ACCOUNT_UNBALANCED = "account_unbalanced"
    """received = stored + repeated + quarantined does not hold: known by the server."""
    HOLE = "hole"
    """Numbers of its outbox are missing: known by the server."""
    DISK_FULL = "disk_full"
    """It says that it can keep no more readings."""
    DISK_LOW = "disk_low"
    """It says that little room is left."""
    RADIO_WRONG = "radio_wrong"
    """It says that its Bluetooth does not work."""
    CLOCK_WAITING = "clock_waiting"
    """It says that it does not know the time; readings are held until it does."""
    RESTARTING = "restarting"
    """It says that it has started again and again within a day."""
    UNDERVOLTAGE = "undervoltage"
    """It says that its power supply is too weak: cards and adapters fail by it."""
    CERTIFICATE_ENDS = "certificate_ends"
    """It says that its certificate ends soon and could not be renewed."""
    CONFIG_REFUSED = "config_refused"
    """It says that it cannot apply what the clinic has set."""
    RADIO_PAUSED = "radio_paused"
    """The clinic has told it to leave its adapter alone for a while."""
    OUTBOX_FILLING = "outbox_filling"
    """It says that many readings wait in its outbox."""
    JUST_BACK = "just_back"
    """It was away for long and is heard again; its meters still hand over what they kept."""
    HEARD = "heard"
    """It is heard, and nothing is wrong that it or we know of."""


BLIND: Final = frozenset(
    {
        GatewayState.REVOKED,
        GatewayState.SUSPENDED,
        GatewayState.NOT_YET_HEARD,
        GatewayState.NOBODY_HEARD,
        GatewayState.UNHEARD,
        GatewayState.DISK_FULL,
        GatewayState.RADIO_WRONG,
        GatewayState.RADIO_PAUSED,
        GatewayState.JUST_BACK,
    }
)
"""Behind a gateway in one of these, the silence of a meter or a patient cannot be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfReport:
    """What a gateway last said of itself (docs/reference/wire). What it did not say, or said oddly, is None."""

    is_offline: bool = False
    version: str | None = None
    is_clock_believable: bool | None = None
    waiting: int | None = None
    held: int | None = None
    is_disk_full: bool = False
    wrong_with_radio: str | None = None
    batteries: Mapping[str, int] | None = None
    wanting_consent: frozenset[str] = frozenset()
    """The meters that keep their users apart and have let it read nobody's records."""
    disk_free_mb: int | None = None
    is_undervolted: bool = False
    starts_lately: int | None = None
    up_s: int | None = None
    certificate_days_left: int | None = None
    is_config_refused: bool = False
    is_radio_paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySaid:
    """What is said of one gateway: at least one state, the gravest first."""

    facts: GatewayFacts
    report: SelfReport
    states: tuple[GatewayState, ...]

    @property
    def blindness(self) -> GatewayState | None:
        """Why nothing can be known of what is behind it; None if something can."""
        return next((state for state in self.states if state in BLIND), None)


def is_nobody_heard(house: HouseFacts, now: datetime, limits: Limits) -> bool:
    """Whether it is the house that is deaf: of at least two gateways lately heard, none is heard now."""
    if house.last_heard_at is None or house.heard_lately < 2:
        return False
    return now - house.last_heard_at >= limits.nobody_heard


def say_gateway(
    facts: GatewayFacts, *, is_deaf: bool, is_miscounted: bool = False, now: datetime, limits: Limits
) -> GatewaySaid:
    """The states of one gateway at `now`. `is_deaf`: nobody is heard; `is_miscounted`: its rows were found to be other than
    its account says."""
    report = read_report(facts.status)
    known = [
        *((GatewayState.ACCOUNT_UNBALANCED,) if is_miscounted or not facts.is_balanced else ()),
        *((GatewayState.HOLE,) if facts.hole else ()),
    ]
    alone = _said_alone(facts, report, is_deaf, now, limits)
    if alone is GatewayState.REVOKED:
        return GatewaySaid(facts=facts, report=report, states=(alone,))
    states = [*((alone,) if alone else ()), *known, *(() if alone else _said_itself(facts, report, now, limits))]
    return GatewaySaid(facts=facts, report=report, states=tuple(states) or (GatewayState.HEARD,))


def read_report(status: Mapping[str, Any] | None) -> SelfReport:
    """What can be read of a status message: it was written by another program, perhaps of another version."""
    if status is None:
        return SelfReport()
    outbox, radio, meters = (_mapping(status.get(name)) for name in ("outbox", "radio", "meters"))
    machine, starts, config = (_mapping(status.get(name)) for name in ("machine", "starts", "config"))
    clock = status.get("clock")
    return SelfReport(
        is_offline=status.get("state") == "offline",
        version=_text(status.get("version")),
        is_clock_believable={"believable": True, "waiting": False}.get(clock) if isinstance(clock, str) else None,
        waiting=_count(outbox.get("unconfirmed")),
        held=_count(outbox.get("held")),
        is_disk_full=outbox.get("disk_is_full") is True,
        wrong_with_radio=_text(radio.get("wrong")),
        batteries={
            meter_id: percent
            for meter_id, meter in meters.items()
            if (percent := _count(_mapping(meter).get("battery_percent"))) is not None and percent <= 100
        },
        wanting_consent=frozenset(meter_id for meter_id, meter in meters.items() if _wants_consent(_mapping(meter))),
        disk_free_mb=_count(machine.get("disk_free_mb")),
        is_undervolted=machine.get("undervoltage") is True,
        certificate_days_left=_days(_mapping(status.get("certificate")).get("days_left")),
        starts_lately=_count(starts.get("lately")),
        up_s=_count(starts.get("up_s")),
        is_config_refused=config.get("state") == "refused",
        is_radio_paused=radio.get("paused") is True,
    )


def _said_alone(
    facts: GatewayFacts, report: SelfReport, is_deaf: bool, now: datetime, limits: Limits
) -> GatewayState | None:
    """Why what the gateway said of itself counts for nothing now; None if it counts."""
    if facts.standing == "revoked":
        return GatewayState.REVOKED
    if facts.standing != "active":
        return GatewayState.SUSPENDED
    if facts.last_heard_at is None:
        return GatewayState.NOT_YET_HEARD
    if now - facts.last_heard_at >= limits.gateway_unheard:
        return GatewayState.NOBODY_HEARD if is_deaf else GatewayState.UNHEARD
    return GatewayState.LINK_LOST if report.is_offline else None


def _said_itself(facts: GatewayFacts, report: SelfReport, now: datetime, limits: Limits) -> list[GatewayState]:
    back_at = facts.was_away_until
    said = {
        GatewayState.DISK_FULL: report.is_disk_full,
        GatewayState.DISK_LOW: report.disk_free_mb is not None and report.disk_free_mb < limits.disk_low_mb,
        GatewayState.RADIO_WRONG: report.wrong_with_radio is not None,
        GatewayState.CLOCK_WAITING: report.is_clock_believable is False,
        GatewayState.RESTARTING: report.starts_lately is not None and report.starts_lately >= limits.restarts_often,
        GatewayState.UNDERVOLTAGE: report.is_undervolted,
        GatewayState.CERTIFICATE_ENDS: report.certificate_days_left is not None
        and report.certificate_days_left < limits.certificate_days,
        GatewayState.CONFIG_REFUSED: report.is_config_refused,
        GatewayState.RADIO_PAUSED: report.is_radio_paused,
        GatewayState.OUTBOX_FILLING: report.waiting is not None and report.waiting >= limits.outbox_filling,
        GatewayState.JUST_BACK: back_at is not None and now - back_at < limits.long_away,
    }
    return [state for state, is_so in said.items() if is_so]


def _wants_consent(meter: Mapping[str, Any]) -> bool:
    users = _mapping(meter.get("users"))
    return meter.get("asks_for_user") is True or (bool(users) and "opened" not in users.values())


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:TEXT_MAX] if isinstance(value, str) and value else None


def _days(value: object) -> int | None:
    """Fewer than none, once it has ended."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
