"""What lies in quarantine, in plain words: what each reason is called, what it means and what to do; and what was measured."""

from collections.abc import Mapping
from typing import Final

from server.quarantine import Reason
from server.web.fleet_words import Wording
from server.web.words import KINDS, UNITS, Words, mark
from vitals.reading import (
    GUEST,
    BloodPressure,
    Glucose,
    HeartRate,
    Measurement,
    OxygenSaturation,
    Reading,
    SensorGlucose,
    Temperature,
    Weight,
    kind_of,
)

REASONS: Final[Mapping[str, Wording]] = {
    "unknown_meter": Wording(
        gravity="medium",
        name=mark("Meter of nobody"),
        meaning=mark(
            "Nobody has said whose this meter is, or was at that time. No rule has looked at what it measured."
        ),
        advice=mark("Ask in the home who measures with it, and say so here."),
    ),
    "unmapped_slot": Wording(
        gravity="medium",
        name=mark("User of the meter not known"),
        meaning=mark("The meter is known, but not who measures under this user number. No rule has looked at it."),
        advice=mark("Ask who measured. If it is always the same person, say that this user number is theirs."),
    ),
    "binding_conflict": Wording(
        gravity="high",
        name=mark("Read in another home"),
        meaning=mark("The meter is bound to somebody in another home. It may have been lent, moved or mixed up."),
        advice=mark("Ask who measured. If the meter has moved with its patient, say so; else give back what was lent."),
    ),
    "no_consent": Wording(
        gravity="information",
        name=mark("Not watched"),
        meaning=mark("The patient has taken back the consent to be watched, so the reading is not in the record."),
        advice=mark("Nothing, unless the patient agrees again; then take it in."),
    ),
    "time_implausible": Wording(
        gravity="low",
        name=mark("Impossible time"),
        meaning=mark("The meter's clock said a time in the future, or long before the patient was enrolled."),
        advice=mark("Have the clock of the meter set. The value cannot be used: nobody knows when it was measured."),
    ),
    "id_collision": Wording(
        gravity="high",
        name=mark("Same number, another content"),
        meaning=mark("A reading with this number is in the record already, with other values. The first one stays."),
        advice=mark("Compare both with the memory of the meter."),
    ),
    "poison": Wording(
        gravity="high",
        name=mark("Could not be stored"),
        meaning=mark("The database refused this reading; its neighbours were taken."),
        advice=mark("Tell whoever looks after the server."),
    ),
    "decode": Wording(
        gravity="medium",
        name=mark("Could not be read"),
        meaning=mark("What the gateway sent is no message that this server understands."),
        advice=mark("Bring the gateway up to date; if it goes on, look at its diagnosis."),
    ),
    "schema_newer": Wording(
        gravity="medium",
        name=mark("From a newer gateway"),
        meaning=mark("The gateway speaks a newer version than this server. The message is kept whole."),
        advice=mark("Upgrade the server, then run: homevigil server quarantine replay"),
    ),
    "kind_newer": Wording(
        gravity="medium",
        name=mark("A kind of measurement that is not known yet"),
        meaning=mark("A newer gateway measures something that this server does not know. The reading is kept whole."),
        advice=mark("Upgrade the server, then run: homevigil server quarantine replay"),
    ),
    "schema_older": Wording(
        gravity="medium",
        name=mark("From a gateway that is too old"),
        meaning=mark("The gateway speaks a version that this server no longer reads."),
        advice=mark("Bring the gateway up to date; if it goes on, look at its diagnosis."),
    ),
    "wrong_gateway": Wording(
        gravity="high",
        name=mark("In another gateway's name"),
        meaning=mark("A gateway spoke in the name of another one. After three such messages it is suspended."),
        advice=mark("Find out which box it is. Restore it only once you know why it did."),
    ),
    "revoked": Wording(
        gravity="low",
        name=mark("From a gateway that is shut out"),
        meaning=mark("The gateway was revoked or suspended. It keeps what it measured and sends it again."),
        advice=mark("Restore the gateway if it is to be listened to."),
    ),
    "unknown_gateway": Wording(
        gravity="medium",
        name=mark("From a gateway that nobody enrolled"),
        meaning=mark("The broker let it in, but no gateway of this name is enrolled here."),
        advice=mark("Enrol the gateway, or take its certificate back."),
    ),
    "intake_error": Wording(
        gravity="high",
        name=mark("Our mistake"),
        meaning=mark("The server could not take this message in. It is kept."),
        advice=mark("Tell whoever looks after the server."),
    ),
}
SET_ASIDE: Final[Mapping[str, str]] = {
    Reason.NOT_A_PATIENT: mark("measured by somebody who is no patient"),
    Reason.TRIAL: mark("a trial or a demonstration"),
    Reason.METER_PROBLEM: mark("the meter was faulty"),
    Reason.UNREADABLE: mark("cannot be read by anybody"),
    Reason.SETTLED: mark("settled in another way"),
}


def wording_of(reason: str) -> Wording:
    """The words for a reason; whatever else cannot be read (`decode:json`) has those of `decode`."""
    return REASONS.get(reason) or REASONS["decode"]


def say_slot(user_slot: int | None, words: Words) -> str:
    if user_slot is None:
        return ""
    return words.say("guest") if user_slot == GUEST else words.say("user %(number)s", number=user_slot)


def say_value(reading: Reading, words: Words) -> str:
    """152/94 mmHg; Weight 81.4 kg; that it failed, where the meter gave no number."""
    kind = kind_of(reading.measurement)
    value = _value(reading.measurement, words)
    if not value:
        return words.say("%(kind)s: measurement failed", kind=words.among(KINDS, kind))
    return f"{words.among(KINDS, kind)} {value} {UNITS[kind]}"


def _value(measured: Measurement, words: Words) -> str:
    match measured:
        case BloodPressure():
            is_whole = measured.systolic_mmhg is not None and measured.diastolic_mmhg is not None
            return words.pressure(measured.systolic_mmhg, measured.diastolic_mmhg) if is_whole else ""
        case Glucose() | SensorGlucose():
            if measured.censored is not None:
                return measured.censored
            number = measured.glucose_mmol_l
        case Weight():
            number = measured.weight_kg
        case OxygenSaturation():
            number = measured.spo2_percent
        case Temperature():
            number = measured.temperature_celsius
        case HeartRate():
            number = measured.pulse_bpm
    return "" if number is None else words.amount(kind_of(measured), number)
