"""The JSON of `/api/v1`: what is sent and what is taken. Instants are UTC; values are in the units of their names."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from server.people.decisions import NOTE_MAX, Resolution
from server.people.evidence import reading_ids
from server.people.rule_texts import RuleText, text_of
from server.store.reading_lists import ShownReading
from server.store.worklist import Alert, InboxMessage

State = Literal["active", "acknowledged", "snoozed", "resolved", "retracted"]
Priority = Literal["information", "low", "medium", "high"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, StringConstraints(max_length=NOTE_MAX, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]


class Shape(BaseModel):
    """Strict at the door: no guessing of types, no unknown field, no NaN."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class SignInIn(Shape):
    login: Name
    password: Name


class SessionOut(Shape):
    """`token` is a bearer token for scripts. It ends 15 minutes after its last use and 12 hours after sign-in."""

    token: str
    expires_at: datetime
    login: str
    role: str


class ResolveIn(Shape):
    """`is_useful`: was the alert worth a clinician's time? Left out: nothing is said."""

    resolution: Annotated[Resolution, Field(strict=False)]
    note: Text = ""
    is_useful: bool | None = None


class SnoozeIn(Shape):
    """`or_worse`: it wakes before `until` on a worse value; an urgent alert does in any case. At most 24 hours then."""

    until: Annotated[AwareDatetime, Field(strict=False)]
    or_worse: bool = True


class RateIn(Shape):
    is_useful: bool


class NoteIn(Shape):
    text: Text


class PatientOut(Shape):
    patient_id: int
    name: str


class RuleOut(Shape):
    rule_id: str
    version: int
    title: Mapping[str, str]
    source: str


_LIFE: Final = (
    *("snoozed_until", "snoozed_or_worse", "snoozed_by", "is_useful", "undo_until", "inhibited_by"),
    *("known_at", "answer_by", "answered_at", "answered_by"),
)


class AlertOut(Shape):
    """An alert. `etag` is what `If-Match` must say to decide about it; `evidence` names the readings judged.

    `snoozed_until`: it sleeps. `undo_until`: the caller's own last decision about it may be undone until then. `inhibited_by`:
    the more urgent alert that speaks for it. Of an urgent alert `known_at` is when the server had the reading and `answer_by`
    when a clinician's decision must be on record; `answered_at` when the first was.
    """

    episode_id: UUID
    version: int
    etag: str
    patient: PatientOut
    rule: RuleOut
    title: Mapping[str, str]
    sentence: Mapping[str, str]
    priority: Priority
    state: State
    first_day: date
    last_day: date
    opened_at: datetime
    judged_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    resolved_at: datetime | None
    resolved_by: str | None
    resolution: str | None
    evidence: tuple[UUID, ...]
    snoozed_until: datetime | None
    snoozed_or_worse: bool
    snoozed_by: str | None
    is_useful: bool | None
    undo_until: datetime | None
    inhibited_by: UUID | None
    known_at: datetime | None
    answer_by: datetime | None
    answered_at: datetime | None
    answered_by: str | None

    @classmethod
    def of(cls, alert: Alert, rules: Mapping[str, RuleText]) -> Self:
        text = text_of(rules, alert.rule_id)
        return cls.model_validate(
            {
                "episode_id": alert.episode_id,
                "version": alert.version,
                "etag": f'"{alert.version}"',
                "patient": PatientOut(patient_id=alert.patient_id, name=alert.patient_name),
                "rule": RuleOut(
                    rule_id=alert.rule_id, version=alert.rule_version, title=text.title, source=text.source
                ),
                "title": text.title,
                "sentence": dict(alert.sentence),
                "priority": alert.priority,
                "state": alert.state,
                "first_day": alert.first_day,
                "last_day": alert.last_day,
                "opened_at": alert.opened_at,
                "judged_at": alert.judged_at,
                "acknowledged_at": alert.acknowledged_at,
                "acknowledged_by": alert.acknowledged_by,
                "resolved_at": alert.resolved_at,
                "resolved_by": alert.resolved_by,
                "resolution": alert.resolution,
                "evidence": reading_ids(alert.verdict),
                **{name: getattr(alert, name) for name in _LIFE},
            }
        )


class AlertsOut(Shape):
    """One page, newest first. `next` is the cursor of the page after it, `null` at the end."""

    alerts: tuple[AlertOut, ...]
    next: str | None


class ReadingOut(Shape):
    """A reading. What the meter did not say is `null`; `quality` and `time_quality` say what may be believed.

    A measurement that gave half a blood pressure has failed: all of its pressures are `null`. `standing` is that in the record
    asked for: `in_use`, `void` (a clinician has said that it is nobody's), `moved` (it is another's); `is_from_another`: it came
    in as another's. `etag` is what `If-Match` must say to correct it.
    """

    reading_id: UUID
    kind: str
    measured_at: datetime
    received_at: datetime
    meter_id: str
    user_slot: int | None
    systolic_mmhg: float | None
    diastolic_mmhg: float | None
    mean_mmhg: float | None
    pulse_bpm: float | None
    glucose_mmol_l: float | None
    glucose_mg_dl: float | None
    glucose_censored: str | None
    meal: str | None
    weight_kg: float | None
    spo2_percent: float | None
    temperature_celsius: float | None
    unit_sent: str | None
    quality: str
    quality_reasons: tuple[str, ...]
    time_quality: str
    meter_time: str | None
    clock_offset_s: float | None
    zone: str
    standing: Literal["in_use", "void", "moved"]
    is_from_another: bool
    version: int
    etag: str

    @classmethod
    def of(cls, reading: ShownReading) -> Self:
        fields = {name: getattr(reading, name) for name in cls.model_fields if name != "etag"}
        fields["etag"] = f'"{reading.version}"'
        if reading.is_failed:
            fields |= dict.fromkeys(("systolic_mmhg", "diastolic_mmhg", "mean_mmhg"))
        return cls.model_validate(fields | {"quality_reasons": tuple(reading.quality_reasons)})


class ReadingsOut(Shape):
    """One page, newest first."""

    readings: tuple[ReadingOut, ...]
    next: str | None


class OtherOut(Shape):
    """Another alert of the patient that was told with the same message."""

    episode_id: UUID
    text: Mapping[str, Mapping[str, str]]


class MessageOut(Shape):
    """A push in the inbox. `step` 0 opens an alert, 1 and on repeat it, -1 takes it back; of no alert without `episode_id`.

    `is_for_clinic`: to the clinic's desk, so everybody who sees the patient has it, and one reads it for all.
    """

    push_id: UUID
    episode_id: UUID | None
    patient: PatientOut
    step: int
    state: str
    priority: Priority
    text: Mapping[str, Mapping[str, str]]
    sent_at: datetime
    read_at: datetime | None
    is_for_clinic: bool
    others: tuple[OtherOut, ...]

    @classmethod
    def of(cls, message: InboxMessage) -> Self:
        fields = {name: getattr(message, name) for name in cls.model_fields if name not in ("patient", "others")}
        fields["others"] = tuple(
            OtherOut(episode_id=UUID(each["episode_id"]), text=each["text"]) for each in message.others
        )
        return cls.model_validate(
            fields | {"patient": PatientOut(patient_id=message.patient_id, name=message.patient_name)}
        )


class InboxOut(Shape):
    """One page, newest first."""

    messages: tuple[MessageOut, ...]
    next: str | None


class HealthOut(Shape):
    status: Literal["ok"] = "ok"
