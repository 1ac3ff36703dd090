"""A home in order, as facts, and what can be wrong with it, one thing at a time: for the tests of what is said of the fleet."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from server.store.alarms import Alarm, AlarmKind
from server.store.fleet import Facts, GatewayFacts, HeldFacts, HouseFacts, MeterFacts, PatientFacts, WaitingPushes
from server.store.heartbeat import Beat
from server.store.recompute import Run

NOW = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # noon in Shanghai
LONG_AGO = NOW - timedelta(days=90)
GATEWAY, CUFF, GLUCOMETER, PATIENT = "gw-1", "cuff-1", "glu-1", 7


def gateway(gateway_id: str = GATEWAY, **changes: Any) -> GatewayFacts:
    """A gateway that was heard a minute ago and has nothing to complain of."""
    facts = GatewayFacts(
        gateway_id=gateway_id,
        zone="Asia/Shanghai",
        standing="active",
        enrolled_at=LONG_AGO,
        last_heard_at=NOW - timedelta(minutes=1),
        status=status(),
        received=40,
        stored=30,
        repeated=8,
        quarantined=2,
        was_away_until=None,
        epochs=1,
    )
    return replace(facts, **changes)


def status(**changes: Any) -> dict[str, Any]:
    """What a gateway says of itself that has nothing to complain of (docs/reference/wire)."""
    said: dict[str, Any] = {
        "state": "online",
        "version": "0.1.0",
        "clock": "believable",
        "outbox": {"unconfirmed": 0, "held": 0, "disk_is_full": False},
        "radio": {"scanning": True, "wrong": None},
        "meters": {CUFF: {"battery_percent": 80}},
        "machine": {"disk_free_mb": 24_000, "undervoltage": False},
        "starts": {"lately": 1, "up_s": 90_000},
        "certificate": {"days_left": 60},
        "config": {"state": "applied"},
    }
    return said | changes


def meter(meter_id: str = CUFF, **changes: Any) -> MeterFacts:
    """A meter of the patient that measured three hours ago."""
    facts = MeterFacts(
        meter_id=meter_id,
        gateway_id=GATEWAY,
        patient_ids=(PATIENT,),
        bound_since=LONG_AGO,
        last_measured_at=NOW - timedelta(hours=3),
        searched_since=NOW - timedelta(days=30),
    )
    return replace(facts, **changes)


def patient(patient_id: int = PATIENT, **changes: Any) -> PatientFacts:
    """A patient who measured three hours ago."""
    facts = PatientFacts(
        patient_id=patient_id,
        created_at=LONG_AGO,
        zone="Asia/Shanghai",
        gateway_ids=(GATEWAY,),
        meter_ids=(CUFF, GLUCOMETER),
        covered_since=LONG_AGO,
        last_measured_at=NOW - timedelta(hours=3),
        last_accepted_at=NOW - timedelta(hours=3),
    )
    return replace(facts, **changes)


def held(reason: str, *, meter_id: str | None = CUFF, gateway_id: str = GATEWAY, hours: float = 2) -> HeldFacts:
    """One row in quarantine, `hours` old."""
    at = NOW - timedelta(hours=hours)
    return HeldFacts(gateway_id=gateway_id, meter_id=meter_id, reason=reason, rows=1, first_at=at, last_at=at)


def house(**changes: Any) -> HouseFacts:
    """A house in which everything runs, with a second gateway and a watchdog."""
    facts = HouseFacts(
        last_heard_at=NOW - timedelta(seconds=30),
        heard_lately=3,
        oldest_due_at=None,
        due_rows=0,
        broken=(),
        waiting=(),
        beat=Beat(
            started_at=NOW - timedelta(minutes=2),
            came_through_at=NOW - timedelta(minutes=2),
            took_s=1.5,
            late_part=None,
        ),
        recompute=recompute(),
    )
    return replace(facts, **changes)


def recompute(**changes: Any) -> Run:
    """A recompute of last night that found no difference."""
    run = Run(
        run_id=1,
        started_at=NOW - timedelta(hours=9),
        ended_at=NOW - timedelta(hours=8),
        days=35,
        patients=1,
        waiting=0,
        alerts=3,
        differences=0,
    )
    return replace(run, **changes)


def alarm(kind: AlarmKind, subject: str = "") -> Alarm:
    """An alarm that is open for an hour."""
    at = NOW - timedelta(hours=1)
    return Alarm(alarm_id=1, kind=kind.value, subject=subject, detail="", raised_at=at, last_seen_at=at, times=1)


def facts(**changes: Any) -> Facts:
    """One home in order, in a house in order."""
    all_of_it = Facts(
        gateways=(gateway(),),
        meters=(meter(), meter(GLUCOMETER)),
        patients=(patient(),),
        held=(),
        house=house(),
        alarms=(),
    )
    return replace(all_of_it, **changes)


def silent_patient(days: int) -> PatientFacts:
    """A patient who has measured nothing for that many whole days of their own."""
    at = NOW - timedelta(days=days + 1)
    return patient(last_measured_at=at, last_accepted_at=at)


def waiting(channel: str, seconds: float) -> WaitingPushes:
    return WaitingPushes(channel=channel, pushes=2, oldest_due_at=NOW - timedelta(seconds=seconds))
