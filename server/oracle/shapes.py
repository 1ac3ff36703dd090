"""What the oracle is asked about and what it answers: a patient as stored, and alerts as the readings tell them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Literal

Kind = Literal[
    "blood_pressure", "glucose", "sensor_glucose", "weight", "oxygen_saturation", "temperature", "heart_rate"
]
Quality = Literal["invalid", "rejected", "suspect", "accepted"]
State = Literal["pending", "active", "resolved", "closed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleReading:
    """One measurement as the meter gave it, without anybody's opinion of it.

    `name` (the reading's id) orders readings of one instant. `status` is the status word of GATT 0x2A35 (blood pressure), 0x2A18
    (glucose), 0x2AA7 (sensor glucose) or 0x2A5E (oxygen saturation, with `sensor_status` beside it). `is_censored`: the meter
    showed HI (`is_hi`) or LO instead of a number. `is_control`: a test with control solution.
    """

    name: str
    kind: Kind = "blood_pressure"
    measured_at: datetime
    received_at: datetime
    time_quality: str = "trusted"
    systolic_mmhg: Fraction | None = None
    diastolic_mmhg: Fraction | None = None
    pulse_bpm: Fraction | None = None
    glucose_mmol_l: Fraction | None = None
    glucose_mg_dl: Fraction | None = None
    is_censored: bool = False
    is_hi: bool = False
    is_control: bool = False
    meal: str | None = None
    weight_kg: Fraction | None = None
    spo2_percent: Fraction | None = None
    temperature_celsius: Fraction | None = None
    status: int | None = None
    sensor_status: int | None = None
    has_contact: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleThreshold:
    """A patient's own numbers for one rule, by signal. `is_watched`: does the rule speak of this patient? None: as it says."""

    version: int
    parameters: Mapping[str, Any]
    is_watched: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleClose:
    """A clinician closed an alert of these days, and it has not been opened again since."""

    rule_id: str
    first_day: date
    last_day: date
    closed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OraclePatient:
    """All that the answer depends on but the rules and `now`. `zones`: (in force from, IANA name), at least one.

    `judged_from`: what lies on its clinical day or before is looked at only to mark later readings. None: nothing is cut off.
    `symptoms`: when the patient said whether there were any. `last_counted_before`: the newest accepted reading of
    any kind before all `readings`; None: there is none. `unheard`: from when to when (None: still) nothing of this patient could
    be heard, in any order.
    """

    readings: tuple[OracleReading, ...]
    zones: tuple[tuple[datetime, str], ...]
    enrolled_on: date
    thresholds: Mapping[str, OracleThreshold] = field(default_factory=dict)
    closes: tuple[OracleClose, ...] = ()
    judged_from: datetime | None = None
    symptoms: tuple[tuple[datetime, bool], ...] = ()
    last_counted_before: datetime | None = None
    unheard: tuple[tuple[datetime, datetime | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleAlert:
    """One alert as it must be.

    `pending`: it will open if the day closes as it is; nobody knows of it yet. `closed`: the readings alone would still hold
    it, a person closed it. `started_at` is its first reading, `opened_at` the instant at which it became true, `evidence_at`
    its newest evidence: a person's close holds until there is newer. `tells` are told if it is found while active and not after
    `fresh_until`, else `tells_late`. `values`: the mean systolic and diastolic of each day of the run, mmHg. `confirmed_at`: a
    repeat that met the condition too was measured then; `raised_at`: it is more urgent since, for that or another reason.
    `said`: what each condition of a combined rule says at `evidence_at`. `counts`: what was counted of days, by name.
    """

    rule_id: str
    rule_version: int
    threshold_version: int
    priority: str
    state: State
    first_day: date
    last_day: date
    started_at: datetime
    opened_at: datetime
    deliver_at: datetime
    resolved_at: datetime | None
    evidence_at: datetime
    reading_ids: tuple[str, ...]
    tells: tuple[str, ...]
    tells_late: tuple[str, ...] = ()
    fresh_until: datetime | None = None
    has_reading_below: bool = False
    values: tuple[tuple[Fraction, Fraction], ...] = ()
    confirmed_at: datetime | None = None
    raised_at: datetime | None = None
    said: tuple[Literal["yes", "no"] | None, ...] = ()
    counts: Mapping[str, Any] = field(default_factory=dict)
